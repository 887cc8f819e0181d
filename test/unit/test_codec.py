"""The codec writes what rosbags writes, and reads what rosbags reads, of messages filled at random."""

from __future__ import annotations

import array
import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from humanoid_core.topics import TOPICS
from humanoid_ros import qos
from humanoid_ros.cdr import MOST_SLACK, canonical, decode
from humanoid_ros.definitions import typestore

KINDS = sorted({row.type for row in TOPICS.values()})
LETTERS = {"float64": "d", "float32": "f", "uint8": "B", "uint32": "I", "uint64": "Q"}


def filled(kind: str, rng: random.Random) -> Any:
    message = qos.message_type(kind)()
    for name, description in typestore().fielddefs[kind][1]:
        setattr(message, name, value(description, rng))
    return message


def value(description: Any, rng: random.Random) -> Any:
    what, detail = description
    if what == Nodetype.NAME:
        return filled(detail, rng)
    if what == Nodetype.BASE:
        return primitive(detail[0], rng)
    (of, item), count = detail
    items = [value((of, item), rng) for _ in range(count if what == Nodetype.ARRAY else rng.randrange(5))]
    if of == Nodetype.NAME or item[0] == "string":
        return items
    return np.array(items, item[0]) if what == Nodetype.ARRAY else array.array(LETTERS[item[0]], items)


def primitive(name: str, rng: random.Random) -> Any:
    if name == "string":
        return "".join(rng.choice("aé_ x") for _ in range(rng.randrange(9)))
    if name == "bool":
        return rng.random() < 0.5
    if name.startswith("float"):
        return float(np.dtype(name).type(rng.gauss(0.0, 1.0)))
    return bytes([rng.randrange(100)]) if name == "byte" else rng.randrange(100)


def same(a: Any, b: Any) -> bool:
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def rosbags_reads(raw: bytes, kind: str) -> Any:
    """By rosbags alone, which takes slack at the end for damage."""
    for slack in range(0, MOST_SLACK + 1, 4):
        try:
            return typestore().deserialize_cdr(raw[:len(raw) - slack], kind)
        except Exception:
            continue
    raise AssertionError(f"rosbags cannot read a {kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_and_the_same_messages_as_rosbags(kind: str) -> None:
    rng = random.Random(3)
    for _ in range(25):
        message = filled(kind, rng)
        raw = serialize_message(message)
        plain = rosbags_reads(raw, kind)
        assert canonical(message, kind) == bytes(typestore().serialize_cdr(plain, kind))
        assert same(decode(raw, kind), plain), "with gaps and slack as the middleware leaves them"
        assert same(decode(canonical(message, kind), kind), plain)


@pytest.mark.parametrize("kind", ["sensor_msgs/msg/JointState", "humanoid_twin/msg/SensorHealth"])
def test_damage_is_a_value_error_and_nothing_else(kind: str) -> None:
    rng = random.Random(4)
    raw = canonical(filled(kind, rng), kind)
    refused = list[str]()
    for _ in range(500):
        data = bytearray(raw)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.5:
            del data[rng.randrange(len(data)):]
        try:
            decode(bytes(data), kind)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 200
    assert not any("\n" in line for line in refused)


def test_a_list_that_was_read_before_may_be_changed() -> None:
    kind = "sensor_msgs/msg/JointState"
    message = qos.message_type(kind)(name=["a", "b"])
    first = decode(canonical(message, kind), kind)
    first.name.append("c")
    assert decode(canonical(message, kind), kind).name == ["a", "b"]
    assert decode(canonical(qos.message_type(kind)(name=["a", "b", "d"]), kind), kind).name == ["a", "b", "d"]


def test_what_is_rare_is_left_to_rosbags() -> None:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg("float64 x\nstring[2] two\nstring name", "other_msgs/msg/Thing"))
    thing = store.types["other_msgs/msg/Thing"](1.5, ["p", "qq"], "n")
    for little in (True, False):
        raw = bytes(store.serialize_cdr(thing, "other_msgs/msg/Thing", little_endian=little))
        assert same(decode(raw, "other_msgs/msg/Thing", store), thing)
