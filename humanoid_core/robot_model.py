"""What a loaded robot is made of: frozen dataclasses, SI units and radians, arrays read-only float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GeomSpec:
    """One primitive in its link's frame. box: xyz, rpy, half; sphere: xyz, radius; else: fromto, radius."""

    shape: str
    xyz: tuple[float, ...]
    rpy: tuple[float, ...]
    half: tuple[float, ...] | None
    radius: float | None
    fromto: tuple[float, ...] | None
    rgba: tuple[float, ...]
    collide: bool


@dataclass(frozen=True)
class BodySpec:
    """A link: frame in the parent (xyz m, rpy rad), the joint that moves it (None: fixed), mass kg, centre of
    mass m, inertia (xx xy xz yy yz zz, kg m^2, about the centre of mass in link axes), shapes."""

    link: str
    parent: str | None
    xyz: tuple[float, ...]
    rpy: tuple[float, ...]
    joint: str | None
    mass: float
    com: tuple[float, ...]
    inertia: tuple[float, ...]
    geoms: tuple[GeomSpec, ...]


@dataclass(frozen=True)
class HandSpec:
    """Where a hand touches: ``point`` (m) and pointing direction ``axis`` (unit) in the link's frame."""

    link: str
    point: Array
    axis: Array


@dataclass(frozen=True)
class ImuSpec:
    """An inertial unit: frame in its link (xyz m, rpy rad)."""

    name: str
    topic: str
    link: str
    xyz: Array
    rpy: Array


@dataclass(frozen=True)
class FootSpec:
    """A foot: ``points`` (k, 3), centres of its contact spheres in the link's frame, m."""

    name: str
    topic: str
    link: str
    points: Array


@dataclass(frozen=True)
class CameraSpec:
    """A camera frame, x along the view, z up; ``fovy`` vertical field of view in rad; near, far in m."""

    name: str
    link: str
    xyz: Array
    rpy: Array
    width: int
    height: int
    fovy: float
    rate: float
    near: float
    far: float

    @property
    def focal(self) -> float:
        """Focal length in pixels (square pixels): f = height / (2 tan(fovy / 2))."""
        return self.height / (2.0 * math.tan(self.fovy / 2.0))

    @property
    def k(self) -> Array:
        """Intrinsic matrix (3, 3); pixel centres at integers, so the principal point is (width - 1) / 2."""
        f = self.focal
        return np.array([[f, 0.0, (self.width - 1) / 2.0], [0.0, f, (self.height - 1) / 2.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class SourceSpec:
    """A raw topic: rate Hz, age that makes it stale, time unchanged that makes it frozen (0: never)."""

    topic: str
    kind: str
    rate: float
    max_age_ms: float
    frozen_ms: float
    required: bool
    backup: str | None


@dataclass(frozen=True)
class ThermalSpec:
    """Motor temperatures in degrees Celsius."""

    warn: float
    limit: float


@dataclass(frozen=True)
class BatterySpec:
    """Battery voltages in V, capacity in A h, inner resistance in ohm."""

    warn_v: float
    min_v: float
    nominal: float
    full_v: float
    capacity_ah: float
    resistance: float


@dataclass(frozen=True)
class ContactSpec:
    """A hand that may press on somebody: the joints that feel it (``group``), the largest ``force`` in N."""

    name: str
    side: str
    group: str
    force: float


@dataclass(frozen=True)
class RecoverySpec:
    """Joints that the robot can do without for a while. ``watch``: their sensors are watched one by one;
    ``estimate``: of these the twin's estimate stands in for a lost sensor; ``remove``: their motors may drop out of
    the controlled set; ``at_most``: joints estimated, or removed, at the same time."""

    watch: tuple[str, ...] = ()
    estimate: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    at_most: int = 1


@dataclass(frozen=True, eq=False)
class RobotModel:
    """Everything known about one robot. Arrays are read-only float64[n] in the order of ``joint_names``."""

    name: str
    description: str
    variant: str
    hash: str
    file: str
    model_kind: str
    model_file: str | None
    base_link: str
    base_fixed: bool
    joint_names: tuple[str, ...]
    joint_kinds: tuple[str, ...]
    axes: tuple[tuple[float, ...] | None, ...]
    lower: Array
    upper: Array
    velocity: Array
    effort: Array
    acceleration: Array
    jerk: Array
    command_velocity: Array
    command_acceleration: Array
    command_jerk: Array
    armature: Array
    damping: Array
    frictionloss: Array
    kp: Array
    kd: Array
    stand: Array
    rest: Array
    crouch: Array
    fall: Array
    groups: Mapping[str, tuple[int, ...]]
    hands: Mapping[str, HandSpec]
    imus: tuple[ImuSpec, ...]
    feet: tuple[FootSpec, ...]
    foot_radius: float
    foot_friction: float
    camera: CameraSpec | None
    sources: Mapping[str, SourceSpec]
    thermal: ThermalSpec
    battery: BatterySpec
    bodies: tuple[BodySpec, ...]
    collision_exclude: tuple[tuple[str, str], ...]
    _index: Mapping[str, int] = field(repr=False, default_factory=dict)
    recovery: RecoverySpec = RecoverySpec()
    contact: tuple[ContactSpec, ...] = ()
    stated_mass: float | None = None
    """Of the whole robot, kg, by the robot file; None: it does not say."""

    @property
    def n(self) -> int:
        """Number of joints."""
        return len(self.joint_names)

    def index(self, name: str) -> int:
        """Position of a joint in every array here; KeyError for a name that this robot does not have."""
        return self._index[name]

    @property
    def mass(self) -> float:
        """Sum of the link masses in kg (0 when a model file carries the bodies)."""
        return float(sum(b.mass for b in self.bodies))
