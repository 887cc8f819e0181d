"""Message <-> dataclass, one pair of functions per type, found by `to_msg` and `from_msg`.

Conversions copy numbers and reorder quaternions (ROS: x y z w, here: w x y z); they judge nothing. Arrays travel
as array.array, which rclpy takes without looking at each element.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Quaternion, Vector3, WrenchStamped
from sensor_msgs.msg import BatteryState, Image, Imu, JointState
from std_msgs.msg import String

from humanoid_core import types as t
from humanoid_core.timing import NS
from humanoid_twin import msg as m

_TO: dict[type, Callable[[Any], Any]] = {}
_FROM: dict[type, Callable[[Any], Any]] = {}


def to_msg(value: Any) -> Any:
    """The message of a dataclass."""
    return _TO[type(value)](value)


def from_msg(message: Any) -> Any:
    """The dataclass of a message; a message without one is returned as it is."""
    convert = _FROM.get(type(message))
    return message if convert is None else convert(message)


def convertible() -> tuple[type, ...]:
    """Every dataclass that has a message."""
    return tuple(_TO)


def stamp_to_msg(ns: int) -> Time:
    return Time(sec=ns // NS, nanosec=ns % NS)


def stamp_from_msg(stamp: Any) -> int:
    return int(stamp.sec) * NS + int(stamp.nanosec)


def _pair(cls: type, message: type) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register `message -> cls`; the opposite direction is registered with `_to`."""

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        _FROM[message] = function
        return function

    return register


def _to(cls: type) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        _TO[cls] = function
        return function

    return register


def _doubles(values: Any) -> array[float]:
    return array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def _vector(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def _xyz(p: Any) -> np.ndarray:
    return np.array((p.x, p.y, p.z))


def _wxyz(q: Any) -> np.ndarray:
    return np.array((q.w, q.x, q.y, q.z))


def _fill(target: Any, values: Any) -> Any:
    target.x, target.y, target.z = float(values[0]), float(values[1]), float(values[2])
    return target


def _point(values: Any) -> Point:
    return _fill(Point(), values)


def _vector3(values: Any) -> Vector3:
    return _fill(Vector3(), values)


def _quaternion(values: Any) -> Quaternion:
    return Quaternion(w=float(values[0]), x=float(values[1]), y=float(values[2]), z=float(values[3]))


def _stamped(message: Any, stamp_ns: int, frame: str = "") -> Any:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NS)
    if frame:
        message.header.frame_id = frame
    return message


def _split(pairs: Any) -> tuple[list[str], array[int]]:
    return [code for code, _ in pairs], array("Q", [count for _, count in pairs])


def _join(codes: Any, counts: Any) -> tuple[tuple[str, int], ...]:
    return tuple(zip(codes, (int(c) for c in counts), strict=True))


# --- sensors ------------------------------------------------------------------------------------------------


@_to(t.JointSample)
def _(v: t.JointSample) -> JointState:
    message = JointState(name=list(v.names), position=_doubles(v.position), velocity=_doubles(v.velocity),
                         effort=_doubles(v.effort))
    return _stamped(message, v.stamp_ns)


@_pair(t.JointSample, JointState)
def _(x: JointState) -> t.JointSample:
    return t.JointSample(stamp_from_msg(x.header.stamp), tuple(x.name), _vector(x.position), _vector(x.velocity),
                         _vector(x.effort))


@_to(t.ImuSample)
def _(v: t.ImuSample) -> Imu:
    message = Imu(orientation=_quaternion(v.orientation), angular_velocity=_vector3(v.angular_velocity),
                  linear_acceleration=_vector3(v.linear_acceleration))
    return _stamped(message, v.stamp_ns)


@_pair(t.ImuSample, Imu)
def _(x: Imu) -> t.ImuSample:
    return t.ImuSample(stamp_from_msg(x.header.stamp), _wxyz(x.orientation), _xyz(x.angular_velocity),
                       _xyz(x.linear_acceleration))


@_to(t.WrenchSample)
def _(v: t.WrenchSample) -> WrenchStamped:
    message = WrenchStamped()
    _fill(message.wrench.force, v.force)
    _fill(message.wrench.torque, v.torque)
    return _stamped(message, v.stamp_ns)


@_pair(t.WrenchSample, WrenchStamped)
def _(x: WrenchStamped) -> t.WrenchSample:
    return t.WrenchSample(stamp_from_msg(x.header.stamp), _xyz(x.wrench.force), _xyz(x.wrench.torque))


