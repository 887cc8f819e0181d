"""What the processes say to one another, as plain data. Each class mirrors the message of the same name in msg/.

Arrays are float64 in the joint order of the robot file unless joint names stand beside them. Stamps are
nanoseconds. Quaternions are w x y z. SI units and radians.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EMPTY: Array = np.zeros(0)
EMPTY.setflags(write=False)


def _nan(*shape: int) -> Array:
    return np.full(shape, np.nan)


class Level(IntEnum):
    """Safety level, least to most restrictive."""

    SAFE = 0
    CAUTION = 1
    WARNING = 2
    DANGER = 3
    EMERGENCY = 4


class Mode(IntEnum):
    """What the gate asks of the robot's onboard controller."""

    RUN = 0
    HOLD = 1
    DAMP = 2
    CROUCH = 3


class Posture(IntEnum):
    """How the robot shall come to rest in an emergency."""

    HOLD = 0
    CROUCH = 1
    FALL = 2


class TwinStatus(IntEnum):
    WAITING = 0
    OK = 1
    STALE = 2


@dataclass(frozen=True)
class JointSample:
    """sensor_msgs/JointState as it arrived; order = ``names``."""

    stamp_ns: int
    names: tuple[str, ...]
    position: Array
    velocity: Array = field(default_factory=lambda: EMPTY)
    effort: Array = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True)
class ImuSample:
    """sensor_msgs/Imu: orientation w x y z, rad/s and m/s^2 in the IMU frame (gravity included)."""

    stamp_ns: int
    orientation: Array
    angular_velocity: Array
    linear_acceleration: Array


@dataclass(frozen=True)
class WrenchSample:
    """geometry_msgs/WrenchStamped: N and N m in the sole frame."""

    stamp_ns: int
    force: Array
    torque: Array


@dataclass(frozen=True)
class BatterySample:
    """sensor_msgs/BatteryState: V, A (negative: discharging) and charge 0..1."""

    stamp_ns: int
    voltage: float
    current: float
    percentage: float


@dataclass(frozen=True)
class MotorSample:
    """humanoid_twin/MotorStatus; order = ``names``."""

    stamp_ns: int
    names: tuple[str, ...]
    temperature: Array
    current: Array
    voltage: Array
    fault: tuple[int, ...]


@dataclass(frozen=True)
class ImageSample:
    """One picture: ``data`` is uint8[h, w, 3] RGB or float32[h, w] metres."""

    stamp_ns: int
    encoding: str
    data: NDArray[np.generic]


@dataclass(frozen=True)
class RobotState:
    """Everything sensed at one instant; ``stamp_ns`` is the capture time of the joint sample. ``battery_current`` in A,
    negative while the battery is discharged."""

    stamp_ns: int
    seq: int
    position: Array
    velocity: Array
    effort: Array
    temperature: Array
    orientation: Array
    angular_velocity: Array
    linear_acceleration: Array
    foot_force: Array  # [2, 3] N, left then right
    battery_voltage: float
    battery_current: float
    stale_sources: tuple[str, ...] = ()
    imu_source: str = ""
    estimated_joints: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceHealth:
    topic: str
    state: str
    active: bool
    backup: str
    accepted: int
    age_ms: float
    rate_hz: float
    expected_rate_hz: float
    jitter_ms: float
    gap_ms: float
    gaps: int
    refusals: tuple[tuple[str, int], ...] = ()
    last_refusal: str = ""
    delay_ms: float = float("nan")


@dataclass(frozen=True)
class SensorHealth:
    stamp_ns: int
    sources: tuple[SourceHealth, ...]
    all_required_ok: bool


@dataclass(frozen=True)
class TwinState:
    """The twin's estimate. ``base_*``, ``com`` and ``capture_point`` in the world frame."""

    stamp_ns: int
    revision: int
    model_hash: str
    position: Array
    velocity: Array
    position_stddev: Array
    external_torque: Array
    base_position: Array
    base_orientation: Array
    base_linear: Array
    base_angular: Array
    com: Array
    capture_point: Array
    support_margin: float
    nis: Array
    sync_quality: float
    latency: float
    status: TwinStatus
    anomalies: tuple[str, ...] = ()
    velocity_stddev: Array = field(default_factory=lambda: EMPTY)
    desired_position: Array = field(default_factory=lambda: EMPTY)
    predicted_position: Array = field(default_factory=lambda: EMPTY)
    predicted_velocity: Array = field(default_factory=lambda: EMPTY)
    outlier_threshold: Array = field(default_factory=lambda: EMPTY)
    source_delay: tuple[tuple[str, float, float], ...] = ()  # topic, delay in s, its drift in s/s
    diagnosis: str = ""
    model_revision: int = 0
    quality_parts: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    quality_trend: float = 0.0
    command_seq: int = 0


