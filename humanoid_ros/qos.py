"""QoS profiles from the topic table, so that no node writes one inline."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

from humanoid_core.topics import TOPICS, Topic


def profile(topic: Topic) -> QoSProfile:
    """The profile that both ends of `topic` use."""
    qos = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=topic.depth,
        reliability=ReliabilityPolicy.RELIABLE if topic.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.latched else DurabilityPolicy.VOLATILE,
    )
    if topic.deadline_ms is not None:
        qos.deadline = Duration(nanoseconds=int(topic.deadline_ms * 1e6))
    if topic.liveliness_ms is not None:
        qos.liveliness = LivelinessPolicy.AUTOMATIC
        qos.liveliness_lease_duration = Duration(nanoseconds=int(topic.liveliness_ms * 1e6))
    return qos


@cache
def message_type(name: str) -> Any:
    """The class behind `package/msg/Type`, `package/srv/Type` or `package/action/Type`."""
    package, kind, cls = name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), cls)


def topic(name: str) -> Topic:
    """The table's row; an unknown name is a mistake in the program."""
    if name not in TOPICS:
        raise KeyError(f"topic '{name}' is not in humanoid_core/topics.py")
    return TOPICS[name]
