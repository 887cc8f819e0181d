"""The gate is the only publisher of commands: a second one is refused while the first one speaks."""

from __future__ import annotations

from humanoid_core.timing import NS

#: After so much silence another publisher may take over (the gate was restarted by a person).
SILENCE_NS = NS


class OneSender:
    """Knows publishers by their identity in the middleware."""

    def __init__(self) -> None:
        self._who = b""
        self._last_ns = 0

    def take(self, who: bytes, arrival_ns: int) -> bool:
        """Whether a command of ``who`` counts."""
        if self._who and who != self._who and arrival_ns - self._last_ns < SILENCE_NS:
            return False
        self._who, self._last_ns = who, arrival_ns
        return True
