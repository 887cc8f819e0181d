"""Stop sources that go on beating between two rows: one that was heard once and falls silent counts as pressed."""

from __future__ import annotations

from humanoid_core.types import EStopState

PERIOD_NS = 50_000_000


class Beats:
    """Told what rows say of stop sources; says their released heartbeats once ``take_over`` was called."""

    def __init__(self) -> None:
        self._seq: dict[str, int] = {}
        self._mine: set[str] = set()
        self._next_ns = 0

    def said(self, state: EStopState) -> None:
        """A row speaks for this source: it is left alone."""
        self._seq[state.source] = max(state.seq, self._seq.get(state.source, 0))
        self._mine.discard(state.source)

    def take_over(self) -> None:
        """The row is over: every source is released and beats on."""
        self._mine = set(self._seq)

    def due(self, mono_ns: int, ros_ns: int) -> list[EStopState]:
        if mono_ns < self._next_ns or not self._mine:
            return []
        self._next_ns = mono_ns + PERIOD_NS
        for source in self._mine:
            self._seq[source] += 1
        return [EStopState(ros_ns, source, False, self._seq[source]) for source in sorted(self._mine)]
