"""The cores behind one face, as the nodes feed them: what came goes to ``on``, every 10 ms of recorded time ``tick``.

Each stage mirrors its node (twin_nodes/, safety_nodes/) without middleware, threads or clocks: arrival times of the
recording stand for both ROS time and monotonic time. Outputs are (topic, dataclass).
"""

from __future__ import annotations

from typing import Any, Protocol

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS
from humanoid_core.types import GateStatus, JointSample, Permit, RobotMode, SafetyStatus, TwinState, TwinStatus
from safety_nodes.core.config import GateConfig, MonitorConfig
from safety_nodes.core.gate import Gate, GateInputs, GateOutput
from safety_nodes.core.memory import Memory
from safety_nodes.core.monitor import evaluate
from safety_nodes.core.types import Inputs, Received
from safety_nodes.params import GateParams, MonitorParams, core_config
from twin_nodes.core.ingest import IngestCore
from twin_nodes.core.prediction import Predictor
from twin_nodes.core.twin import TwinConfig, TwinCore
from twin_nodes.core.verdict import IngestConfig
from twin_nodes.params import IngestParams, TwinParams

Outputs = list[tuple[str, Any]]

TICK_NS = 10 * MS
STATE, HEALTH, TWIN = "ingest/robot_state", "ingest/sensor_health", "twin/state"
PERMIT, COMMAND = "safety/permit", "robot/joint_command"
NEWEST = {STATE: "state", HEALTH: "health", TWIN: "twin", COMMAND: "command", "safety/override": "override"}
PICTURES = ("image", "depth")
#: As in twin_sync: of states at 200 Hz every second one is used, of slower ones each.
SPACING_NS = 7_500_000
#: Ticks between two reports of sensor health, gate status and mode, and two predictions.
EACH = 10


class Stage(Protocol):
    """``required``: without these inputs it has nothing to do. ``value`` None: a message that could not be read."""

    name: str
    inputs: tuple[str, ...]
    required: tuple[str, ...]
    outputs: tuple[str, ...]

    def on(self, topic: str, value: Any, now_ns: int) -> Outputs: ...

    def tick(self, now_ns: int, count: int) -> Outputs: ...

    def refusals(self) -> dict[str, int]:
        """What was refused: '<topic> <code>' -> count."""
        ...


class IngestStage:
    """sensor_ingest without pictures."""

    name, required, outputs = "ingest", ("joint_states",), (STATE, HEALTH)

    def __init__(self, robot: RobotModel, params: IngestParams) -> None:
        sources = {t: s for t, s in robot.sources.items() if s.kind not in PICTURES}
        self.inputs = tuple(sources)
        self.core = IngestCore(sources, robot, IngestConfig(
            params.future_ms, params.handback_ms, position_margin=params.position_margin,
            disagreement=params.disagreement))

    def on(self, topic: str, value: Any, now_ns: int) -> Outputs:
        if value is None:
            return []
        state = self.core.on_sample(topic, value, now_ns).state
        return [] if state is None else [(STATE, state)]

    def tick(self, now_ns: int, count: int) -> Outputs:
        return [(HEALTH, self.core.health(now_ns))] if count % EACH == 0 else []

    def refusals(self) -> dict[str, int]:
        return {f"{t} {code}": n for t, s in self.core.sources.items() for code, n in s.refusals.items()}