@_to(t.BatterySample)
def _(v: t.BatterySample) -> BatteryState:
    message = BatteryState(voltage=v.voltage, current=v.current, percentage=v.percentage, present=True)
    return _stamped(message, v.stamp_ns)


@_pair(t.BatterySample, BatteryState)
def _(x: BatteryState) -> t.BatterySample:
    return t.BatterySample(stamp_from_msg(x.header.stamp), x.voltage, x.current, x.percentage)


@_to(t.MotorSample)
def _(v: t.MotorSample) -> m.MotorStatus:
    message = m.MotorStatus(name=list(v.names), temperature=_doubles(v.temperature), current=_doubles(v.current),
                            voltage=_doubles(v.voltage), fault=array("I", v.fault))
    return _stamped(message, v.stamp_ns)


@_pair(t.MotorSample, m.MotorStatus)
def _(x: m.MotorStatus) -> t.MotorSample:
    return t.MotorSample(stamp_from_msg(x.header.stamp), tuple(x.name), _vector(x.temperature),
                         _vector(x.current), _vector(x.voltage), tuple(x.fault))


_ENCODINGS: dict[str, tuple[str, int]] = {"rgb8": ("u1", 3), "bgr8": ("u1", 3), "mono8": ("u1", 1),
                                          "32FC1": ("f4", 1), "16UC1": ("u2", 1)}


@_to(t.ImageSample)
def _(v: t.ImageSample) -> Image:
    height, width = v.data.shape[:2]
    raw = np.ascontiguousarray(v.data)
    message = Image(height=height, width=width, encoding=v.encoding, step=raw.strides[0],
                    data=array("B", raw.tobytes()))
    return _stamped(message, v.stamp_ns)


@_pair(t.ImageSample, Image)
def _(x: Image) -> t.ImageSample:
    stamp = stamp_from_msg(x.header.stamp)
    if x.encoding not in _ENCODINGS:
        return t.ImageSample(stamp, x.encoding, _with_cv_bridge(x))
    kind, channels = _ENCODINGS[x.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if x.is_bigendian else "<")
    row = x.width * channels * dtype.itemsize
    if x.step < row or len(x.data) < x.step * x.height:
        return t.ImageSample(stamp, x.encoding, np.zeros((0, 0), np.uint8))  # refused by whoever reads it
    rows = np.frombuffer(x.data, np.uint8, x.step * x.height).reshape(x.height, x.step)[:, :row]
    data = np.ascontiguousarray(rows).view(dtype).reshape(x.height, x.width, channels)
    return t.ImageSample(stamp, x.encoding, data if channels > 1 else data[:, :, 0])


def _with_cv_bridge(x: Image) -> np.ndarray:
    """Encodings that we do not read ourselves; empty where no cv_bridge is installed, which readers refuse."""
    try:
        from cv_bridge import CvBridge
    except ImportError:
        return np.zeros((0, 0), np.uint8)
    return np.asarray(CvBridge().imgmsg_to_cv2(x, "rgb8"))


@_pair(str, String)
def _(x: String) -> str:
    return str(x.data)


@_to(str)
def _(v: str) -> String:
    return String(data=v)


# --- state --------------------------------------------------------------------------------------------------


@_to(t.RobotState)
def _(v: t.RobotState) -> m.RobotState:
    message = m.RobotState(
        seq=v.seq, position=_doubles(v.position), velocity=_doubles(v.velocity), effort=_doubles(v.effort),
        temperature=_doubles(v.temperature), orientation=_quaternion(v.orientation),
        angular_velocity=_vector3(v.angular_velocity), linear_acceleration=_vector3(v.linear_acceleration),
        foot_force=[_vector3(v.foot_force[0]), _vector3(v.foot_force[1])], battery_voltage=v.battery_voltage,
        battery_current=v.battery_current, stale_sources=list(v.stale_sources), imu_source=v.imu_source,
    )
    return _stamped(message, v.stamp_ns)


@_pair(t.RobotState, m.RobotState)
def _(x: m.RobotState) -> t.RobotState:
    return t.RobotState(
        stamp_from_msg(x.header.stamp), x.seq, _vector(x.position), _vector(x.velocity), _vector(x.effort),
        _vector(x.temperature), _wxyz(x.orientation), _xyz(x.angular_velocity), _xyz(x.linear_acceleration),
        np.array([_xyz(x.foot_force[0]), _xyz(x.foot_force[1])]), x.battery_voltage, x.battery_current,
        tuple(x.stale_sources), x.imu_source,
    )


