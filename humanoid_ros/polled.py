"""Subscriptions that the executor leaves alone: emptied by whoever wants them, or waited for one by one.

An rclpy executor gathers every entity of the node anew for each message, which costs several times what reading
the message costs. A node whose work hangs on one fast topic waits for that topic alone and reads the others then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from humanoid_core.timing import NS
from humanoid_ros import qos

_LITTLE, _BIG = struct.Struct("<iI"), struct.Struct(">iI")


class NeverWakes(CallbackGroup):
    """The executor does not wait for what is in this group."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None


class Polled:
    """One topic of the table, for one thread.

    ``raw``: messages come as serialized bytes of ``kind``; ``depth``: how many the middleware keeps, in place of the
    table's.
    """

    def __init__(self, node: Node, topic: str, raw: bool = False, depth: int | None = None) -> None:
        row = qos.topic(topic)
        profile = qos.profile(row)
        if depth is not None:
            profile.depth = depth
        self.depth = profile.depth
        self.topic, self._raw, self.kind = topic, raw, qos.message_type(row.type)
        self._context = node.context
        self._subscription = node.create_subscription(self.kind, topic, _unused, profile,
                                                      callback_group=NeverWakes(), raw=raw)
        self._wait_set: Any = None

    def take(self) -> Iterator[Any]:
        """Messages that came since the last call, oldest first."""
        return (message for message, _ in self.take_with_info())

    def take_with_info(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The same with what the middleware knows of each: reception time and sender."""
        while True:
            with self._subscription.handle:
                taken = self._subscription.handle.take_message(self.kind, self._raw)
            if taken is None:
                return
            yield taken

    def wait(self, timeout_s: float) -> None:
        """Return when a message is there, or after the timeout."""
        handle = self._subscription.handle
        if self._wait_set is None:
            self._wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, self._context.handle)
        with handle:
            self._wait_set.clear_entities()
            self._wait_set.add_subscription(handle)
            self._wait_set.wait(round(timeout_s * NS))


def stamp_of(data: bytes) -> int:
    """Nanoseconds of a serialized message that begins with a header: after the encapsulation (4 bytes, of which the
    second one tells the byte order) come its seconds and nanoseconds (OMG DDS-RTPS 2.5, 10.2)."""
    sec, nanosec = _LITTLE.unpack_from(data, 4) if data[1] & 1 else _BIG.unpack_from(data, 4)
    return int(sec * NS + nanosec)


def _unused(_message: Any) -> None:
    raise AssertionError("a polled subscription is never called back")
