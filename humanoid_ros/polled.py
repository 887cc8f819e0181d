"""Subscriptions that the executor leaves alone: emptied by whoever wants them, or waited for one by one.

An rclpy executor gathers every entity of the node anew for each message, which costs several times what reading
the message costs. A node whose work hangs on one fast topic waits for that topic alone and reads the others then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from humanoid_core.reasons import Refusals
from humanoid_core.timing import NS
from humanoid_ros import qos
from humanoid_ros.convert import from_bytes


class NeverWakes(CallbackGroup):
    """The executor does not wait for what is in this group."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None


class Polled:
    """One topic of the table, for one thread. Messages come as serialized bytes of the class ``kind``.

    ``depth``: how many the middleware keeps, in place of the table's.
    """

    def __init__(self, node: Node, topic: str, depth: int | None = None) -> None:
        row = qos.topic(topic)
        profile = qos.profile(row)
        if depth is not None:
            profile.depth = depth
        self.depth = profile.depth
        self.topic, self.kind = topic, qos.message_type(row.type)
        self.unreadable: Refusals = getattr(node, "unreadable", Refusals())
        self._context = node.context
        self._subscription = node.create_subscription(self.kind, topic, _unused, profile,
                                                      callback_group=NeverWakes(), raw=True)
        self._wait_set: Any = None

    def take(self) -> Iterator[bytes]:
        """Messages that came since the last call, oldest first."""
        return (data for data, _ in self.take_with_info())

    def read(self, wanted: Callable[[bytes], bool] = lambda _: True) -> Iterator[Any]:
        """Those ``wanted``, as dataclasses; what cannot be read is left out and counted in ``unreadable``."""
        for data, _ in self.take_with_info():
            try:
                if wanted(data):
                    yield from_bytes(data, self.kind)
            except ValueError as error:
                self.unreadable.refuse("OUT_OF_RANGE", f"{self.topic}: {error}")

    def take_with_info(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """The same with what the middleware knows of each: reception time and sender."""
        while True:
            with self._subscription.handle:
                taken = self._subscription.handle.take_message(self.kind, True)
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


def _unused(_message: Any) -> None:
    raise AssertionError("a polled subscription is never called back")
