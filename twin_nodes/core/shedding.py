"""Looking ahead is the first thing that a loaded machine does without: when it may run, and how often it could not."""

from __future__ import annotations

from collections import deque

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.timing import MS, NS

#: The state thread is late when the newest state was handled so long ago.
LATE_NS = 25 * MS


class Shedding:
    """``share`` of a processor that looks may take; after a costly one the next waits until that holds again. How long
    a look lasts says little: beside nodes that go first it mostly waits, and leaving it out would give them nothing."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.left_out = Refusals()
        self.done = 0
        self.took_s = self.spent_s = 0.0
        self._free_ns = 0
        self._lengths: deque[float] = deque(maxlen=100)

    def ask(self, now_ns: int, silent_ns: int) -> str:
        """'' when a look may run, else BUSY (counted). ``now_ns`` monotonic; ``silent_ns``: since the newest state."""
        if silent_ns > LATE_NS:
            return self.left_out.refuse("BUSY", f"the newest state was handled {silent_ns / MS:.0f} ms ago")
        if now_ns < self._free_ns:
            return self.left_out.refuse("BUSY", f"the last look took {self.spent_s * 1e3:.0f} ms of processor time")
        return ""

    def ran(self, begun_ns: int, now_ns: int, spent_ns: int) -> None:
        """A look ran from ``begun_ns`` to ``now_ns`` and took ``spent_ns`` of processor time."""
        self.done += 1
        self.spent_s = spent_ns / NS
        self.took_s = (now_ns - begun_ns) / NS
        self._lengths.append(self.took_s * 1e3)
        self._free_ns = begun_ns + round(spent_ns / self.share)

    def report(self) -> dict[str, object]:
        """For diagnostics; lengths of the latest 100 looks."""
        values: dict[str, object] = {"looks ahead": self.done, "looks left out": self.left_out.total}
        if self.left_out.total:
            values["why last"] = self.left_out.last
        if self._lengths:
            for q in (50, 99):
                values[f"look ms p{q}"] = f"{float(np.percentile(self._lengths, q)):.2f}"
        return values
