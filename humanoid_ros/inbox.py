"""Messages that a loop takes when it is ready, in place of callbacks that interrupt it.

A callback costs an executor wake-up per message and runs in another thread. A periodic loop that only wants what
came since its last tick reads an Inbox: no wake-ups, no locks, and every message carries when it arrived and who
sent it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rclpy.node import Node

from humanoid_ros.convert import from_bytes
from humanoid_ros.polled import Polled


@dataclass(frozen=True)
class Letter:
    """One message, sealed: most are superseded before anybody wants to know what they say, and reading costs more
    than receiving. ``arrival_ns``: monotonic; ``sender``: the publisher's identity in the middleware (GID)."""

    data: bytes
    kind: type
    arrival_ns: int
    sender: bytes

    def open(self) -> Any:
        """The dataclass (of a type without one: the message's fields), or None when it is damaged or a field holds what
        the type has no word for (an unknown level, say)."""
        try:
            return from_bytes(self.data, self.kind)
        except ValueError:
            return None


class Inbox:
    """A subscription on the table's topic `name`. `depth` > 1 shows every message between two ticks, oldest first."""

    def __init__(self, node: Node, name: str, depth: int | None = None) -> None:
        self._polled = Polled(node, name, depth=depth)
        self._last_ns = time.monotonic_ns()

    def take(self, now_ns: int) -> list[Letter]:
        """What came since the last call, oldest first, at most `depth`. `now_ns` is the monotonic clock."""
        letters: list[Letter] = []
        for data, info in islice(self._polled.take_with_info(), self._polled.depth):
            # The middleware stamps the reception by the wall clock, which may step: what it says is kept
            # between the last look and now.
            waited = min(max(time.time_ns() - info["received_timestamp"], 0), now_ns - self._last_ns)
            gid = info.get("publisher_gid")
            letters.append(Letter(data, self._polled.kind, now_ns - waited, gid["data"] if gid else b""))
        self._last_ns = now_ns
        return letters
