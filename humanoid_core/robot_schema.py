"""The shape of a robot file: pydantic models that refuse unknown keys and name the nearest valid one.

Only structure and single values are judged here; what needs two blocks at once is in ``robot_checks``.
"""

from __future__ import annotations

import difflib
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

#: The one accepted set of units: SI and radians.
UNITS = {"length": "m", "angle": "rad", "mass": "kg", "time": "s", "force": "N", "temperature": "degC"}

Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0.0)]
NotNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0.0)]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0.0, le=1.0)]
Pixels = Annotated[int, Field(strict=True, gt=0, le=8192)]
Name = Annotated[str, Field(strict=True, min_length=1, pattern=r"^[A-Za-z][A-Za-z0-9_/\-]*$")]
Vec3 = tuple[Real, Real, Real]
Vec6 = tuple[Real, Real, Real, Real, Real, Real]
Rgba = tuple[Share, Share, Share, Share]


def nearest(key: str, valid: list[str]) -> str:
    """Return ``; nearest valid key: 'x'`` (or the list of valid keys when nothing is close)."""
    close = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    if close:
        return f"nearest valid key: '{close[0]}'"
    return "valid keys: " + ", ".join(valid[:12]) + (", …" if len(valid) > 12 else "")


def _at(key: str, value: Any, text: str) -> PydanticCustomError:
    """A refusal that points at one key of the block being checked."""
    return PydanticCustomError("at_key", "{text}", {"key": key, "value": value, "text": text})


class Strict(BaseModel):
    """Base of every block: frozen, and an unknown key is refused with the nearest valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    hint = nearest(str(key), list(cls.model_fields))
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key ({hint})",
                        {"key": str(key), "hint": hint, "value": data[key]},
                    )
        return data


class Block(Strict):
    """A block that says where its numbers come from."""

    source: str = ""


class Units(Strict):
    length: Literal["m"]
    angle: Literal["rad"]
    mass: Literal["kg"]
    time: Literal["s"]
    force: Literal["N"]
    temperature: Literal["degC"]


class Model(Strict):
    kind: Literal["bodies", "mjcf", "urdf"]
    file: str | None = None
    mass: Positive | None = None  # of the whole robot, kg; the model must have it

    @model_validator(mode="after")
    def _file_where_needed(self) -> Model:
        if (self.kind == "bodies") != (self.file is None):
            raise _at("file", self.file, "kind 'bodies' takes no file; kinds 'mjcf' and 'urdf' need one")
        return self


class Base(Strict):
    link: Name
    fixed: bool = False


class CommandLimits(Strict):
    velocity: Positive
    acceleration: Positive
    jerk: Positive


class Drive(Strict):
    armature: NotNegative
    kp: NotNegative
    kd: NotNegative
    damping: NotNegative = 0.0
    frictionloss: NotNegative = 0.0
    acceleration: Positive
    jerk: Positive
    command: CommandLimits


class Drives(Block):
    table: dict[Name, Drive]


class Joint(Strict):
    kind: Literal["revolute", "prismatic"] = "revolute"
    axis: Vec3 | None = None
    lower: Real
    upper: Real
    effort: Positive
    velocity: Positive
    drive: Name

    @model_validator(mode="after")
    def _ordered(self) -> Joint:
        for key in ("lower", "upper"):
            if self.kind == "revolute" and not abs(getattr(self, key)) <= 2.0 * math.pi:
                raise _at(key, getattr(self, key), "beyond 2 pi: degrees where radians belong")
        if not self.lower < self.upper:
            raise _at("lower", self.lower, f"inverted limits: not below upper {self.upper}")
        if self.axis is not None and not abs(math.hypot(*self.axis) - 1.0) <= 1e-3:
            raise _at("axis", list(self.axis), "not a unit vector")
        return self


class Joints(Block):
    table: dict[Name, Joint]


class Shape(Strict):
    """One primitive. box: xyz, rpy, half; sphere: xyz, radius; capsule, cylinder: fromto, radius. Metres."""

    shape: Literal["box", "sphere", "capsule", "cylinder"]
    xyz: Vec3 = (0.0, 0.0, 0.0)
    rpy: Vec3 = (0.0, 0.0, 0.0)
    half: tuple[Positive, Positive, Positive] | None = None
    radius: Positive | None = None
    fromto: Vec6 | None = None
    rgba: Rgba = (0.7, 0.7, 0.7, 1.0)
    collide: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Shape:
        wants = {
            "box": ("half",),
            "sphere": ("radius",),
            "capsule": ("radius", "fromto"),
            "cylinder": ("radius", "fromto"),
        }[self.shape]
        for key in ("half", "radius", "fromto"):
            if (getattr(self, key) is None) == (key in wants):
                raise _at(key, getattr(self, key), f"a {self.shape} takes {' and '.join(wants)}")
        return self


class Link(Strict):
    link: Name
    parent: Name | None = None
    xyz: Vec3 = (0.0, 0.0, 0.0)
    rpy: Vec3 = (0.0, 0.0, 0.0)
    joint: Name | None = None
    mass: NotNegative = 0.0
    com: Vec3 = (0.0, 0.0, 0.0)
    inertia: Vec6 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    shapes: tuple[Shape, ...] = ()


class Bodies(Block):
    links: tuple[Link, ...]


class Postures(Block):
    """Joints left out are at 0 (or the limit next to it); a posture left out is ``stand``."""

    stand: dict[Name, Real] = {}
    rest: dict[Name, Real] = {}
    crouch: dict[Name, Real] = {}
    fall: dict[Name, Real] = {}


class Hand(Strict):
    link: Name
    point: Vec3
    axis: Vec3 = (1.0, 0.0, 0.0)


class Hands(Block):
    left: Hand | None = None
    right: Hand | None = None


class Imu(Strict):
    name: Name
    topic: Name
    link: Name
    xyz: Vec3 = (0.0, 0.0, 0.0)
    rpy: Vec3 = (0.0, 0.0, 0.0)


class Imus(Block):
    list: tuple[Imu, ...] = ()


class Foot(Strict):
    name: Name
    topic: Name
    link: Name
    points: Annotated[tuple[Vec3, ...], Field(min_length=1)]


class Feet(Block):
    radius: Positive = 0.005
    friction: Positive = 0.6
    list: tuple[Foot, ...] = ()


class Camera(Block):
    name: Name
    link: Name
    xyz: Vec3 = (0.0, 0.0, 0.0)
    rpy: Vec3 = (0.0, 0.0, 0.0)
    width: Pixels
    height: Pixels
    fovy: Annotated[float, Field(strict=True, gt=0.0, lt=math.pi)]
    rate: Positive
    near: Positive
    far: Positive


class Source(Strict):
    kind: Literal["joints", "imu", "wrench", "image", "depth", "battery", "motors"]
    rate: Positive
    max_age_ms: Positive
    frozen_ms: NotNegative = 0.0
    required: bool = False
    backup: Name | None = None


class JointRecovery(Strict):
    """What happens when a joint's sensor or motor is lost. ``stop``: the upper body halts."""

    sensor_lost: Literal["stop", "estimate"] = "stop"
    actuator_lost: Literal["stop", "remove"] = "stop"
    reason: Annotated[str, Field(strict=True, min_length=1)]


