"""safety_monitor: judges everything that is known 100 times a second and gives, or withholds, leave to move."""

from __future__ import annotations

import threading
import time
from typing import Any

from humanoid_twin.srv import ResetEStop

from humanoid_core.environment import load_environment
from humanoid_core.reasons import Refusals
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS, Metronome
from humanoid_core.types import Level, Permit, SafetyStatus
from humanoid_ros.inbox import Inbox, Letter
from humanoid_ros.node import ERROR, OK, WARN, HumanoidNode, run
from humanoid_ros.params import declare
from humanoid_ros.realtime import REAL_TIME
from safety_nodes.core.clearance import Clearance
from safety_nodes.core.config import MonitorConfig
from safety_nodes.core.events import MonitorEvents
from safety_nodes.core.identity import Succession
from safety_nodes.core.memory import Memory
from safety_nodes.core.monitor import evaluate, reset
from safety_nodes.core.rules.communication import COUNTED
from safety_nodes.core.rules.publisher import CLOCK, GATED, SHOWN_BY
from safety_nodes.core.types import Inputs, Received, Verdict
from safety_nodes.core.urgent import urgent
from safety_nodes.event_log import EventWriter
from safety_nodes.params import MonitorParams, core_config

NEWEST = {"state": "ingest/robot_state", "health": "ingest/sensor_health", "twin": "twin/state",
          "command": "robot/joint_command", "motors": "motor_status", "policy": "vla/status",
          "prediction": "twin/prediction", "gate": "safety/gate"}
OVERRIDE = "safety/override"
LOOKS = 2  # between two ticks: what cannot wait is judged within a third of the period


