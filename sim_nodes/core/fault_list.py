"""The list of faults that can be switched on: what each does, what it acts on, its default value and bounds."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

#: The numbers of each kind of sample that value faults act on.
FIELDS = {"joints": "position", "imu": "angular_velocity", "wrench": "force", "battery": "voltage",
          "motors": "temperature", "image": "data", "depth": "data"}
ANY = tuple(FIELDS)
MOTOR, HAND = "motor", "hand"


@dataclass(frozen=True)
class FaultKind:
    """One row of the list. ``on``: kinds of sensors, MOTOR or HAND; ``value``: the default, with bounds."""

    name: str
    doc: str
    on: tuple[str, ...] = ANY
    target: str = "joint_states"
    value: float = 1.0
    unit: str = ""
    low: float = -1e6
    high: float = 1e6


_IMAGES, CAMERA = ("image", "depth"), "camera/head"
_KINDS = (
    FaultKind("stop", "the sensor publishes nothing"),
    FaultKind("camera_stop", "no pictures", _IMAGES, CAMERA),
    FaultKind("freeze", "values stay while stamps advance"),
    FaultKind("camera_freeze", "the same picture with new stamps", _IMAGES, CAMERA),
    FaultKind("blackout", "black pictures, depth without returns", _IMAGES, CAMERA),
    FaultKind("nan", "one number is not a number"),
    FaultKind("inf", "one number is infinite"),
    FaultKind("stale_stamp", "stamps lie back", value=1.0, unit="s", low=0.0, high=3600.0),
    FaultKind("future_stamp", "stamps lie ahead", value=1.0, unit="s", low=0.0, high=3600.0),
    FaultKind("zero_stamp", "stamps are zero"),
    FaultKind("out_of_order", "every so-many-th message comes after its successor", value=10, low=2, high=10000),
    FaultKind("duplicate", "every message comes twice"),
    FaultKind("delay", "messages come later", value=0.1, unit="s", low=0.0, high=10.0),
    FaultKind("dropout", "this share of the messages is lost", value=0.3, low=0.0, high=1.0),
    FaultKind("wrong_length", "the last number is missing", ("joints", "motors")),
    FaultKind("wrong_names", "one joint has a name that the robot does not", ("joints", "motors")),
    FaultKind("joint_order", "names and numbers in another order, which is allowed", ("joints",)),
    FaultKind("degrees", "degrees where radians belong", ("joints", "imu")),
    FaultKind("spike", "one sample is off by this much", ("joints", "imu", "wrench", "battery", "motors"), value=5.0),
    FaultKind("drift", "the error grows by this much per second",
              ("joints", "imu", "wrench", "battery", "motors"), value=0.02, unit="1/s"),
    FaultKind("bias", "the values are off by this much", ("joints", "imu", "wrench", "battery", "motors"), value=0.1),
    FaultKind("noise", "noise of this standard deviation comes on top",
              ("joints", "imu", "wrench", "battery", "motors"), value=0.1, low=0.0),
    FaultKind("non_unit_quaternion", "the orientation's norm is this", ("imu",), "imu/pelvis", 1.1, low=0.0, high=10.0),
    FaultKind("imu_tilt", "the orientation is rolled by this angle", ("imu",), "imu/pelvis", 0.2, "rad", -3.2, 3.2),
    FaultKind("no_contact", "the foot feels nothing", ("wrench",), "foot_contacts/left"),
    FaultKind("battery_sag", "the voltage falls by this much per second", ("battery", "motors"),
              "battery_state", 0.5, "V/s", 0.0, 100.0),
    FaultKind("motor_fault", "the drive reports these fault bits, and works", ("motors",), "left_wrist_yaw_joint", 1.0,
              low=1.0, high=2.0**31),
    FaultKind("actuator_dead", "the motor gives no torque", (MOTOR,), "right_elbow_joint"),
    FaultKind("actuator_weak", "the motor gives this share of its torque", (MOTOR,), "right_elbow_joint", 0.3,
              low=0.0, high=1.0),
    FaultKind("actuator_stuck", "the motor keeps the torque it gives now", (MOTOR,), "right_elbow_joint"),
    FaultKind("overheating", "the motor warms by this much per second", (MOTOR,), "right_elbow_joint", 1.0, "K/s",
              0.0, 100.0),
    FaultKind("encoder_bias", "the motor's encoder is off by this much: it is reported so and driven by it", (MOTOR,),
              "left_elbow_joint", 0.0524, "rad", -1.0, 1.0),
    FaultKind("payload", "the hand carries this mass, which nobody was told of", (HAND,), "left", 1.0, "kg", 0.0, 10.0),
)
FAULTS: dict[str, FaultKind] = {kind.name: kind for kind in _KINDS}


def nearest(word: str, valid: Iterable[str]) -> str:
    """'did you mean …? valid: …' for a refusal."""
    names = list(valid)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.4)
    return (f"did you mean '{close[0]}'? " if close else "") + f"valid: {', '.join(names) or 'none on this robot'}"


def as_markdown() -> str:
    """The list of faults as a table."""
    rows = ["| fault | default target | default value | what |", "|---|---|---|---|"]
    return "\n".join(rows + [f"| `{k.name}` | `{k.target}` | {k.value:g} {k.unit} | {k.doc} |" for k in _KINDS])