class TwinStage:
    """twin_sync with its predictions."""

    name, inputs, required = "twin", (STATE, "vla/action_chunk"), (STATE,)
    outputs = (TWIN, "twin/joint_states", "twin/prediction")

    def __init__(self, robot: RobotModel, params: TwinParams) -> None:
        self.robot = robot
        self.core = TwinCore(robot, TwinConfig(params.stale_ms, params.position_noise,
                                               contact_share=params.contact_share))
        self.predictor = Predictor(robot, params.horizon, params.self_distance_cap)
        self._silence_ns = round(params.stale_ms * MS)
        self._stamp_ns = self._heard_ns = self._resets = 0

    def on(self, topic: str, value: Any, now_ns: int) -> Outputs:
        if value is None:
            return []
        if topic != STATE:
            self.predictor.on_chunk(value)
            return []
        if 0 <= value.stamp_ns - self._stamp_ns < SPACING_NS:
            return []
        self._stamp_ns = value.stamp_ns
        twin = self.core.on_state(value, now_ns)
        if twin is None:
            return []
        self._heard_ns = now_ns
        if self.core.resets.total != self._resets:
            self._resets = self.core.resets.total
            self.predictor.clear()
        self.predictor.on_state(value)
        return self._said(twin)

    def tick(self, now_ns: int, count: int) -> Outputs:
        out: Outputs = []
        self._heard_ns = self._heard_ns or now_ns
        silent_ns = now_ns - self._heard_ns
        if silent_ns > self._silence_ns:
            twin = self.core.on_silence(now_ns, silent_ns)
            out += self._said(twin) if twin is not None else []
        state, known = self.core.latest, self.core.state
        if count % EACH == 0 and state is not None and known is not None and known.status == TwinStatus.OK:
            out.append(("twin/prediction", self.predictor.predict(state, known.base_orientation)[0]))
        return out

    def refusals(self) -> dict[str, int]:
        return {**_named(STATE, self.core.refusals), **_named("vla/action_chunk", self.predictor.refusals)}

    def _said(self, twin: TwinState) -> Outputs:
        out: Outputs = [(TWIN, twin)]
        if twin.revision % 2 == 0 and twin.status != TwinStatus.WAITING:
            ghost = JointSample(twin.stamp_ns, self.robot.joint_names, twin.position, twin.velocity)
            out.append(("twin/joint_states", ghost))
        return out


class SafetyStage:
    """safety_monitor. A recording does not say who sent a message, so nobody is an intruder here."""

    name, required, outputs = "safety", (STATE,), (PERMIT, "safety/status")
    inputs = (*NEWEST, "safety/estop")

    def __init__(self, robot: RobotModel, params: MonitorParams) -> None:
        self.robot, self.config = robot, core_config("safety_monitor", MonitorConfig, params)
        self.memory = Memory()
        self._newest: dict[str, Received[Any]] = {}
        self._estops: list[Received[Any]] = []

    def on(self, topic: str, value: Any, now_ns: int) -> Outputs:
        if topic == "safety/estop":
            self._estops.append(Received(value, now_ns))
        else:
            self._newest[NEWEST[topic]] = Received(value, now_ns)
        return []

    def tick(self, now_ns: int, count: int) -> Outputs:
        inputs = Inputs(now_ns, estops=tuple(self._estops), **self._newest)
        self._estops = []
        v = evaluate(inputs, now_ns, self.robot, self.config, self.memory)
        seq = count + 1
        return [(PERMIT, Permit(now_ns, seq, v.level, v.scale, self.config.permit_validity, v.accept_new, v.latched,
                                v.reset_count)),
                ("safety/status", SafetyStatus(now_ns, v.level, v.latched, v.cause, v.violations, seq, 0, 0.0))]

    def refusals(self) -> dict[str, int]:
        return {}


class GateStage:
    """command_gate."""

    name, inputs, required = "gate", (PERMIT, "vla/joint_command", STATE), (STATE, PERMIT)
    outputs = (COMMAND, "robot/mode", "safety/gate")

    def __init__(self, robot: RobotModel, params: GateParams) -> None:
        self.gate = Gate(robot, core_config("command_gate", GateConfig, params))
        self._permits: list[Received[Any]] = []
        self._commands: list[Received[Any]] = []
        self._state: Received[Any] | None = None
        self._last: GateOutput | None = None
        self._mode_seq = 0

    def on(self, topic: str, value: Any, now_ns: int) -> Outputs:
        received = Received(value, now_ns)
        if topic == STATE:
            self._state = received
        else:
            (self._permits if topic == PERMIT else self._commands).append(received)
        return []

    def tick(self, now_ns: int, count: int) -> Outputs:
        inputs = GateInputs(tuple(self._permits), tuple(self._commands), self._state)
        self._permits, self._commands, self._state = [], [], None
        said = self.gate.step(now_ns, now_ns, inputs)
        out: Outputs = [] if said.command is None else [(COMMAND, said.command)]
        last, self._last = self._last, said
        periodic = count % EACH == 0 or last is None
        if periodic or last is None or said.mode != last.mode:
            self._mode_seq += 1
            out.append(("robot/mode", RobotMode(now_ns, said.mode, said.reason, self._mode_seq)))
        if periodic or last is None or (said.state, said.reason) != (last.state, last.reason):
            out.append(("safety/gate", GateStatus(now_ns, said.state, said.reason, self.gate.passed, self.gate.held,
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
