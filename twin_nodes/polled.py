"""Subscriptions that are emptied by whoever wants them, instead of waking the executor for each message.

Waking for a message costs rclpy more than reading it. Ingest needs all its sources when a joint sample comes, so
only that one wakes it, and the others are read then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup

from humanoid_ros import qos
from humanoid_ros.node import HumanoidNode


class NeverWakes(CallbackGroup):
    """The executor leaves these alone."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None


class Polled:
    """One topic of the table. ``raw``: messages come as serialized bytes."""

    def __init__(self, node: HumanoidNode, topic: str, group: NeverWakes, raw: bool = False) -> None:
        row = qos.topic(topic)
        self.topic, self._raw, self._type = topic, raw, qos.message_type(row.type)
        self._subscription = node.create_subscription(self._type, topic, _unused, qos.profile(row),
                                                      callback_group=group, raw=raw)

    def take(self) -> Iterator[Any]:
        """Messages that came since the last call, oldest first."""
        while True:
            with self._subscription.handle:
                taken = self._subscription.handle.take_message(self._type, self._raw)
            if taken is None:
                return
            yield taken[0]


def _unused(_message: Any) -> None:
    raise AssertionError("a polled subscription is never called back")
