"""Recorded messages of standard types -> the samples that ingest reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from humanoid_core.types import BatterySample, ImuSample, JointSample, MotorSample, WrenchSample
from humanoid_ros.convert import stamp_from_msg
from humanoid_ros.convert_sensors import (
    battery_sample_from_msg,
    imu_sample_from_msg,
    joint_sample_from_msg,
    motor_sample_from_msg,
    wrench_sample_from_msg,
)

Sample = JointSample | ImuSample | WrenchSample | BatterySample | MotorSample

#: Recorded type -> (kind of source in a robot file, converter).
KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sensor_msgs/msg/JointState": ("joints", joint_sample_from_msg),
    "sensor_msgs/msg/Imu": ("imu", imu_sample_from_msg),
    "geometry_msgs/msg/WrenchStamped": ("wrench", wrench_sample_from_msg),
    "sensor_msgs/msg/BatteryState": ("battery", battery_sample_from_msg),
    "humanoid_twin/msg/MotorStatus": ("motors", motor_sample_from_msg),
}


def sample_of(message: Any, message_type: str) -> Any:
    """The sample of a decoded message; KeyError for a type that is no sensor here."""
    return KINDS[message_type][1](message)


def capture_ns(message: Any) -> int:
    """Header stamp of a decoded message in ns; 0 when it has none."""
    header = getattr(message, "header", None)
    return stamp_from_msg(header.stamp) if header is not None else 0


