"""Who holds the robot by an override, as the monitor heard it.

Whoever said 'active' holds it, several at once too, until the same sender says 'not active'; a link that is lost goes
on holding. A panel that died and came back is another sender: it lets go of what the same operator lost.
"""

from __future__ import annotations

from humanoid_core.timing import NS
from humanoid_core.types import OverrideState
from safety_nodes.core.types import Received

MOST = 16  # senders that are told apart; with so many the robot is held whatever a further one says


class Overrides:
    """Holds by sender, the newest last."""

    def __init__(self) -> None:
        self._held: dict[bytes, Received[OverrideState]] = {}

    def hear(self, received: Received[OverrideState], timeout: float) -> None:
        """Take a heartbeat; ``timeout``: silence in s that counts as a lost link. What cannot be read holds, and an old
        sequence number releases nothing."""
        value, last = received.value, self._held.get(received.sender)
        if value is None or value.active:
            if last is not None or len(self._held) < MOST:
                self._held.pop(received.sender, None)
                self._held[received.sender] = received
            return
        if last is not None and last.value is not None and value.seq <= last.value.seq:
            return
        self._held = {who: held for who, held in self._held.items()
                      if who != received.sender and not _left_behind(held, received, timeout)}

    def held(self) -> tuple[Received[OverrideState], ...]:
        """The last heartbeat of everyone who holds."""
        return tuple(self._held.values())

    def newest(self) -> OverrideState | None:
        """What the one says who took over last."""
        return next((h.value for h in reversed(self._held.values()) if h.value is not None), None)


def _left_behind(held: Received[OverrideState], by: Received[OverrideState], timeout: float) -> bool:
    """The link of ``held`` is lost, and its operator speaks again. Of what could not be read nobody knows whose it was.
    """
    same = held.value is None or (by.value is not None and held.value.operator == by.value.operator)
    return same and by.mono_ns - held.mono_ns > timeout * NS