@_to(t.SensorHealth)
def _(v: t.SensorHealth) -> m.SensorHealth:
    message = m.SensorHealth(all_required_ok=v.all_required_ok)
    for s in v.sources:
        codes, counts = _split(s.refusals)
        message.sources.append(m.SourceHealth(
            topic=s.topic, state=s.state, active=s.active, backup=s.backup, accepted=s.accepted, age_ms=s.age_ms,
            rate_hz=s.rate_hz, expected_rate_hz=s.expected_rate_hz, jitter_ms=s.jitter_ms, gap_ms=s.gap_ms,
            gaps=s.gaps, refusal_code=codes, refusal_count=counts, last_refusal=s.last_refusal))
    return _stamped(message, v.stamp_ns)


@_pair(t.SensorHealth, m.SensorHealth)
def _(x: m.SensorHealth) -> t.SensorHealth:
    sources = tuple(
        t.SourceHealth(s.topic, s.state, s.active, s.backup, s.accepted, s.age_ms, s.rate_hz, s.expected_rate_hz,
                       s.jitter_ms, s.gap_ms, s.gaps, _join(s.refusal_code, s.refusal_count), s.last_refusal)
        for s in x.sources)
    return t.SensorHealth(stamp_from_msg(x.header.stamp), sources, x.all_required_ok)


@_to(t.TwinState)
def _(v: t.TwinState) -> m.TwinState:
    message = m.TwinState(
        revision=v.revision, model_hash=v.model_hash, position=_doubles(v.position),
        velocity=_doubles(v.velocity), position_stddev=_doubles(v.position_stddev),
        external_torque=_doubles(v.external_torque), com=_point(v.com), capture_point=_point(v.capture_point),
        support_margin=v.support_margin, nis=_doubles(v.nis), sync_quality=v.sync_quality, latency=v.latency,
        status=int(v.status), anomalies=list(v.anomalies))
    _fill(message.base_pose.position, v.base_position)
    message.base_pose.orientation = _quaternion(v.base_orientation)
    _fill(message.base_twist.linear, v.base_linear)
    _fill(message.base_twist.angular, v.base_angular)
    return _stamped(message, v.stamp_ns)


@_pair(t.TwinState, m.TwinState)
def _(x: m.TwinState) -> t.TwinState:
    return t.TwinState(
        stamp_from_msg(x.header.stamp), x.revision, x.model_hash, _vector(x.position), _vector(x.velocity),
        _vector(x.position_stddev), _vector(x.external_torque), _xyz(x.base_pose.position),
        _wxyz(x.base_pose.orientation), _xyz(x.base_twist.linear), _xyz(x.base_twist.angular), _xyz(x.com),
        _xyz(x.capture_point), x.support_margin, _vector(x.nis), x.sync_quality, x.latency,
        t.TwinStatus(x.status), tuple(x.anomalies))


_PREDICTION = ("chunk_seq", "horizon", "min_joint_margin", "min_self_distance", "min_support_margin",
               "first_violation_code", "first_violation_time", "error_20ms", "error_100ms", "error_500ms")


@_to(t.TwinPrediction)
def _(v: t.TwinPrediction) -> m.TwinPrediction:
    return _stamped(m.TwinPrediction(**{name: getattr(v, name) for name in _PREDICTION}), v.stamp_ns)


@_pair(t.TwinPrediction, m.TwinPrediction)
def _(x: m.TwinPrediction) -> t.TwinPrediction:
    return t.TwinPrediction(stamp_from_msg(x.header.stamp), *(getattr(x, name) for name in _PREDICTION))


# --- commands -----------------------------------------------------------------------------------------------


@_to(t.ActionChunk)
def _(v: t.ActionChunk) -> m.ActionChunk:
    message = m.ActionChunk(
        seq=v.seq, epoch=v.epoch, policy_id=v.policy_id, instruction=v.instruction,
        joint_names=list(v.joint_names), step_dt=v.step_dt, steps=len(v.positions),
        positions=_doubles(v.positions), confidence=v.confidence,
        inference_start=stamp_to_msg(v.inference_start_ns), inference_end=stamp_to_msg(v.inference_end_ns))
    return _stamped(message, v.stamp_ns)


