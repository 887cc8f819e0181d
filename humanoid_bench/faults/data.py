"""D1 to D15: what a sensor, or any other input, can say wrongly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from humanoid_bench.faults.deeds import once, sensor
from humanoid_bench.faults.row import Deed, Heard, Row, World
from humanoid_core.types import Level

STATE = ("STALE", "NO_STATE", "FROZEN", "NON_FINITE", "NEVER_SEEN")
SIDE = Level.DANGER  # the most that may come of a sensor that only reports


def _joints(id: str, doc: str, name: str, *expect: str, value: float = 0.0, **more: Any) -> Row:
    return Row(id, doc, sensor(name, "joint_states", value), expect, level=Level.DANGER, most=Level.DANGER,
               within_ms=more.pop("within_ms", 40.0), **more)


def _backup(id: str, doc: str, name: str, *expect: str, value: float = 0.0) -> Row:
    """A fault of the pelvis' IMU: the torso's stands in and the work goes on, slower."""
    return Row(id, doc, sensor(name, "imu/pelvis", value), ("BACKUP_ACTIVE", *expect), stops=False,
               level=Level.CAUTION, most=Level.CAUTION)


def _report(id: str, doc: str, name: str, target: str, *expect: str, value: float = 0.0, watch: float = 2.0) -> Row:
    """A fault of a sensor that the robot does not move by: named, and no more than that."""
    return Row(id, doc, sensor(name, target, value, seconds=watch), expect, stops=None, most=SIDE, watch=watch)


def inputs_with(topic: str, change: Callable[[Any], Any], beats: int = 20) -> Deed:
    """Say on ``topic`` what is heard on it, changed; in a graph that is a second sender beside the true one."""

    def do(world: World) -> None:
        if hasattr(world, "wire"):
            off = world.wire(topic, change)
            world.wait(0.2)
            off()
            return
        world.listen(topic)  # type: ignore[attr-defined]
        world.wait(1.0, lambda: world.last(topic) is not None)
        for _ in range(beats):
            value = world.last(topic)
            if value is not None:
                world.say(topic, change(value))
            world.wait(0.01)

    return do


def _nan(field: str) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        old = getattr(value, field)
        if np.ndim(old) == 0:
            return replace(value, **{field: float("nan")})
        new = np.array(old, dtype=np.float64)
        new.flat[0] = np.nan
        return replace(value, **{field: new})

    return change


def _no_level_change(world: World, begin_ns: int) -> str:
    """A single spike moves no level."""
    seen = [h.value.level for h in world.heard["safety/status"] if h.mono_ns >= begin_ns]
    return "" if max(seen, default=Level.SAFE) <= Level.SAFE else f"one spike led to level {max(seen).name}"


def _drift_named(world: World, begin_ns: int) -> str:
    """Drift is seen by the residual monitor: the twin, or the rule that judges it."""
    twins: list[Heard] = [h for h in world.heard["twin/state"] if h.mono_ns >= begin_ns]
    status = [v.code for h in world.heard["safety/status"] if h.mono_ns >= begin_ns for v in h.value.violations]
    if any(h.value.anomalies or h.value.diagnosis for h in twins) or "TWIN_RESIDUAL" in status:
        return ""
    return "neither the twin nor TWIN_RESIDUAL named the drift"


ROWS = (
    _joints("D1", "joint sensor stops", "stop", *STATE),
    _backup("D1-imu", "pelvis IMU stops, the torso's stands in", "stop"),
    Row("D1-torso", "torso IMU, the backup, stops", sensor("stop", "imu/torso"), ("STALE",), stops=None,
        most=Level.CAUTION),
    Row("D1-imus", "both IMUs stop", sensor("stop", "imu"), ("STALE",), level=Level.DANGER, most=Level.DANGER,
        within_ms=40.0),
    _report("D1-foot", "left foot's force sensor stops", "stop", "foot_contacts/left", "STALE"),
    _report("D1-battery", "battery gauge stops", "stop", "battery_state", "STALE", watch=2.0),
    _report("D1-motors", "motor status stops", "stop", "motor_status", "STALE"),
    Row("D1-camera", "the camera stops: the policy sees nothing and the arms stand",
        sensor("camera_stop", "camera/head", seconds=3.0), ("STALE", "NO_PICTURE", "NO_COMMAND"), stops=None,
        where="graph", graph="whole", watch=3.0),
    Row("D2", "a joint sensor that never published: nothing activates, no command leaves", lambda world: None,
        ("NEVER_SEEN",), stops=None, level=Level.DANGER, graph="deaf", after="restart", watch=2.0,
        look=lambda world, begin_ns: "a command left" if world.heard["robot/joint_command"] else ""),
    _joints("D3", "joint values freeze while stamps advance", "freeze", *STATE, within_ms=250.0),
    _backup("D3-imu", "the pelvis IMU's values freeze", "freeze", "FROZEN"),
    _joints("D4", "joint stamps lie a second back", "stale_stamp", *STATE, value=1.0),
    _backup("D4-imu", "the pelvis IMU's stamps lie a second back", "stale_stamp", "STALE", value=1.0),
    _joints("D5", "joint stamps lie a second ahead", "future_stamp", "FUTURE", *STATE, value=1.0),
    _joints("D6", "joint stamps are zero", "zero_stamp", "ZERO_STAMP", *STATE),
    Row("D7", "every tenth joint sample comes after its successor", sensor("out_of_order", "joint_states", 10),
        ("OUT_OF_ORDER",), stops=False, most=Level.SAFE),
    Row("D8", "every joint sample comes twice", sensor("duplicate", "joint_states"), ("DUPLICATE",), stops=False,
        most=Level.SAFE),
    _joints("D9", "a joint reads NaN", "nan", *STATE),
    _joints("D9-inf", "a joint reads infinity", "inf", *STATE),
    Row("D9-wrist", "a wrist's joint reads NaN: the twin's estimate stands in", sensor("nan", "left_wrist_yaw_joint"),
        ("ESTIMATED",), stops=None, level=Level.CAUTION, most=Level.CAUTION),
    _backup("D9-imu", "the pelvis IMU reads NaN", "nan", "NON_FINITE"),
    _report("D9-wrench", "a foot's force is NaN", "nan", "foot_contacts/left", "NON_FINITE"),
    _report("D9-battery", "the battery's voltage is NaN", "nan", "battery_state", "NON_FINITE"),
    _report("D9-motors", "a motor's temperature is NaN", "nan", "motor_status", "NON_FINITE"),
    Row("D9-command", "one command holds NaN", once(_nan("position")), ("NON_FINITE",), within_ms=15.0,
        most=Level.CAUTION),
    Row("D9-velocity", "one command's velocity holds NaN", once(_nan("velocity")), ("NON_FINITE",), within_ms=15.0,
        most=Level.CAUTION),
    Row("D9-permit", "permits hold NaN", inputs_with("safety/permit", _nan("scale")),
        ("OUT_OF_RANGE", "NON_FINITE", "PUBLISHER", "NO_PERMIT"), within_ms=50.0, after="reset"),
    Row("D9-twin", "the twin's joints hold NaN", inputs_with("twin/state", _nan("position")), ("NON_FINITE", "NO_TWIN"),
        stops=None, level=Level.WARNING, most=Level.WARNING),
    _joints("D10", "a joint has a name that the robot does not", "wrong_names", "WRONG_NAMES", *STATE),
    _joints("D10-length", "the last joint's number is missing", "wrong_length", "WRONG_LENGTH", *STATE),
    Row("D10-order", "joints come in another order, which is allowed", sensor("joint_order", "joint_states"),
        stops=False, most=Level.SAFE),
    Row("D10-command", "a command names joints that the robot does not have",
        once(lambda c: replace(c, joint_names=tuple(f"joint{i}" for i in range(len(c.joint_names))))),
        ("WRONG_NAMES",), within_ms=15.0, most=Level.CAUTION),
    _joints("D11", "joints in degrees", "degrees", "OUT_OF_RANGE", "JOINT_POSITION", *STATE),
    Row("D11-command", "a command in degrees", once(lambda c: replace(c, position=np.degrees(c.position))),
        ("LIMIT_POSITION", "OUT_OF_RANGE", "LIMIT_RATE"), within_ms=15.0, most=Level.CAUTION),
    Row("D12", "one joint sample is off by 5 rad", sensor("spike", "joint_states", 5.0), ("OUT_OF_RANGE",),
        stops=False, look=_no_level_change),
    Row("D12-joint", "one sample of one joint is off by 0.3 rad, inside its limits",
        sensor("spike", "left_elbow_joint", 0.3), stops=False, look=_no_level_change),
    Row("D13", "a joint's reading drifts by 0.1 rad/s", sensor("drift", "right_elbow_joint", 0.1, seconds=6.0),
        stops=None, most=Level.DANGER, watch=6.0, look=_drift_named),
    Row("D14", "the pelvis IMU leans by 0.2 rad, the torso's does not", sensor("imu_tilt", "imu/pelvis", 0.2, 2.0),
        ("IMU_DISAGREEMENT",), stops=None, watch=2.0, most=Level.WARNING),
    Row("D14-leap", "the pelvis IMU leans by 0.5 rad at once: no fall", sensor("imu_tilt", "imu/pelvis", 0.5, 2.0),
        ("ATTITUDE_LEAP", "IMU_DISAGREEMENT"), stops=None, watch=2.0, most=Level.WARNING),
    _backup("D15", "the IMU's quaternion is not of unit length", "non_unit_quaternion", "NON_UNIT_QUATERNION",
            value=1.1),
)