class SafetyMonitor(HumanoidNode):
    """Reads its inputs at each tick of its own loop; only the reset service runs in the executor."""

    def __init__(self) -> None:
        super().__init__("safety_monitor")
        self.priority = REAL_TIME
        self.params = declare(self, MonitorParams)

    def configure(self) -> None:
        """Build everything. The loop runs while inactive too, so that no stop is missed; permits are not given."""
        self.config = core_config("safety_monitor", MonitorConfig, self.params)
        self.robot = load_robot(self.params.robot)
        self.memory = Memory(clearance=Clearance(self.robot, load_environment(self.params.environment),
                                                 self.params.self_margin))
        self.refused = Refusals()
        self.verdict: Verdict | None = None
        self._lock = threading.Lock()  # the loop against the reset service
        self._seq = 0
        self._newest: dict[str, Received[Any]] = {}
        self._beats: list[Received[Any]] = []  # of stop sources since the last tick
        self._heard = dict.fromkeys(COUNTED, 0)  # messages since then
        self._listed: tuple[tuple[str, int], ...] = ()
        self._inboxes = {key: Inbox(self, topic, depth=8 if topic in (*COUNTED, *SHOWN_BY) else None)
                         for key, topic in NEWEST.items() if topic not in GATED}
        # Deep enough to hear every sender between two ticks.
        self._gated = {topic: Inbox(self, topic, depth=8) for topic in GATED}
        # Deep enough for what comes while this process stands still: a short press must not be pushed out.
        self._estop = Inbox(self, "safety/estop", depth=256)
        self._override = Inbox(self, OVERRIDE, depth=8)
        self._successions = {topic: Succession(NS) for topic in GATED}
        self.advertise("safety/permit")
        self.advertise("safety/status", "safety/events", while_inactive=True)
        self.events = MonitorEvents(self.refused)
        self.log = EventWriter.of(self, self.params.log_dir)
        self.create_service(ResetEStop, "safety/reset", self._on_reset)
        self.steady_timer(0.5, self._look_at_graph, while_inactive=True)
        self.diagnostics(self._report)
        self.loop = self.steady_loop(self.params.rate, self._tick, while_inactive=True, look=self._look, looks=LOOKS)

    def _look(self, now_ns: int) -> None:
        """Between two ticks: tick at once when something cannot wait."""
        self._hear("state", now_ns)
        self._hear_stops(now_ns)
        if urgent(self._newest.get("state"), self._beats, now_ns, self.robot, self.config, self.memory):
            self._tick(now_ns, self.loop)

    def _tick(self, now_ns: int, loop: Metronome) -> None:
        inputs = self._take(now_ns)
        with self._lock:
            verdict = evaluate(inputs, now_ns, self.robot, self.config, self.memory)
        self._seq += 1
        self.send("safety/permit", Permit(inputs.ros_ns, self._seq, verdict.level, verdict.scale,
                                          self.config.permit_validity, verdict.accept_new, verdict.latched,
                                          verdict.reset_count, verdict.posture, removed_joints=verdict.removed))
        self.send("safety/status", SafetyStatus(inputs.ros_ns, verdict.level, verdict.latched, verdict.cause,
                                                verdict.violations, loop.ticks, loop.overruns, loop.lateness_ns / NS))
        with self._lock:
            self.log.put(self.events.tick(verdict, self.memory.overrides.newest(), now_ns, inputs.ros_ns))
        if self.verdict is None or verdict.level != self.verdict.level:
            text = f"{verdict.level.name} {verdict.cause}"
            if verdict.level >= Level.WARNING:
                self.get_logger().warning(text)
            else:
                self.get_logger().info(text)
        self.verdict = verdict

    def _take(self, now_ns: int) -> Inputs:
        """The newest of each input, and who spoke on the gated topics."""
        for key in self._inboxes:
            self._hear(key, now_ns)
        self._hear_stops(now_ns)
        for topic, inbox in self._gated.items():
            letters = inbox.take(now_ns)
            self._count(topic, letters)
            for letter in letters:
                self._successions[topic].hear(letter.sender, letter.arrival_ns)
            if topic == NEWEST["command"]:
                self._keep("command", letters)
        estops, self._beats = tuple(self._beats), []
        overrides = tuple(Received(x.open(), x.arrival_ns, x.sender) for x in self._override.take(now_ns))
        for _ in (o for o in overrides if o.value is None):
            self.refused.refuse("OUT_OF_RANGE", OVERRIDE)
        heard, self._heard = tuple(self._heard.items()), dict.fromkeys(COUNTED, 0)
        intruders = tuple(t for t, s in self._successions.items() if s.disputed(now_ns))
        return Inputs(self.now_ns(), estops=estops, overrides=overrides, intruders=intruders,
                      publishers=self._listed, heard=heard, **self._newest)

    def _hear(self, key: str, now_ns: int) -> None:
        topic, letters = NEWEST[key], self._inboxes[key].take(now_ns)
        self._count(topic, letters)
        for letter in letters if topic in SHOWN_BY else ():
            self._successions[SHOWN_BY[topic]].present(letter.sender, letter.arrival_ns)
        self._keep(key, letters)

    def _hear_stops(self, now_ns: int) -> None:
        for letter in self._estop.take(now_ns):
            beat = Received(letter.open(), letter.arrival_ns, letter.sender)
            if beat.value is None:
                self.refused.refuse("OUT_OF_RANGE", "safety/estop: unreadable, counts as pressed")
            self._beats.append(beat)

    def _count(self, topic: str, letters: list[Letter]) -> None:
        if topic in self._heard:
            self._heard[topic] += len(letters)

    def _keep(self, key: str, letters: list[Letter]) -> None:
        if letters:
            value = letters[-1].open()
            if value is None:
                self.refused.refuse("OUT_OF_RANGE", NEWEST[key])
            self._newest[key] = Received(value, letters[-1].arrival_ns, letters[-1].sender)

    def _look_at_graph(self) -> None:
        """How many publishers the gated topics have, and the clock where time comes from there. Slower than listening,
        but sees who has not spoken yet."""
        simulated = bool(self.get_parameter("use_sim_time").value)
        self._listed = tuple((topic, self.count_publishers(topic)) for topic in (GATED + (CLOCK,) * simulated))

    def _on_reset(self, request: Any, response: Any) -> Any:
        with self._lock:
            mono_ns = time.monotonic_ns()
            answer = reset(request.nonce, request.operator_name, mono_ns, self.config, self.memory)
            events = self.events.reset(answer, request.operator_name, mono_ns, self.now_ns())
            self.log.put(events)
        if events:  # of a flood of refusals the first; how many followed is in the event log
            text = f"reset by '{request.operator_name}': {answer.code or 'accepted'} {answer.text}"
            self.get_logger().warning(text)
        response.accepted = answer.accepted
        response.reason = f"{answer.code}: {answer.text}" if answer.code else ""
        return response

    def _report(self) -> tuple[int, str, dict[str, object]]:
        verdict = self.verdict
        if verdict is None:
            return WARN, "no tick yet", {}
        level = OK if verdict.level <= Level.CAUTION else WARN if verdict.level == Level.WARNING else ERROR
        values = {"overruns": self.loop.overruns, "ticks": self.loop.ticks, "resets": verdict.reset_count,
                  "blind": ", ".join(sorted(self.memory.history.blind)) or "none",
                  "recoveries": ", ".join(f"{code} {subject}" for code, subject in verdict.recoveries) or "none",
                  **dict(self.refused.items()), **self.log.report()}
        text = f"{verdict.level.name} {verdict.cause} {self.log.problem}"
        return max(level, WARN if self.log.problem else OK), text, values

    def keeps(self) -> str:
        """A monitor that is built anew would know nothing of the stop."""
        latched = self.verdict is not None and self.verdict.latched
        return "a stop is latched: reset it first (humanoid-twin estop)" if latched else ""

    def close(self) -> None:
        """The log's last lines."""
        self.log.put(self.events.end(time.monotonic_ns(), self.now_ns()))
        self.log.close()


def main() -> int:
    return run(SafetyMonitor)


if __name__ == "__main__":
    raise SystemExit(main())
