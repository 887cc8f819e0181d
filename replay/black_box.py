"""When a ring is saved: some seconds after the safety level rose, once for each rise."""

from __future__ import annotations

from humanoid_core.reasons import SETTLING
from humanoid_core.timing import NS
from humanoid_core.types import Level


class BlackBox:
    """``save_on``: the level that matters, None: never; ``after`` s of recording beyond the rise."""

    def __init__(self, save_on: Level | None, after: float) -> None:
        self._save_on, self._after_ns = save_on, round(after * NS)
        self._above = False
        self._due_ns: int | None = None
        self._cause = ""

    def hear(self, level: Level, cause: str, now_ns: int) -> None:
        """The present safety level; times are monotonic."""
        above = self._save_on is not None and level >= self._save_on
        rose = above and not self._above and cause != SETTLING
        if rose and self._due_ns is None:
            self._due_ns, self._cause = now_ns + self._after_ns, f"{level.name} {cause}".strip()
        self._above = above and (self._above or rose)

    def due(self, now_ns: int) -> str:
        """Why the ring is to be saved now, '' while it is not."""
        if self._due_ns is None or now_ns < self._due_ns:
            return ""
        self._due_ns = None
        return self._cause
