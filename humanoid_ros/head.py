"""The stamp of a serialized message, without decoding the rest."""

from __future__ import annotations

import struct

from humanoid_core.timing import NS


def stamp_ns(data: bytes) -> int:
    """Of a message that begins with a std_msgs/Header: encapsulation (4 bytes, the second one tells the byte order),
    then sec and nanosec."""
    order = "<" if data[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(order + "iI", data, 4)
    return int(sec) * NS + int(nanosec)
