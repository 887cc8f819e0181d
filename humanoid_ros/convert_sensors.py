"""What the robot's drivers publish: joints, IMUs, wrenches, battery, motors, pictures, and text."""

from __future__ import annotations

from array import array

import numpy as np
from geometry_msgs.msg import WrenchStamped
from humanoid_twin import msg as m
from sensor_msgs.msg import BatteryState, Image, Imu, JointState
from std_msgs.msg import String

from humanoid_core import types as t
from humanoid_ros.convert import (
    dataclass_of,
    doubles,
    fill,
    message_of,
    quaternion,
    stamp_from_msg,
    stamped,
    vector,
    vector3,
    wxyz,
    xyz,
)


@message_of(t.JointSample)
def joint_sample_to_msg(v: t.JointSample) -> JointState:
    message = JointState(name=list(v.names), position=doubles(v.position), velocity=doubles(v.velocity),
                         effort=doubles(v.effort))
    return stamped(message, v.stamp_ns)


@dataclass_of(JointState)
def joint_sample_from_msg(x: JointState) -> t.JointSample:
    return t.JointSample(stamp_from_msg(x.header.stamp), tuple(x.name), vector(x.position), vector(x.velocity),
                         vector(x.effort))


@message_of(t.ImuSample)
def imu_sample_to_msg(v: t.ImuSample) -> Imu:
    message = Imu(orientation=quaternion(v.orientation), angular_velocity=vector3(v.angular_velocity),
                  linear_acceleration=vector3(v.linear_acceleration))
    return stamped(message, v.stamp_ns)


@dataclass_of(Imu)
def imu_sample_from_msg(x: Imu) -> t.ImuSample:
    return t.ImuSample(stamp_from_msg(x.header.stamp), wxyz(x.orientation), xyz(x.angular_velocity),
                       xyz(x.linear_acceleration))


@message_of(t.WrenchSample)
def wrench_sample_to_msg(v: t.WrenchSample) -> WrenchStamped:
    message = WrenchStamped()
    fill(message.wrench.force, v.force)
    fill(message.wrench.torque, v.torque)
    return stamped(message, v.stamp_ns)


@dataclass_of(WrenchStamped)
def wrench_sample_from_msg(x: WrenchStamped) -> t.WrenchSample:
    return t.WrenchSample(stamp_from_msg(x.header.stamp), xyz(x.wrench.force), xyz(x.wrench.torque))


@message_of(t.BatterySample)
def battery_sample_to_msg(v: t.BatterySample) -> BatteryState:
    message = BatteryState(voltage=v.voltage, current=v.current, percentage=v.percentage, present=True)
    return stamped(message, v.stamp_ns)


@dataclass_of(BatteryState)
def battery_sample_from_msg(x: BatteryState) -> t.BatterySample:
    return t.BatterySample(stamp_from_msg(x.header.stamp), x.voltage, x.current, x.percentage)


@message_of(t.MotorSample)
def motor_sample_to_msg(v: t.MotorSample) -> m.MotorStatus:
    message = m.MotorStatus(name=list(v.names), temperature=doubles(v.temperature), current=doubles(v.current),
                            voltage=doubles(v.voltage), fault=array("I", v.fault))
    return stamped(message, v.stamp_ns)


@dataclass_of(m.MotorStatus)
def motor_sample_from_msg(x: m.MotorStatus) -> t.MotorSample:
    return t.MotorSample(stamp_from_msg(x.header.stamp), tuple(x.name), vector(x.temperature),
                         vector(x.current), vector(x.voltage), tuple(x.fault))


_ENCODINGS: dict[str, tuple[str, int]] = {"rgb8": ("u1", 3), "bgr8": ("u1", 3), "mono8": ("u1", 1),
                                          "32FC1": ("f4", 1), "16UC1": ("u2", 1)}


@message_of(t.ImageSample)
def image_sample_to_msg(v: t.ImageSample) -> Image:
    height, width = v.data.shape[:2]
    raw = np.ascontiguousarray(v.data)
    message = Image(height=height, width=width, encoding=v.encoding, step=raw.strides[0],
                    data=array("B", raw.tobytes()))
    return stamped(message, v.stamp_ns)


@dataclass_of(Image)
def image_sample_from_msg(x: Image) -> t.ImageSample:
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


@dataclass_of(String)
def str_from_msg(x: String) -> str:
    return str(x.data)


@message_of(str)
def str_to_msg(v: str) -> String:
    return String(data=v)