class Recovery(Block):
    """Joints that are not named stop. ``at_most``: joints that may be estimated, or removed, at the same time."""

    at_most: Annotated[int, Field(strict=True, gt=0)] = 1
    joints: dict[Name, JointRecovery] = {}


class ContactRegion(Strict):
    """A part of the robot that may press on a person: a hand, its force estimated from the joints of ``group``."""

    side: Literal["left", "right"]
    group: Name
    meets: Annotated[tuple[Name, ...], Field(min_length=1)]


class Contact(Block):
    """``person``: largest quasi-static force in N by region of the body; a part of the robot keeps to the smallest of
    the regions that it may meet."""

    person: dict[Name, Positive] = {}
    regions: dict[Name, ContactRegion] = {}


class Thermal(Block):
    warn: Positive = 70.0
    limit: Positive = 85.0


class Battery(Block):
    nominal: Positive = 46.8
    full: Positive = 54.0
    warn: Positive = 43.0
    min: Positive = 39.0
    capacity_ah: Positive = 9.0
    resistance: NotNegative = 0.08


class RobotFile(Strict):
    """The whole file."""

    name: Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]*$")]
    description: str = ""
    variant: str = ""
    units: Units
    model: Model
    base: Base
    drives: Drives
    joints: Joints
    bodies: Bodies | None = None
    collision_exclude: tuple[tuple[Name, Name], ...] = ()
    groups: dict[Name, tuple[Name, ...]]
    postures: Postures = Postures()
    hands: Hands = Hands()
    imus: Imus = Imus()
    feet: Feet = Feet()
    camera: Camera | None = None
    sources: dict[Name, Source] = {}
    thermal: Thermal = Thermal()
    battery: Battery = Battery()
    recovery: Recovery = Recovery()
    contact: Contact = Contact()
