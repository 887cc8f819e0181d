"""unitree_bridge: a Unitree G1 over DDS as the raw topics of this suite, and robot/joint_command as arm_sdk or lowcmd.

Two threads beside the executor: one waits for lowstate and publishes, one sends at a steady rate.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import Array
from humanoid_core.timing import MS, Metronome
from humanoid_core.types import BatterySample, ImuSample, Mode
from humanoid_ros.node import ERROR, OK, WARN, HumanoidNode, run
from humanoid_ros.params import ParameterError, declare
from humanoid_ros.realtime import REAL_TIME
from robot_nodes.core.actuation import Phase
from robot_nodes.core.bridge import Bridge
from robot_nodes.core.onboard import Onboard
from robot_nodes.core.unitree_spec import BridgeError, UnitreeSpec, check_motors, load_spec
from robot_nodes.gate_inbox import GateInbox
from robot_nodes.params import UnitreeParams, period_ns


class UnitreeBridge(HumanoidNode):
    """Publishes joint_states, IMUs, motor_status and battery_state; ends with exit code 2 at a robot of another
    variant."""

    def __init__(self) -> None:
        super().__init__("unitree_bridge")
        self.priority = REAL_TIME
        self.params = declare(self, UnitreeParams)

    def configure(self) -> None:
        """Build everything. Both loops run while inactive too: what was taken over is then held and let go."""
        p, self.robot = self.params, load_robot(self.params.robot)
        spec = load_spec(p.vendor)
        check_motors(self.robot)
        self.core = Bridge(self.robot, p.intake(spec, self.robot), p.actuation(spec),
                           Onboard(spec.onboard, p.control, p.check_onboard, p.release_onboard), p.actuate)
        self.wire = open_wire(spec, p)
        self.refused = Refusals()
        self._imus = {imu.name: imu.topic for imu in self.robot.imus}
        self._next_torso_ns = self._next_battery_ns = 0
        self.advertise("joint_states", "motor_status", "battery_state", *self._imus.values())
        self._gate = GateInbox(self, self.refused)
        self._phase = Phase.WAITING
        self.own_loop(self._listen, while_inactive=True)
        self.steady_loop(p.rate, self._drive, while_inactive=True)
        self.steady_timer(0.2, self._end_at_another_robot)
        self.diagnostics(self._report)
        if not p.actuate:
            self.get_logger().warning("dry run (actuate: false): nothing is sent to the robot")

    # --- the robot's thread

    def _listen(self) -> None:
        self.wire.wait(0.1)
        for frame in self.wire.take_states():
            now_ns = self.now_ns()
            try:
                taken = self.core.hear(frame.record, now_ns, time.monotonic_ns())
            except ValueError as error:
                self.refused.refuse("WRONG_LENGTH", f"lowstate: {error}")
                continue
            if taken.joints is not None:
                self.send("joint_states", taken.joints)
            if taken.imu is not None and "pelvis" in self._imus:
                self.send(self._imus["pelvis"], taken.imu)
            if taken.motors is not None:
                self.send("motor_status", taken.motors)
        self._others(self.now_ns())

    def _others(self, now_ns: int) -> None:
        """The torso's IMU and the battery carry neither stamp nor counter: they count from their arrival."""
        imu, battery = self.wire.take_imu(), self.wire.take_battery()
        topic = self._imus.get("torso")
        if imu is not None and topic is not None and now_ns >= self._next_torso_ns:
            period = period_ns(self.robot, topic)
            self._next_torso_ns = max(self._next_torso_ns + period, now_ns - period)
            self.send(topic, ImuSample(now_ns, _array(imu.quaternion), _array(imu.gyroscope),
                                       _array(imu.accelerometer)))
        if battery is not None and now_ns >= self._next_battery_ns:
            self._next_battery_ns = now_ns + period_ns(self.robot, "battery_state") * 9 // 10
            volts = max(battery.bmsvoltage) / 1000.0
            self.send("battery_state", BatterySample(now_ns, volts, battery.current / 1000.0, battery.soc / 100.0))

    # --- the steady loop

    def _drive(self, now_ns: int, _loop: Metronome) -> None:
        commands, mode = self._gate.take(now_ns)
        if not self.active:
            commands, mode = [], Mode.HOLD
        out = self.core.step(now_ns, commands, mode, self.wire.take_answers())
        if out.frame is not None:
            self.wire.send(out.frame)
        for request in out.requests:
            self.wire.ask(request)
        if self.core.actuation.phase is not self._phase:
            self._phase = self.core.actuation.phase
            self.get_logger().info(f"{self._phase.value} {self.core.actuation.reason}".rstrip())

    # --- the executor's thread

    def _end_at_another_robot(self) -> None:
        other = self.core.wrong_robot
        if other is not None:
            raise BridgeError(self.robot.file, "variant", self.robot.variant,
                              f"the robot says mode_machine {other}, the file is for "
                              f"{self.core.intake.config.mode_machine}; use the robot file of that variant")

    def _report(self) -> tuple[int, str, Mapping[str, object]]:
        core = self.core
        refusals: dict[str, int] = {}
        for counted in (self.refused, core.intake.refused, core.actuation.refused):
            for code, count in counted.items():
                refusals[code] = refusals.get(code, 0) + count
        phase, reason = core.actuation.phase, core.actuation.reason
        level, text = OK, f"{phase.value} {reason}".rstrip()
        if not core.actuate:
            level, text = WARN, f"dry run, {text}"
        if core.why_not:
            level, text = WARN, f"{text}: {core.why_not}"
        if not core.intake.accepted or reason == "NO_STATE":
            last = core.intake.refused.last
            level, text = ERROR, f"{text}: no usable lowstate" + (f", the last one refused: {last}" if last else "")
        return level, text, {
            "phase": phase.value, "reason": reason, "weight": f"{core.actuation.weight:.2f}",
            "mode_machine": core.intake.mode_machine, "onboard state": core.onboard.fsm,
            "motion service": core.onboard.service, "frames accepted": core.intake.accepted,
            "counter restarts": core.intake.restarts, "lag ms": f"{core.intake.lag_ns / MS:.1f}",
            "frames sent": core.sent, "kept back (dry run)": core.kept_back, "robot listens": self.wire.heard,
            **{f"onboard {k}": v for k, v in core.onboard.errors.items()},
            **{f"refused {k}": v for k, v in refusals.items()}}


def _array(values: Sequence[float]) -> Array:
    return np.array(values, dtype=np.float64)


def open_wire(spec: UnitreeSpec, p: UnitreeParams) -> Any:
    """The DDS side; a refusal with the way out where the package is not installed or the interface is not there."""
    try:
        from robot_nodes.dds.unitree_wire import Wire
    except ImportError as error:
        raise ParameterError(f"unitree_bridge: no CycloneDDS ({error}); .venv/bin/pip install -r "
                             "requirements/unitree.txt") from None
    from cyclonedds.core import DDSException

    try:
        return Wire(spec, p.dds_domain, p.interface, p.control)
    except DDSException as error:
        raise ParameterError(f"unitree_bridge: interface = '{p.interface}': no DDS there ({error}); 'ip link' shows "
                             "the interfaces") from None


def main() -> int:
    return run(UnitreeBridge)
