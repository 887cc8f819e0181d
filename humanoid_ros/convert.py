"""Message <-> dataclass: the registry and the small pieces that every pair is made of.

Conversions copy numbers and reorder quaternions (ROS: x y z w, here: w x y z); they judge nothing. Arrays travel
as array.array, which rclpy takes without looking at each element. The pairs stand in convert_sensors,
convert_state and convert_commands.
"""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Quaternion, Vector3

from humanoid_core.timing import NS
from humanoid_ros.cdr import decode

_TO: dict[type, Callable[[Any], Any]] = {}
_FROM: dict[type, Callable[[Any], Any]] = {}


def to_msg(value: Any) -> Any:
    """The message of a dataclass."""
    return _TO[type(value)](value)


def from_msg(message: Any) -> Any:
    """The dataclass of a message; a message without one is returned as it is."""
    convert = _FROM.get(type(message))
    return message if convert is None else convert(message)


def from_bytes(data: bytes, kind: type) -> Any:
    """The same of a serialized message of class ``kind``, read without making a ROS message first, which takes
    several times as long; ValueError when the bytes are damaged or a value has no word."""
    message = decode(data, type_name(kind))
    convert = _FROM.get(kind)
    return message if convert is None else convert(message)


@cache
def type_name(kind: type) -> str:
    """``package/msg/Name`` of a message class."""
    package, folder, *_ = kind.__module__.split(".")
    return f"{package}/{folder}/{kind.__name__}"


def dataclass_for(kind: str) -> Callable[[Any], Any]:
    """What makes the dataclass of a message of type ``package/msg/Name``, also of one decoded without ROS; ValueError
    for a type that has none."""
    package, folder, name = kind.split("/")
    found = _FROM.get(getattr(importlib.import_module(f"{package}.{folder}"), name))
    if found is None:
        raise ValueError(f"no dataclass for {kind}")
    return found


def convertible() -> tuple[type, ...]:
    """Every dataclass that has a message."""
    return tuple(_TO)


def stamp_to_msg(ns: int) -> Time:
    return Time(sec=ns // NS, nanosec=ns % NS)


def stamp_from_msg(stamp: Any) -> int:
    return int(stamp.sec) * NS + int(stamp.nanosec)


def message_of(cls: type) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a function that makes the message of dataclass `cls`."""

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        _TO[cls] = function
        return function

    return register


def dataclass_of(message: type) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a function that makes the dataclass of `message`."""

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        _FROM[message] = function
        return function

    return register


def doubles(values: Any) -> array[float]:
    return array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def vector(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def xyz(p: Any) -> np.ndarray:
    return np.array((p.x, p.y, p.z))


def wxyz(q: Any) -> np.ndarray:
    return np.array((q.w, q.x, q.y, q.z))


def fill(target: Any, values: Any) -> Any:
    target.x, target.y, target.z = float(values[0]), float(values[1]), float(values[2])
    return target


def point(values: Any) -> Point:
    return fill(Point(), values)


def vector3(values: Any) -> Vector3:
    return fill(Vector3(), values)


def quaternion(values: Any) -> Quaternion:
    return Quaternion(w=float(values[0]), x=float(values[1]), y=float(values[2]), z=float(values[3]))


def stamped(message: Any, stamp_ns: int, frame: str = "") -> Any:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NS)
    if frame:
        message.header.frame_id = frame
    return message


def split(pairs: Any) -> tuple[list[str], array[int]]:
    return [code for code, _ in pairs], array("Q", [count for _, count in pairs])


def join(codes: Any, counts: Any) -> tuple[tuple[str, int], ...]:
    return tuple(zip(codes, (int(c) for c in counts), strict=True))


for _room in ("convert_sensors", "convert_state", "convert_commands"):
    importlib.import_module(f"humanoid_ros.{_room}")
