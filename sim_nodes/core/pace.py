"""Pacing of the simulation against a clock: which ticks are due, what slipped, and how fast it really runs."""

from __future__ import annotations

from humanoid_core.timing import NS, Metronome

#: After a short hold-up so many ticks are made up for at once; beyond that the simulation slips. Short of the
#: 40 ms without a command after which the robot falls back.
CATCH_UP = 5


class Pace:
    """Reads no clock: it is told the time."""

    def __init__(self, tick_ns: int) -> None:
        self.tick_ns = tick_ns
        self.slipped = 0
        self.factor = 1.0
        self._overruns: int | None = None
        self._mark: tuple[int, int] | None = None

    def due(self, metronome: Metronome) -> int:
        """Ticks to run now: one, and those that a hold-up made late, up to CATCH_UP."""
        before = metronome.overruns if self._overruns is None else self._overruns  # the start does not count
        missed = metronome.overruns - before
        self._overruns = metronome.overruns
        made_up = min(missed, CATCH_UP)
        self.slipped += missed - made_up
        return 1 + made_up

    def measure(self, now_ns: int, sim_ns: int) -> float:
        """Real time factor (simulated per elapsed time), renewed once a second."""
        if self._mark is None:
            self._mark = now_ns, sim_ns
        elapsed = now_ns - self._mark[0]
        if elapsed >= NS:
            self.factor = (sim_ns - self._mark[1]) / elapsed
            self._mark = now_ns, sim_ns
        return self.factor


class EvenStamps:
    """Capture stamps spaced as the physics is, on a clock that is read late and now and then steps.

    Reading two clocks one after the other puts their distance off by what happens in between; a stamp may not go
    back for that. So a stamp follows the one before by a tick, drawn towards the clock by at most 2 %. After a
    slip of the simulation or a step of the clock (beyond two ticks) the clock is right.
    """

    def __init__(self, tick_ns: int) -> None:
        self._tick_ns = tick_ns
        self._last_ns: int | None = None

    def next(self, clock_ns: int) -> int:
        """Stamp of the tick that the clock puts at `clock_ns`."""
        if self._last_ns is None:
            self._last_ns = clock_ns
            return clock_ns
        even = self._last_ns + self._tick_ns
        off, most = clock_ns - even, self._tick_ns // 50
        self._last_ns = clock_ns if abs(off) > 2 * self._tick_ns else even + max(-most, min(most, off))
        return self._last_ns
