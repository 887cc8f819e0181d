"""What the monitor's rules look at, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import (
    EStopState,
    GateStatus,
    JointCommand,
    Level,
    MotorSample,
    OverrideState,
    Posture,
    RobotState,
    SensorHealth,
    TwinPrediction,
    TwinState,
    Violation,
    VlaStatus,
)

if TYPE_CHECKING:
    from safety_nodes.core.config import MonitorConfig
    from safety_nodes.core.memory import Memory

T = TypeVar("T")


@dataclass(frozen=True)
class Received(Generic[T]):
    """A message's content (None: unreadable), when it arrived (monotonic ns), and its sender's identity."""

    value: T | None
    mono_ns: int
    sender: bytes = b""

    def silent(self, now_ns: int, timeout: float) -> bool:
        """Whether nothing newer came for ``timeout`` s."""
        return now_ns - self.mono_ns > timeout * NS


@dataclass(frozen=True)
class Inputs:
    """The newest of each input at one tick; None: never seen. ``ros_ns`` is ROS time, for stamps only."""

    ros_ns: int
    state: Received[RobotState] | None = None
    health: Received[SensorHealth] | None = None
    twin: Received[TwinState] | None = None
    command: Received[JointCommand] | None = None  # what the gate sends to the robot
    motors: Received[MotorSample] | None = None  # as the robot says it: order = its names
    policy: Received[VlaStatus] | None = None
    prediction: Received[TwinPrediction] | None = None
    gate: Received[GateStatus] | None = None
    heard: tuple[tuple[str, int], ...] | None = None  # topics and messages since the last tick; None: not counted
    estops: tuple[Received[EStopState], ...] = ()  # every heartbeat since the last tick
    overrides: tuple[Received[OverrideState], ...] = ()  # the same
    intruders: tuple[str, ...] = ()  # gated topics on which two senders are alive
    publishers: tuple[tuple[str, int], ...] = ()  # gated topics and how many publishers the graph shows


@dataclass(frozen=True)
class Finding:
    """One thing that is not well. ``severity`` 0..1, see severity.py; ``value`` against ``limit`` in SI units."""

    code: str
    subject: str
    value: float
    limit: float
    severity: float


@dataclass(frozen=True)
class Tick:
    """All that a rule may look at. ``state`` is None until one of the right shape came."""

    inputs: Inputs
    now_ns: int
    robot: RobotModel
    config: MonitorConfig
    memory: Memory
    state: RobotState | None


@dataclass(frozen=True)
class Verdict:
    """The monitor's word for one tick."""

    level: Level
    raw_level: Level  # before dwell and latch
    latched: bool
    cause: str
    violations: tuple[Violation, ...]
    scale: float
    accept_new: bool
    reset_count: int
    posture: Posture = Posture.HOLD
    removed: tuple[str, ...] = ()  # joints out of the controlled set
    recoveries: tuple[tuple[str, str], ...] = ()  # (code, subject) of what stands in for something lost
