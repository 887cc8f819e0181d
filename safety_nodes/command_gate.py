"""command_gate: the only publisher to the robot. Publishes a safe command 100 times a second, whatever comes in."""

from __future__ import annotations

import time

from rclpy.duration import Duration

from humanoid_core.environment import load_environment
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS, Metronome
from humanoid_core.types import GateStatus, Level, Mode, RobotMode
from humanoid_ros.inbox import Inbox
from humanoid_ros.node import OK, WARN, HumanoidNode, run
from humanoid_ros.params import declare
from humanoid_ros.realtime import REAL_TIME
from safety_nodes.core.clearance import Clearance
from safety_nodes.core.config import GateConfig
from safety_nodes.core.events import GateEvents
from safety_nodes.core.gate import Gate, GateInputs, GateOutput
from safety_nodes.core.types import Received
from safety_nodes.event_log import EventWriter
from safety_nodes.params import GateParams, core_config

DEPTH = 8  # commands judged at once; of more the newest
LOOKS = 4  # between two ticks: what ends a motion is acted on within a fifth of the period
NO_ENVIRONMENT = ("knows of nothing that stands around: a motion into a table is not stopped before it touches; name a "
                  "file of config/environments with the argument 'environment'")


class CommandGate(HumanoidNode):
    """Reads its inputs in its own loop alone; nothing else runs."""

    def __init__(self) -> None:
        super().__init__("command_gate")
        self.priority = REAL_TIME
        self.params = declare(self, GateParams)

    def configure(self) -> None:
        """Build everything. The loop runs while inactive too: the gate then brakes, holds and asks for HOLD."""
        config = core_config("command_gate", GateConfig, self.params)
        robot, environment = load_robot(self.params.robot), load_environment(self.params.environment)
        if not environment:
            self.get_logger().warning(NO_ENVIRONMENT)
        self.gate = Gate(robot, config, Clearance(robot, environment, self.params.self_margin))
        self._permits = Inbox(self, "safety/permit", depth=8)
        self._commands = Inbox(self, "vla/joint_command", depth=DEPTH)
        self._states = Inbox(self, "ingest/robot_state")
        self._overrides = Inbox(self, "safety/override", depth=4)
        self._last: GateOutput | None = None
        self._level = Level.DANGER  # of the newest permit
        self._mode_seq = self._judged = 0
        self._every = max(round(self.params.rate / 10.0), 1)
        self.advertise("robot/joint_command", "robot/mode", "safety/gate", "safety/events", while_inactive=True)
        self.events = GateEvents(self.gate.refused)
        self.log = EventWriter.of(self, self.params.log_dir)
        self.diagnostics(self._report)
        self.loop = self.steady_loop(self.params.rate, self._tick, while_inactive=True, look=self._look,
                                     looks=LOOKS)

    def _tick(self, now_ns: int, loop: Metronome) -> None:
        inputs, ros_ns = self._inputs(now_ns)
        self._judged = 0
        self._say(self.gate.step(now_ns, ros_ns, inputs), now_ns, ros_ns, loop.ticks % self._every == 0)

    def _look(self, now_ns: int) -> None:
        if not self.gate.going or self._judged >= DEPTH:
            return  # nothing to brake, or a flood: a period's worth was judged already
        inputs, ros_ns = self._inputs(now_ns)
        out = self.gate.look(now_ns, ros_ns, inputs)
        if out is not None:
            self._say(out, now_ns, ros_ns, False)

    def _inputs(self, now_ns: int) -> tuple[GateInputs, int]:
        """What came, and the ROS time after the last message was taken: none can be from later."""
        states = self._states.take(now_ns)
        permits, commands = self._permits.take(now_ns), self._commands.take(now_ns)
        overrides = self._overrides.take(now_ns)
        self._judged += len(commands)
        ros_ns = self.now_ns()
        inputs = GateInputs(
            tuple(Received(x.open(), x.arrival_ns, x.sender) for x in permits),
            tuple(Received(x.open(), x.arrival_ns, x.sender) for x in commands),
            Received(states[-1].open(), states[-1].arrival_ns, states[-1].sender) if states else None,
            tuple(Received(x.open(), x.arrival_ns, x.sender) for x in overrides), active=self.active)
        if permits and (permit := inputs.permits[-1].value) is not None:
            self._level = permit.level
        return inputs, ros_ns

    def _say(self, out: GateOutput, now_ns: int, ros_ns: int, periodic: bool) -> None:
        if out.command is not None:
            self.send("robot/joint_command", out.command)
        self.log.put(self.events.tick(out, self._level, now_ns, ros_ns))
        last, self._last = self._last, out
        if periodic or last is None or out.mode != last.mode:
            self._send_mode(out.mode, out.reason, ros_ns)
        if periodic or last is None or (out.state, out.reason) != (last.state, last.reason):
            self._send_status(out, ros_ns)

    def _send_mode(self, mode: Mode, reason: str, ros_ns: int) -> None:
        self._mode_seq += 1
        self.send("robot/mode", RobotMode(ros_ns, mode, reason, self._mode_seq))

    def _send_status(self, out: GateOutput, ros_ns: int) -> None:
        gate, loop = self.gate, self.loop
        self.send("safety/gate", GateStatus(ros_ns, out.state, out.reason, gate.passed, gate.held,
                                            gate.refused.items(), loop.ticks, loop.overruns, loop.lateness_ns / NS,
                                            out.permit_age))

    def _report(self) -> tuple[int, str, dict[str, object]]:
        out = self._last
        if out is None:
            return WARN, "no tick yet", {}
        motion = self.gate.motion
        values = {"passed": self.gate.passed, "held": self.gate.held, "overruns": self.loop.overruns,
                  "jog_steps_slowed": motion.slowed, "poses_outside_limits": motion.point.outside,
                  "plans_failed": motion.point.failures,
                  "last_refusal": self.gate.refused.last, **dict(self.gate.refused.items())}
        well = out.state in ("passing", "holding") and not self.log.problem
        return OK if well else WARN, f"{out.state} {out.reason} {self.log.problem}", values | self.log.report()

    def close(self) -> None:
        """Leave the robot in HOLD: it stands on its own, and nobody will tell it more."""
        self._send_mode(Mode.HOLD, "DIED", self.get_clock().now().nanoseconds)
        self.log.put(self.events.end(time.monotonic_ns(), self.now_ns()))
        self.log.close()
        self.publisher("robot/mode").wait_for_all_acked(Duration(seconds=0.3))


def main() -> int:
    return run(CommandGate)


if __name__ == "__main__":
    raise SystemExit(main())
