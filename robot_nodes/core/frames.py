"""LowState and LowCmd of unitree_hg as numpy records: their layout, their CRC, and how they travel.

A record has the layout of the vendor's C structure (4-byte alignment, little endian), over which its CRC is made. The
same values travel as CDR, where a structure is not padded to its own alignment: the first motor's ``mode`` follows the
byte before it. Nothing else differs, so a frame is copied, not parsed value by value (35 motors, 500 times a second).
Layout and CRC are facts of Unitree's public interface definition and SDK.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Record = NDArray[np.void]
#: Motors in every frame; a robot uses the first of them.
MOTORS = 35
#: CDR, little endian, first and second version; other encapsulations are not sent by the robot.
LITTLE_ENDIAN = (b"\x00\x01", b"\x00\x07")

IMU_STATE = np.dtype([("quaternion", "<f4", 4), ("gyroscope", "<f4", 3), ("accelerometer", "<f4", 3), ("rpy", "<f4", 3),
                      ("temperature", "<i2"), ("_pad", "V2")])
MOTOR_STATE = np.dtype([("mode", "u1"), ("_pad", "V3"), ("q", "<f4"), ("dq", "<f4"), ("ddq", "<f4"),
                        ("tau_est", "<f4"), ("temperature", "<i2", 2), ("vol", "<f4"), ("sensor", "<u4", 2),
                        ("motorstate", "<u4"), ("reserve", "<u4", 4)])
LOW_STATE = np.dtype([("version", "<u4", 2), ("mode_pr", "u1"), ("mode_machine", "u1"), ("_pad", "V2"),
                      ("tick", "<u4"), ("imu_state", IMU_STATE), ("motor_state", MOTOR_STATE, MOTORS),
                      ("wireless_remote", "u1", 40), ("reserve", "<u4", 4), ("crc", "<u4")])
MOTOR_CMD = np.dtype([("mode", "u1"), ("_pad", "V3"), ("q", "<f4"), ("dq", "<f4"), ("tau", "<f4"), ("kp", "<f4"),
                      ("kd", "<f4"), ("reserve", "<u4")])
LOW_CMD = np.dtype([("mode_pr", "u1"), ("mode_machine", "u1"), ("_pad", "V2"), ("motor_cmd", MOTOR_CMD, MOTORS),
                    ("reserve", "<u4", 4), ("crc", "<u4")])

#: For each record: where the C structure is padded before the first motor, and by how much; CDR has that motor's mode
#: at the front of the gap and, behind it, padding up to the next multiple of four.
_GAP = {LOW_STATE: 70, LOW_CMD: 2}
_REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))


def new(kind: np.dtype) -> Record:
    """A record of zeros, shape ()."""
    return np.zeros((), dtype=kind)


def crc(record: Record) -> int:
    """The vendor's CRC over all 32-bit words but the last, most significant bit first: polynomial 0x04C11DB7, start
    0xFFFFFFFF, nothing reflected or inverted at the end (CRC-32/MPEG-2 over the words' big-endian bytes).

    zlib's CRC is the same one with the bits of each byte, and of the result, in reverse.
    """
    words = np.frombuffer(record.tobytes(), dtype="<u4")[:-1]
    value = ~zlib.crc32(words.astype(">u4").tobytes().translate(_REVERSED)) & 0xFFFFFFFF
    return int.from_bytes(value.to_bytes(4, "little").translate(_REVERSED), "big")


def sealed(record: Record) -> Record:
    """The record with its CRC filled in."""
    record["crc"] = crc(record)
    return record


def from_cdr(kind: np.dtype, data: bytes) -> Record:
    """The record in a CDR sample with its 4-byte header. Raises ValueError for another encapsulation or length."""
    gap = _GAP[kind]
    if data[:2] not in LITTLE_ENDIAN:
        raise ValueError(f"encapsulation {data[:2].hex()} is not little-endian CDR")
    body = data[4:]
    if len(body) != kind.itemsize - 4:
        raise ValueError(f"{len(body)} bytes instead of {kind.itemsize - 4}")
    # body: [.. gap) mode, padding to 4 | rest;  record: [.. gap) 2 bytes | mode, 3 bytes | rest
    raw = body[:gap] + b"\0\0" + body[gap:gap + 1] + b"\0\0\0" + body[gap + 2:]
    return np.frombuffer(raw, dtype=kind).reshape(())


def to_cdr(record: Record) -> bytes:
    """A record as a CDR sample with its 4-byte header."""
    gap, raw = _GAP[record.dtype], record.tobytes()
    return b"\x00\x01\x00\x00" + raw[:gap] + raw[gap + 2:gap + 3] + b"\0" + raw[gap + 6:]
