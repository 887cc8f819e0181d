"""A calm robot for the safety tests, and ways to disturb it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import settings

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import (
    EStopState,
    JointCommand,
    Level,
    OverrideState,
    Permit,
    RobotState,
    SensorHealth,
    SourceHealth,
    TwinState,
    TwinStatus,
)
from safety_nodes.core.clearance import Clearance
from safety_nodes.core.config import GateConfig, MonitorConfig
from safety_nodes.core.gate import Gate, GateInputs, GateOutput
from safety_nodes.core.memory import Memory
from safety_nodes.core.monitor import ResetAnswer, evaluate, reset
from safety_nodes.core.types import Inputs, Received, Verdict
from safety_nodes.params import GateParams, MonitorParams, core_config

ROBOT = load_robot("g1")
MONITOR = core_config("test", MonitorConfig, MonitorParams())
GATE = core_config("test", GateConfig, GateParams())
UPPER = np.array(ROBOT.groups["upper_body"])
NAMES = tuple(ROBOT.joint_names[i] for i in UPPER)
ROS_0 = 1_800_000_000 * NS
PERIOD = 10 * MS


def cases(usual: int) -> int:
    """Examples of one property: `usual`, or as many as a larger profile (``--hypothesis-profile many``) asks for."""
    asked = settings.default.max_examples
    return asked if asked > 1000 else usual


def calm_state(ros_ns: int, **changes: Any) -> RobotState:
    n = ROBOT.n
    state = RobotState(ros_ns, 1, ROBOT.stand.copy(), np.zeros(n), np.zeros(n), np.full(n, 35.0),
                       np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3), np.array([0.0, 0.0, 9.81]), np.zeros((2, 3)),
                       50.0, -3.0, (), "imu/pelvis")
    return replace(state, **changes)


def calm_twin(ros_ns: int, **changes: Any) -> TwinState:
    n = ROBOT.n
    twin = TwinState(ros_ns, 1, ROBOT.hash, ROBOT.stand.copy(), np.zeros(n), np.zeros(n), np.zeros(n),
                     np.array([0.0, 0.0, 0.75]), np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3), np.zeros(3),
                     np.array([0.03, 0.0, 0.6]), np.array([0.03, 0.0, 0.0]), 0.08, np.zeros(n), 1.0, 0.005,
                     TwinStatus.OK)
    return replace(twin, **changes)


def calm_health(ros_ns: int) -> SensorHealth:
    source = SourceHealth("joint_states", "ok", True, "", 10, 5.0, 200.0, 200.0, 0.1, 5.0, 0)
    return SensorHealth(ros_ns, (source,), True)


class MonitorWorld:
    """Ticks the monitor at 100 Hz with calm inputs; `tick(state={...}, twin={...}, ...)` disturbs one tick."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.config = MONITOR
        self.mono = 100 * NS
        self.ros = ROS_0
        self.last: Verdict

    def inputs(self, state: dict[str, Any] | None = None, twin: dict[str, Any] | None = None,
               **changes: Any) -> Inputs:
        base = Inputs(
            self.ros,
            Received(calm_state(self.ros - 3 * MS, **(state or {})), self.mono - 2 * MS),
            Received(calm_health(self.ros), self.mono - 50 * MS),
            Received(calm_twin(self.ros - 5 * MS, **(twin or {})), self.mono - 2 * MS))
        return replace(base, **changes)

    def tick(self, state: dict[str, Any] | None = None, twin: dict[str, Any] | None = None,
             **changes: Any) -> Verdict:
        self.mono += PERIOD
        self.ros += PERIOD
        self.last = evaluate(self.inputs(state, twin, **changes), self.mono, ROBOT, self.config, self.memory)
        return self.last

    def ticks(self, count: int, **changes: Any) -> Verdict:
        return [self.tick(**changes) for _ in range(count)][-1]

    def without(self, **last: Any) -> Verdict:
        """One tick in which some input is still the one received earlier."""
        self.mono += PERIOD
        self.ros += PERIOD
        return evaluate(replace(self.inputs(), **last), self.mono, ROBOT, self.config, self.memory)

    def settle(self) -> Verdict:
        return self.ticks(200)

    def beat(self, source: str, pressed: bool, seq: int, sender: bytes = b"a") -> tuple[Received[EStopState], ...]:
        return (Received(EStopState(self.ros, source, pressed, seq), self.mono + PERIOD, sender),)

    def reset(self, nonce: int, operator: str = "Ada") -> ResetAnswer:
        return reset(nonce, operator, self.mono, MONITOR, self.memory)


