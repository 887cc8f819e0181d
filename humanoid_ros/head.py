"""The stamp of a serialized message, and a robot state's torques, without decoding the rest."""

from __future__ import annotations

import struct

import numpy as np

from humanoid_core.robot_model import Array
from humanoid_core.timing import NS


def stamp_ns(data: bytes) -> int:
    """Of a message that begins with a std_msgs/Header: encapsulation (4 bytes, the second one tells the byte order),
    then sec and nanosec."""
    order = "<" if data[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(order + "iI", data, 4)
    return int(sec) * NS + int(nanosec)


def effort(data: bytes) -> Array:
    """(n,) N m of a serialized RobotState: header, seq, then the sequences position, velocity and effort; values are
    aligned to their size from behind the encapsulation, an empty sequence has none to align. ValueError when the bytes
    end before."""
    order = "<" if data[1] & 1 else ">"
    try:
        at = _aligned(16 + struct.unpack_from(order + "I", data, 12)[0]) + 8  # behind frame_id and seq
        for _ in range(2):
            begin, count = _sequence(order, data, at)
            at = begin + 8 * count
        begin, count = _sequence(order, data, at)
    except struct.error as error:
        raise ValueError(f"a robot state of {len(data)} bytes ends before its torques: {error}") from None
    if begin + 8 * count > len(data):
        raise ValueError(f"a robot state of {len(data)} bytes ends in its {count} torques")
    return np.frombuffer(data, order + "f8", count, begin).astype(np.float64) if count else np.zeros(0)


def _sequence(order: str, data: bytes, at: int) -> tuple[int, int]:
    """(where its doubles begin, how many)."""
    count = int(struct.unpack_from(order + "I", data, at)[0])
    return _aligned(at + 4) if count else at + 4, count


def _aligned(at: int) -> int:
    """To eight bytes, counted from behind the encapsulation."""
    return at + (4 - at) % 8
