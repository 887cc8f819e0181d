"""Messages that a loop takes when it is ready, in place of callbacks that interrupt it.

A callback costs an executor wake-up per message and runs in another thread. A periodic loop that only wants what
came since its last tick reads an Inbox: no wake-ups, no locks, and every message carries when it arrived and who
sent it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from humanoid_ros import qos
from humanoid_ros.convert import from_msg


class _Polled(CallbackGroup):
    """Keeps a subscription out of every executor's wait set."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


@dataclass(frozen=True)
class Letter:
    """One message. ``arrival_ns``: monotonic; ``sender``: the publisher's identity in the middleware (GID)."""

    message: Any
    arrival_ns: int
    sender: bytes

    def open(self) -> Any:
        """The dataclass, or None when a field holds what the type has no word for (an unknown level, say)."""
        try:
            return from_msg(self.message)
        except ValueError:
            return None


class Inbox:
    """A subscription on the table's topic `name`. `depth` > 1 shows every message between two ticks, oldest first."""

    def __init__(self, node: Node, name: str, depth: int | None = None) -> None:
        row = qos.topic(name)
        profile = qos.profile(row)
        if depth is not None:
            profile.depth = depth
        self._limit = profile.depth
        self._last_ns = time.monotonic_ns()
        self._subscription = node.create_subscription(
            qos.message_type(row.type), name, _never, profile, callback_group=_Polled()
        )

    def take(self, now_ns: int) -> list[Letter]:
        """What came since the last call, oldest first, at most `depth`. `now_ns` is the monotonic clock."""
        letters: list[Letter] = []
        handle, kind = self._subscription.handle, self._subscription.msg_type
        with handle:
            for _ in range(self._limit):
                taken = handle.take_message(kind, False)
                if taken is None:
                    break
                message, info = taken
                # The middleware stamps the reception by the wall clock, which may step: what it says is kept
                # between the last look and now.
                waited = min(max(time.time_ns() - info["received_timestamp"], 0), now_ns - self._last_ns)
                gid = info.get("publisher_gid")
                letters.append(Letter(message, now_ns - waited, gid["data"] if gid else b""))
        self._last_ns = now_ns
        return letters


def _never(_message: Any) -> None:
    """A polled subscription has no callback."""