class GateWorld:
    """Ticks the gate at 100 Hz with a robot that follows it perfectly, unless told otherwise."""

    def __init__(self, pose: np.ndarray | None = None, clearance: Clearance | None = None, **config: Any) -> None:
        self.gate = Gate(ROBOT, replace(GATE, **config), clearance)
        self.mono = 100 * NS
        self.ros = ROS_0
        self.q = ROBOT.stand.copy() if pose is None else pose
        self.permit_seq = 0
        self.command_seq = self.override_seq = 0
        self.permit: dict[str, Any] = {}
        self.active = True
        self.out: GateOutput | None = None
        self.history: list[GateOutput] = []

    def command(self, position: Any, velocity: Any = (), names: tuple[str, ...] = NAMES, epoch: int = 1,
                seq: int | None = None, stamp: int | None = None, sender: bytes = b"policy",
                **more: Any) -> Received[JointCommand]:
        self.command_seq += 1
        c = JointCommand(self.ros + PERIOD if stamp is None else stamp, self.command_seq if seq is None else seq,
                         epoch, "test", names, np.asarray(position, dtype=float), np.asarray(velocity, dtype=float),
                         **more)
        return Received(c, self.mono + PERIOD, sender)

    def permits(self, **changes: Any) -> tuple[Received[Permit], ...]:
        self.permit_seq += 1
        p = Permit(self.ros, self.permit_seq, Level.SAFE, 1.0, 0.03, True, False, 0)
        return (Received(replace(p, **{**self.permit, **changes}), self.mono + PERIOD, b"monitor"),)

    def tick(self, *commands: Received[JointCommand], permits: Any = None, state: Any = "follow",
             overrides: tuple[Received[OverrideState], ...] = ()) -> GateOutput:
        allowed = self.permits() if permits is None else permits
        if state == "follow":
            state = Received(calm_state(self.ros + PERIOD - 3 * MS, position=self.q), self.mono + PERIOD - MS)
        self.mono += PERIOD
        self.ros += PERIOD
        self.out = self.gate.step(self.mono, self.ros, GateInputs(allowed, commands, state, overrides,
                                                                          self.active))
        self.history.append(self.out)
        if self.out.command is not None and self.out.mode == 0:
            self.q = self.q.copy()
            self.q[UPPER] = self.out.command.position
        return self.out

    def look(self, ns: int, *commands: Received[JointCommand], permits: tuple[Received[Permit], ...] = (),
             overrides: tuple[Received[OverrideState], ...] = ()) -> GateOutput | None:
        """What the gate does ``ns`` after the last tick."""
        out = self.gate.look(self.mono + ns, self.ros + ns, GateInputs(permits, commands, None, overrides, self.active))
        if out is not None and out.command is not None and out.mode == 0:
            self.q = self.q.copy()
            self.q[UPPER] = out.command.position
        return out

    def override(self, mode: int = 0, names: tuple[str, ...] = (), velocity: Any = (), active: bool = True,
                 sender: bytes = b"person", seq: int | None = None) -> tuple[Received[OverrideState], ...]:
        self.override_seq += 1
        value = OverrideState(self.ros, "Ada", active, mode, names, np.asarray(velocity, dtype=float),
                              self.override_seq if seq is None else seq)
        return (Received(value, self.mono + PERIOD, sender),)

    def hold_ticks(self, count: int, **what: Any) -> GateOutput:
        return [self.tick(**what) for _ in range(count)][-1]

    def elbow(self, k: int, amplitude: float = 0.3, omega: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
        """A smooth swing of the left elbow: set-points of tick k."""
        q, dq = ROBOT.stand[UPPER].copy(), np.zeros(len(UPPER))
        i, t = NAMES.index("left_elbow_joint"), k * PERIOD / NS
        q[i] += amplitude * 0.5 * (1.0 - np.cos(omega * t))
        dq[i] = amplitude * 0.5 * omega * np.sin(omega * t)
        return q, dq

    def swing(self, ticks: int, epoch: int = 1, begin: int = 0) -> GateOutput:
        return [self.tick(self.command(*self.elbow(begin + k), epoch=epoch)) for k in range(ticks)][-1]