@dataclass(frozen=True)
class TwinPrediction:
    """What the twin expects of the pending chunk; ``chunk_seq`` 0: none is pending."""

    stamp_ns: int
    chunk_seq: int
    horizon: float
    min_joint_margin: float
    min_self_distance: float
    min_support_margin: float
    first_violation_code: str = ""
    first_violation_time: float = float("nan")
    error_20ms: float = float("nan")
    error_100ms: float = float("nan")
    error_500ms: float = float("nan")
    error_hold: tuple[float, float, float] = (float("nan"),) * 3
    error_velocity: tuple[float, float, float] = (float("nan"),) * 3
    first_violation_subject: str = ""
    min_environment_distance: float = float("nan")


@dataclass(frozen=True)
class ActuatorHealth:
    """Trend of one actuator; NaN = unknown. Times in s, friction in N m s/rad and N m."""

    name: str
    viscous_friction: float
    coulomb_friction: float
    tracking_error: float
    temperature: float
    trend: str
    time_to_threshold: float
    time_low: float
    time_high: float
    recommendation: str


@dataclass(frozen=True)
class TwinHealth:
    stamp_ns: int
    model_revision: int
    actuators: tuple[ActuatorHealth, ...] = ()


@dataclass(frozen=True)
class ActionChunk:
    """A policy's plan: ``positions`` is [steps, joints] in rad; row k is for stamp + (k + 1) * step_dt. ``seq`` counts
    up from 1 within an epoch."""

    stamp_ns: int  # capture time of the oldest observation used
    seq: int
    epoch: int
    policy_id: str
    instruction: str
    joint_names: tuple[str, ...]
    step_dt: float
    positions: Array
    confidence: float
    inference_start_ns: int = 0
    inference_end_ns: int = 0


@dataclass(frozen=True)
class JointCommand:
    """Set-points by name; empty velocity, effort, kp or kd = not commanded."""

    stamp_ns: int
    seq: int
    epoch: int
    source: str
    joint_names: tuple[str, ...]
    position: Array
    velocity: Array = field(default_factory=lambda: EMPTY)
    effort: Array = field(default_factory=lambda: EMPTY)
    kp: Array = field(default_factory=lambda: EMPTY)
    kd: Array = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True)
class Violation:
    code: str
    subject: str
    value: float
    limit: float
    severity: float
    since_ns: int


@dataclass(frozen=True)
class SafetyStatus:
    stamp_ns: int
    level: Level
    estop_latched: bool
    cause: str
    violations: tuple[Violation, ...]
    tick: int
    overruns: int
    tick_lateness: float


@dataclass(frozen=True)
class Permit:
    """Leave to move; ``validity`` in seconds on the receiver's monotonic clock."""

    stamp_ns: int
    seq: int
    level: Level
    scale: float
    validity: float
    accept_new: bool
    estop_latched: bool
    reset_count: int
    posture: Posture = Posture.HOLD
    removed_joints: tuple[str, ...] = ()


@dataclass(frozen=True)
class SafetyEvent:
    """One line of a safety node's event log."""

    stamp_ns: int
    source: str
    seq: int
    kind: str
    level: Level
    code: str
    subject: str
    text: str


#: Sequence number with which a released stop source says goodbye: from then on its silence is no press.
ESTOP_SIGN_OFF = 2**64 - 1
#: How the monitor's violation begins while more stop sources speak than it watches: some must sign off.
ESTOP_TOO_MANY = "too many stop sources"


@dataclass(frozen=True)
class EStopState:
    stamp_ns: int
    source: str
    pressed: bool
    seq: int


@dataclass(frozen=True)
class OverrideState:
    stamp_ns: int
    operator: str
    active: bool
    mode: int
    joint_names: tuple[str, ...]
    velocity: Array
    seq: int


@dataclass(frozen=True)
class RobotMode:
    stamp_ns: int
    mode: Mode
    reason: str
    seq: int


@dataclass(frozen=True)
class GateStatus:
    stamp_ns: int
    state: str
    reason: str
    passed: int
    held: int
    refusals: tuple[tuple[str, int], ...]
    tick: int
    overruns: int
    tick_lateness: float
    permit_age: float


@dataclass(frozen=True)
class VlaStatus:
    stamp_ns: int
    state: str
    reason_code: str
    detail: str
    instruction: str
    policy_id: str
    epoch: int
    progress: float
    confidence: float
    inference_ms: float
    chunks: int
    refusals: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class ObjectTruth:
    name: str
    position: Array
    orientation: Array
    left_hand_distance: float
    right_hand_distance: float


@dataclass(frozen=True)
class SimTruth:
    stamp_ns: int
    base_position: Array
    base_orientation: Array
    left_hand: Array = field(default_factory=lambda: _nan(3))
    right_hand: Array = field(default_factory=lambda: _nan(3))
    left_axis: Array = field(default_factory=lambda: _nan(3))
    right_axis: Array = field(default_factory=lambda: _nan(3))
    objects: tuple[ObjectTruth, ...] = ()
    fallen: bool = False
    mode: str = ""
    mode_reason: str = ""
    real_time_factor: float = 1.0