@_pair(t.ActionChunk, m.ActionChunk)
def _(x: m.ActionChunk) -> t.ActionChunk:
    flat = _vector(x.positions)
    shape = (x.steps, len(x.joint_names))
    # A wrong length stays flat: the receiver refuses it by its shape.
    positions = flat.reshape(shape) if flat.size == shape[0] * shape[1] else flat
    return t.ActionChunk(
        stamp_from_msg(x.header.stamp), x.seq, x.epoch, x.policy_id, x.instruction, tuple(x.joint_names),
        x.step_dt, positions, x.confidence, stamp_from_msg(x.inference_start), stamp_from_msg(x.inference_end))


@_to(t.JointCommand)
def _(v: t.JointCommand) -> m.JointCommand:
    message = m.JointCommand(
        seq=v.seq, epoch=v.epoch, source=v.source, joint_names=list(v.joint_names), position=_doubles(v.position),
        velocity=_doubles(v.velocity), effort=_doubles(v.effort), kp=_doubles(v.kp), kd=_doubles(v.kd))
    return _stamped(message, v.stamp_ns)


@_pair(t.JointCommand, m.JointCommand)
def _(x: m.JointCommand) -> t.JointCommand:
    return t.JointCommand(
        stamp_from_msg(x.header.stamp), x.seq, x.epoch, x.source, tuple(x.joint_names), _vector(x.position),
        _vector(x.velocity), _vector(x.effort), _vector(x.kp), _vector(x.kd))


# --- safety -------------------------------------------------------------------------------------------------


@_to(t.SafetyStatus)
def _(v: t.SafetyStatus) -> m.SafetyStatus:
    message = m.SafetyStatus(level=int(v.level), estop_latched=v.estop_latched, cause=v.cause, tick=v.tick,
                             overruns=v.overruns, tick_lateness=v.tick_lateness)
    message.violations = [
        m.Violation(code=x.code, subject=x.subject, value=x.value, limit=x.limit, severity=x.severity,
                    since=stamp_to_msg(x.since_ns)) for x in v.violations]
    return _stamped(message, v.stamp_ns)


@_pair(t.SafetyStatus, m.SafetyStatus)
def _(x: m.SafetyStatus) -> t.SafetyStatus:
    violations = tuple(t.Violation(v.code, v.subject, v.value, v.limit, v.severity, stamp_from_msg(v.since))
                       for v in x.violations)
    return t.SafetyStatus(stamp_from_msg(x.header.stamp), t.Level(x.level), x.estop_latched, x.cause, violations,
                          x.tick, x.overruns, x.tick_lateness)


@_to(t.Permit)
def _(v: t.Permit) -> m.Permit:
    message = m.Permit(seq=v.seq, level=int(v.level), scale=v.scale, validity=v.validity, accept_new=v.accept_new,
                       estop_latched=v.estop_latched, reset_count=v.reset_count)
    return _stamped(message, v.stamp_ns)


@_pair(t.Permit, m.Permit)
def _(x: m.Permit) -> t.Permit:
    return t.Permit(stamp_from_msg(x.header.stamp), x.seq, t.Level(x.level), x.scale, x.validity, x.accept_new,
                    x.estop_latched, x.reset_count)


@_to(t.EStopState)
def _(v: t.EStopState) -> m.EStopState:
    return _stamped(m.EStopState(source=v.source, pressed=v.pressed, seq=v.seq), v.stamp_ns)


@_pair(t.EStopState, m.EStopState)
def _(x: m.EStopState) -> t.EStopState:
    return t.EStopState(stamp_from_msg(x.header.stamp), x.source, x.pressed, x.seq)


@_to(t.OverrideState)
def _(v: t.OverrideState) -> m.OverrideState:
    message = m.OverrideState(operator=v.operator, active=v.active, mode=v.mode, joint_names=list(v.joint_names),
                              velocity=_doubles(v.velocity), seq=v.seq)
    return _stamped(message, v.stamp_ns)


@_pair(t.OverrideState, m.OverrideState)
def _(x: m.OverrideState) -> t.OverrideState:
    return t.OverrideState(stamp_from_msg(x.header.stamp), x.operator, x.active, x.mode, tuple(x.joint_names),
                           _vector(x.velocity), x.seq)


@_to(t.RobotMode)
def _(v: t.RobotMode) -> m.RobotMode:
    return _stamped(m.RobotMode(mode=int(v.mode), reason=v.reason, seq=v.seq), v.stamp_ns)


@_pair(t.RobotMode, m.RobotMode)
def _(x: m.RobotMode) -> t.RobotMode:
    return t.RobotMode(stamp_from_msg(x.header.stamp), t.Mode(x.mode), x.reason, x.seq)
