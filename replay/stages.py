"""The cores behind one face, as the nodes feed them: what came goes to ``on``, every 10 ms of recorded time ``tick``.

Each stage mirrors its node (twin_nodes/, safety_nodes/) without middleware, threads or clocks: arrival times of the
recording stand for both ROS time and monotonic time. Outputs are (topic, dataclass).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from humanoid_core.environment import load_environment
from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import (
    GateStatus,
    JointSample,
    Permit,
    RobotMode,
    SafetyEvent,
    SafetyStatus,
    TwinState,
    TwinStatus,
)
from safety_nodes.core.clearance import Clearance
from safety_nodes.core.config import GateConfig, MonitorConfig
from safety_nodes.core.events import MonitorEvents
from safety_nodes.core.gate import Gate, GateInputs, GateOutput
from safety_nodes.core.identity import Succession
from safety_nodes.core.memory import Memory
from safety_nodes.core.monitor import ResetAnswer, evaluate, reset
from safety_nodes.core.rules.communication import COUNTED
from safety_nodes.core.rules.publisher import GATED, SHOWN_BY
from safety_nodes.core.types import Inputs, Received
from safety_nodes.params import GateParams, MonitorParams, core_config
from twin_nodes.core.ingest import IngestCore
from twin_nodes.core.start import start_of
from twin_nodes.core.twin import TwinCore
from twin_nodes.core.verdict import IngestConfig
from twin_nodes.params import IngestParams, TwinParams

Outputs = list[tuple[str, Any]]

TICK_NS = 10 * MS
STATE, HEALTH, TWIN = "ingest/robot_state", "ingest/sensor_health", "twin/state"
PERMIT, COMMAND, EVENTS = "safety/permit", "robot/joint_command", "safety/events"
NEWEST = {STATE: "state", HEALTH: "health", TWIN: "twin", COMMAND: "command", "motor_status": "motors",
          "vla/status": "policy", "twin/prediction": "prediction", "safety/gate": "gate"}
PICTURES = ("image", "depth")
#: Ticks between two reports of sensor health, gate status and mode, and two predictions.
EACH = 10


class Stage(Protocol):
    """``required``: without these inputs it has nothing to do. ``value`` None: a message that could not be read.
    ``now_ns`` is monotonic; ROS time is ``now_ns + wall_ns`` (0 unless somebody steps the wall clock)."""

    name: str
    inputs: tuple[str, ...]
    required: tuple[str, ...]
    outputs: tuple[str, ...]

    def on(self, topic: str, value: Any, now_ns: int, sender: bytes = b"") -> Outputs: ...

    def tick(self, now_ns: int, count: int) -> Outputs: ...

    def refusals(self) -> dict[str, int]:
        """What was refused: '<topic> <code>' -> count."""
        ...


class IngestStage:
    """sensor_ingest without pictures."""

    name, required, outputs = "ingest", ("joint_states",), (STATE, HEALTH)
    wall_ns = 0

    def __init__(self, robot: RobotModel, params: IngestParams) -> None:
        sources = {t: s for t, s in robot.sources.items() if s.kind not in PICTURES}
        self.inputs = (*sources, TWIN)
        self._twin: TwinState | None = None
        self.core = IngestCore(sources, robot, IngestConfig(
            params.future_ms, params.handback_ms, position_margin=params.position_margin,
            disagreement=params.disagreement, estimate_for=params.estimate_for))
        self.core.ask_twin = lambda: self._twin

    def on(self, topic: str, value: Any, now_ns: int, sender: bytes = b"") -> Outputs:
        if topic == TWIN:
            self._twin = value
            return []
        if value is None:
            return []
        state = self.core.on_sample(topic, value, now_ns + self.wall_ns, now_ns).state
        return [] if state is None else [(STATE, state)]

    def tick(self, now_ns: int, count: int) -> Outputs:
        return [(HEALTH, self.core.health(now_ns + self.wall_ns, now_ns))] if count % EACH == 0 else []

    def refusals(self) -> dict[str, int]:
        return {f"{t} {code}": n for t, s in self.core.sources.items() for code, n in s.refusals.items()}


class TwinStage:
    """twin_sync with its predictions."""

    name, inputs, required = "twin", (STATE, COMMAND, HEALTH, PERMIT, "vla/action_chunk"), (STATE,)
    outputs = (TWIN, "twin/joint_states", "twin/prediction", "twin/health")
    wall_ns = 0

    def __init__(self, robot: RobotModel, params: TwinParams) -> None:
        self.robot = robot
        self.core = TwinCore(robot, params.core())
        self.predictor = params.predictor(robot)
        self._silence_ns = round(params.stale_ms * MS)
        self._heard_ns = self._resets = 0

    def on(self, topic: str, value: Any, now_ns: int, sender: bytes = b"") -> Outputs:
        if value is None:
            return []
        if topic == COMMAND:
            self.core.on_command(value)
        elif topic == HEALTH:
            self.core.on_health(value)
        elif topic == PERMIT:
            self.predictor.on_permit(value.scale)
        elif topic != STATE:
            self.predictor.on_chunk(value)
        if topic != STATE:
            return []
        twin = self.core.on_state(value, now_ns + self.wall_ns)
        if self.core.latest is value:
            self._heard_ns = now_ns
        if twin is None:
            return []
        if self.core.resets.total != self._resets:
            self._resets = self.core.resets.total
            self.predictor.clear()
        self.core.learn()
        self.predictor.on_estimate(twin.stamp_ns, twin.position)
        return self._said(twin)

    def tick(self, now_ns: int, count: int) -> Outputs:
        out: Outputs = []
        self._heard_ns = self._heard_ns or now_ns
        silent_ns = now_ns - self._heard_ns
        if silent_ns > self._silence_ns:
            twin = self.core.on_silence(now_ns + self.wall_ns, silent_ns)
            out += self._said(twin) if twin is not None else []
        known, start = self.core.state, start_of(self.core) if count % EACH == 0 else None
        if start is not None and known is not None and known.status == TwinStatus.OK:
            out.append(("twin/prediction", self.predictor.predict(start)[0]))
        if count % (10 * EACH) == 0:
            out.append(("twin/health", self.core.condition(now_ns + self.wall_ns)))
        return out

    def refusals(self) -> dict[str, int]:
        return {**_named(STATE, self.core.refusals), **_named(COMMAND, self.core.command_refusals),
                **_named("vla/action_chunk", self.predictor.refusals)}

    def _said(self, twin: TwinState) -> Outputs:
        out: Outputs = [(TWIN, twin)]
        if twin.revision % 2 == 0 and twin.status != TwinStatus.WAITING:
            ghost = JointSample(twin.stamp_ns, self.robot.joint_names, twin.position, twin.velocity)
            out.append(("twin/joint_states", ghost))
        return out


class SafetyStage:
    """safety_monitor. A recording does not say who sent a message, so nobody is an intruder here. A reset is a service
    and on no topic; an accepted one is taken from the recorded events."""

    name, required, outputs = "safety", (STATE,), (PERMIT, "safety/status", EVENTS)
    inputs = (*NEWEST, "safety/estop", "safety/override")
    #: Made by this stage, and yet heard as it was recorded.
    recorded = (EVENTS,)
    wall_ns = 0

    def __init__(self, robot: RobotModel, params: MonitorParams) -> None:
        self.robot, self.config = robot, core_config("safety_monitor", MonitorConfig, params)
        self.memory = Memory(clearance=Clearance(robot, load_environment(params.environment), params.self_margin))
        self._heard: dict[str, int] | None = None  # a recording does not say how often something came
        self._newest: dict[str, Received[Any]] = {}
        self._estops: list[Received[Any]] = []
        self._overrides: list[Received[Any]] = []
        self._successions = {topic: Succession(NS) for topic in GATED}
        self._events, self._seq, self._resets = MonitorEvents(Refusals()), 0, 0

    def on(self, topic: str, value: Any, now_ns: int, sender: bytes = b"") -> Outputs:
        if topic == "safety/estop":
            self._estops.append(Received(value, now_ns, sender))
        elif topic == "safety/override":
            self._overrides.append(Received(value, now_ns, sender))
        else:
            self._newest[NEWEST[topic]] = Received(value, now_ns, sender)
        return []

    def on_recorded(self, topic: str, value: Any, now_ns: int) -> None:
        """An accepted reset of then is asked for again; whether it is accepted is judged anew."""
        if value is not None and value.source == "safety_monitor" and (value.kind, value.code) == ("RESET", ""):
            self.reset(value.subject, now_ns)

    def reset(self, operator: str, now_ns: int) -> tuple[ResetAnswer, Outputs]:
        """As the service safety/reset; (the answer, the events)."""
        self._resets += 1
        answer = reset(self._resets, operator, now_ns, self.config, self.memory)
        return answer, self._numbered(self._events.reset(answer, operator, now_ns, now_ns + self.wall_ns))

    def _numbered(self, events: list[SafetyEvent]) -> Outputs:
        out: Outputs = []
        for event in events:
            self._seq += 1
            out.append((EVENTS, replace(event, seq=self._seq)))
        return out

    def heard_from(self, topic: str, sender: bytes, now_ns: int) -> None:
        """Who spoke on a gated topic; a recording does not know it."""
        if topic in self._successions:
            self._successions[topic].hear(sender, now_ns)
        if topic in SHOWN_BY:
            self._successions[SHOWN_BY[topic]].present(sender, now_ns)
        if topic in COUNTED:
            self._heard = self._heard or dict.fromkeys(COUNTED, 0)
            self._heard[topic] += 1

    def tick(self, now_ns: int, count: int) -> Outputs:
        intruders = tuple(t for t, who in self._successions.items() if who.disputed(now_ns))
        inputs = Inputs(now_ns + self.wall_ns, estops=tuple(self._estops), overrides=tuple(self._overrides),
                        intruders=intruders, heard=None if self._heard is None else tuple(self._heard.items()),
                        **self._newest)
        self._heard = None if self._heard is None else dict.fromkeys(COUNTED, 0)
        self._estops, self._overrides = [], []
        v = evaluate(inputs, now_ns, self.robot, self.config, self.memory)
        seq = count + 1
        ros_ns = now_ns + self.wall_ns
        return [(PERMIT, Permit(ros_ns, seq, v.level, v.scale, self.config.permit_validity, v.accept_new, v.latched,
                                v.reset_count, v.posture, removed_joints=v.removed)),
                ("safety/status", SafetyStatus(ros_ns, v.level, v.latched, v.cause, v.violations, seq, 0, 0.0)),
                *self._numbered(self._events.tick(v, self.memory.overrides.newest(), now_ns, ros_ns))]

    def refusals(self) -> dict[str, int]:
        return {}


class GateStage:
    """command_gate."""

    name, required = "gate", (STATE, PERMIT)
    inputs = (PERMIT, "vla/joint_command", "safety/override", STATE)
    outputs = (COMMAND, "robot/mode", "safety/gate")
    wall_ns = 0

    def __init__(self, robot: RobotModel, params: GateParams) -> None:
        clearance = Clearance(robot, load_environment(params.environment), params.self_margin)
        self.gate = Gate(robot, core_config("command_gate", GateConfig, params), clearance)
        self._came: dict[str, list[Received[Any]]] = {topic: [] for topic in self.inputs}
        self._state: Received[Any] | None = None
        self._last: GateOutput | None = None
        self._mode_seq = 0

    def on(self, topic: str, value: Any, now_ns: int, sender: bytes = b"") -> Outputs:
        received = Received(value, now_ns, sender)
        if topic == STATE:
            self._state = received
        else:
            self._came[topic].append(received)
        return []

    def tick(self, now_ns: int, count: int) -> Outputs:
        came = self._came
        inputs = GateInputs(tuple(came[PERMIT]), tuple(came["vla/joint_command"]), self._state,
                            tuple(came["safety/override"]))
        self._came, self._state = {topic: [] for topic in self.inputs}, None
        ros_ns = now_ns + self.wall_ns
        said = self.gate.step(now_ns, ros_ns, inputs)
        out: Outputs = [] if said.command is None else [(COMMAND, said.command)]
        last, self._last = self._last, said
        periodic = count % EACH == 0 or last is None
        if periodic or last is None or said.mode != last.mode:
            self._mode_seq += 1
            out.append(("robot/mode", RobotMode(ros_ns, said.mode, said.reason, self._mode_seq)))
        if periodic or last is None or (said.state, said.reason) != (last.state, last.reason):
            out.append(("safety/gate", GateStatus(ros_ns, said.state, said.reason, self.gate.passed, self.gate.held,
                                                  self.gate.refused.items(), count + 1, 0, 0.0, said.permit_age)))
        return out

    def refusals(self) -> dict[str, int]:
        return _named("gate", self.gate.refused)


def _named(topic: str, refusals: Refusals) -> dict[str, int]:
    return {f"{topic} {code}": n for code, n in refusals.items()}


#: In the order of the data. Stage -> (its node's name, its parameters, itself).
STAGES: dict[str, tuple[str, Any, Any]] = {
    "ingest": ("sensor_ingest", IngestParams, IngestStage),
    "twin": ("twin_sync", TwinParams, TwinStage),
    "safety": ("safety_monitor", MonitorParams, SafetyStage),
    "gate": ("command_gate", GateParams, GateStage),
}
