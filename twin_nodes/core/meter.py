"""Rate, jitter and gaps of a source, by capture stamps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from humanoid_core.timing import MS, NS


@dataclass(frozen=True)
class Rhythm:
    """Over the window: Hz, standard deviation and longest of the intervals in ms; ``gaps`` since the start."""

    rate_hz: float
    jitter_ms: float
    gap_ms: float
    gaps: int


class Meter:
    """Keeps the stamps of one window."""

    def __init__(self, rate: float, window_ns: int, gap_periods: float) -> None:
        self._window_ns = window_ns
        self._gap_ns = gap_periods * NS / rate if rate > 0.0 else float("inf")
        self._stamps: deque[int] = deque(maxlen=max(8, round(4.0 * max(rate, 1.0) * window_ns / NS)))
        self.gaps = 0

    def add(self, stamp_ns: int) -> None:
        if self._stamps and stamp_ns - self._stamps[-1] > self._gap_ns:
            self.gaps += 1
        self._stamps.append(stamp_ns)

    def clear(self) -> None:
        """Forget the stamps, keep the count of gaps."""
        self._stamps.clear()

    def move(self, step_ns: int) -> None:
        """The clock of the stamps was set ahead by ``step_ns``."""
        kept = [stamp + step_ns for stamp in self._stamps]
        self._stamps.clear()
        self._stamps.extend(kept)

    def rhythm(self, now_ns: int) -> Rhythm:
        """Of the stamps within the window before ``now_ns``; a silent source reads 0 Hz."""
        stamps = np.fromiter(self._stamps, np.int64, len(self._stamps))
        stamps = stamps[stamps > now_ns - self._window_ns]
        if len(stamps) < 2:
            # Slower than the window: the interval between the newest two says it, while it is not overdue.
            kept = list(self._stamps)[-2:]
            if len(kept) < 2 or now_ns - kept[1] > 2 * (kept[1] - kept[0]):
                return Rhythm(0.0, 0.0, 0.0, self.gaps)
            return Rhythm(NS / (kept[1] - kept[0]), 0.0, (kept[1] - kept[0]) / MS, self.gaps)
        steps = np.diff(stamps)
        return Rhythm(float(len(steps) * NS / (stamps[-1] - stamps[0])), float(steps.std() / MS),
                      float(steps.max() / MS), self.gaps)
