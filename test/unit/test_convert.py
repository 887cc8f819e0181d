"""Message <-> dataclass: nothing is lost, reordered or judged on the way."""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from typing import Any, get_type_hints

import numpy as np
import pytest
from humanoid_twin.msg import Permit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image, JointState

from humanoid_core import types as t
from humanoid_ros.convert import convertible, from_msg, to_msg
from humanoid_ros.head import effort
from humanoid_ros.inbox import Letter

STAMP = st.integers(0, 2**31 * 10**9 - 1)
FLOAT = st.floats(width=32)
TEXT = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=8)
LENGTHS = {"orientation": 4, "base_orientation": 4}
VECTORS = (
    "angular_velocity", "linear_acceleration", "force", "torque", "base_position", "base_linear", "base_angular",
    "com", "capture_point", "left_hand", "right_hand", "left_axis", "right_axis",
)
INTEGERS = {"mode": st.integers(0, 1)}


def _array(owner: type, name: str, n: int) -> st.SearchStrategy[Any]:
    if name in LENGTHS:
        shape: tuple[int, ...] = (4,)
    elif name == "foot_force":
        shape = (2, 3)
    elif owner is t.ActionChunk:
        shape = (3, n)
    elif name in VECTORS or (owner is t.ObjectTruth and name == "position"):
        shape = (3,)
    else:
        shape = (n,)
    return st.lists(FLOAT, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
        lambda values: np.array(values, dtype=np.float64).reshape(shape))


def _field(owner: type, name: str, kind: Any, n: int) -> st.SearchStrategy[Any]:
    if kind == t.Array:
        return _array(owner, name, n)
    if name.endswith("stamp_ns") or name in ("inference_start_ns", "inference_end_ns", "since_ns"):
        return STAMP
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return st.sampled_from(kind)
    if kind is bool:
        return st.booleans()
    if kind is int:
        return INTEGERS.get(name, st.integers(0, 2**32))
    if kind is float:
        return FLOAT
    if kind is str:
        return TEXT
    text = str(kind)
    if text == "tuple[str, ...]":
        exact = name in ("names", "joint_names")
        return st.lists(TEXT, min_size=n if exact else 0, max_size=n).map(tuple)
    if text == "tuple[int, ...]":
        return st.lists(st.integers(0, 2**32 - 1), max_size=n).map(tuple)
    if text.startswith("tuple[tuple[str, float"):
        return st.lists(st.tuples(TEXT, *[FLOAT] * text.count("float")), max_size=3).map(tuple)
    if text.startswith("tuple[float"):
        return st.tuples(*[FLOAT] * text.count("float"))
    if "tuple[tuple" in text:
        return st.lists(st.tuples(TEXT, st.integers(0, 2**40)), max_size=3).map(tuple)
    inner = kind.__args__[0]
    return st.lists(_value(inner), max_size=2).map(tuple)


def _value(cls: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    return st.integers(1, 4).flatmap(
        lambda n: st.builds(cls, **{f.name: _field(cls, f.name, hints[f.name], n) for f in dataclasses.fields(cls)}))


def _same(a: Any, b: Any) -> bool:
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            _same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b) or (a != a and b != b)


TYPES = [c for c in convertible() if c not in (str, t.ImageSample)]


@pytest.mark.parametrize("cls", TYPES, ids=lambda c: c.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_goes_over_the_wire_comes_back_the_same(cls: type, data: st.DataObject) -> None:
    value = data.draw(_value(cls))
    message = to_msg(value)
    back = from_msg(deserialize_message(serialize_message(message), type(message)))
    assert _same(value, back), f"{value}\n{back}"


def test_every_dataclass_of_the_contract_has_a_message() -> None:
    spoken = {c for c in vars(t).values() if dataclasses.is_dataclass(c)}
    parts = {t.Violation, t.SourceHealth, t.ObjectTruth, t.ActuatorHealth}  # travel inside others
    assert spoken - parts <= set(convertible())


@pytest.mark.parametrize(("encoding", "shape", "dtype"), [("rgb8", (4, 5, 3), np.uint8), ("32FC1", (4, 5), np.float32),
                                                          ("16UC1", (4, 5), np.uint16), ("mono8", (4, 5), np.uint8)])
def test_pictures_survive_the_wire(encoding: str, shape: tuple[int, ...], dtype: type) -> None:
    data = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    message = to_msg(t.ImageSample(7, encoding, data))
    back = from_msg(deserialize_message(serialize_message(message), Image))
    assert back.encoding == encoding
    assert back.data.dtype == dtype
    assert np.array_equal(back.data, data)


def test_rows_with_padding_and_big_endian_depth_are_read_as_they_are_meant() -> None:
    depth = np.array([[1.5, 2.5], [3.5, np.nan]], dtype=">f4")
    rows = np.zeros((2, 12), np.uint8)
    rows[:, :8] = depth.view(np.uint8).reshape(2, 8)
    message = Image(height=2, width=2, encoding="32FC1", is_bigendian=1, step=12, data=rows.tobytes())
    assert np.array_equal(from_msg(message).data.astype(np.float64), depth.astype(np.float64), equal_nan=True)


def test_a_picture_with_too_few_bytes_becomes_no_picture_and_not_garbage() -> None:
    message = Image(height=480, width=640, encoding="rgb8", step=1920, data=b"\0" * 100)
    assert from_msg(message).data.size == 0


def test_an_empty_velocity_means_not_measured() -> None:
    sample = from_msg(JointState(name=["a"], position=[0.5]))
    assert sample.velocity.size == 0
    assert sample.position.tolist() == [0.5]


def test_a_letter_that_is_damaged_or_says_the_unsayable_is_none() -> None:
    """Received as bytes, read when somebody wants it: what cannot be read must not take the loop down."""
    whole = serialize_message(Permit(level=1, scale=0.5))
    assert Letter(whole, Permit, 0, b"").open().scale == 0.5
    assert Letter(whole[: len(whole) // 2], Permit, 0, b"").open() is None
    assert Letter(serialize_message(Permit(level=9)), Permit, 0, b"").open() is None


@given(count=st.integers(0, 40), names=st.lists(st.text("abc/", max_size=9), max_size=2),
       frame=st.text("xyz", max_size=9))
def test_the_torques_of_a_robot_state_are_read_without_decoding_the_rest(count: int, names: list[str],
                                                                         frame: str) -> None:
    torques, n = np.linspace(-3.0, 3.0, count), 29
    state = t.RobotState(5, 1, np.zeros(n), np.ones(count), torques, np.zeros(n), np.zeros(4), np.zeros(3), np.zeros(3),
                         np.zeros((2, 3)), 50.0, 3.0, tuple(names), "imu/pelvis")
    message = to_msg(state)
    message.header.frame_id = frame
    data = bytes(serialize_message(message))
    np.testing.assert_array_equal(effort(data), torques)
    for cut in (14, 20, 200):
        with pytest.raises(ValueError, match="robot state of"):
            effort(data[:cut])
