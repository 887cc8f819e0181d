"""Time as integers: nanoseconds, and what a periodic loop knows of its own lateness."""

from __future__ import annotations

NS = 1_000_000_000
MS = 1_000_000


def seconds(ns: int) -> float:
    return ns / NS


def nanoseconds(s: float) -> int:
    return round(s * NS)


def age_reason(stamp_ns: int, now_ns: int, max_age_ns: int, future_ns: int = 5 * MS) -> str:
    """Reason code for a stamp outside -future <= age <= max_age, or '' when it may be used."""
    if stamp_ns <= 0:
        return "ZERO_STAMP"
    age = now_ns - stamp_ns
    if age < -future_ns:
        return "FUTURE"
    if age > max_age_ns:
        return "STALE"
    return ""


class Metronome:
    """Absolute wake-up times of a periodic loop. Reads no clock: it is told the time.

    A loop that was held up goes on at the next whole period instead of catching up with a burst, and every
    period that passed without a tick is counted.
    """

    def __init__(self, period_ns: int, start_ns: int) -> None:
        if period_ns <= 0:
            raise ValueError(f"period_ns = {period_ns}: must be positive")
        self.period_ns = period_ns
        self.next_ns = start_ns + period_ns
        self.ticks = 0
        self.overruns = 0
        self.lateness_ns = 0

    def tick(self, now_ns: int) -> None:
        """Say that the loop woke at `now_ns`; sets lateness, counts missed periods, plans the next wake-up."""
        self.lateness_ns = max(0, now_ns - self.next_ns)
        missed = self.lateness_ns // self.period_ns
        self.overruns += missed
        self.ticks += 1
        self.next_ns += (missed + 1) * self.period_ns


class SteadyStamps:
    """Stamps of the ROS clock as monotonic time, so that a step of the ROS clock (somebody sets the wall clock) ages
    nothing.

    Told both clocks once per tick, it knows their offset. A jump of the offset by more than ``step_ns`` within one
    tick is a step; for ``keep_ns`` after it a stamp counts under the offset, before or after the step, that makes it
    nearest to now: senders and messages under way may still use the old one. A clock that is slow, fast or paused
    (simulated time) moves the offset by less in one tick and is simply followed.
    """

    def __init__(self, step_ns: int = 100 * MS, keep_ns: int = NS) -> None:
        self._step_ns, self._keep_ns = step_ns, keep_ns
        self._mono_ns = 0
        self._offset_ns: int | None = None
        self._before: list[tuple[int, int]] = []  # (offset before a step, monotonic time until which it counts)
        self.steps = 0

    def tick(self, mono_ns: int, ros_ns: int) -> int:
        """Say the time by both clocks. Returns by how much the ROS clock stepped since the last tick, 0: not."""
        offset, last = ros_ns - mono_ns, self._offset_ns
        self._mono_ns, self._offset_ns = mono_ns, offset
        self._before = [(o, until) for o, until in self._before if mono_ns <= until]
        if last is None or abs(offset - last) <= self._step_ns:
            return 0
        self.steps += 1
        self._before = [*self._before[-3:], (last, mono_ns + self._keep_ns)]
        return offset - last

    def mono_of(self, stamp_ns: int) -> int:
        """The monotonic time of a stamp; needs one ``tick`` before."""
        offset = self._offset_ns
        if offset is None:
            raise RuntimeError("SteadyStamps.mono_of before the first tick")
        best = stamp_ns - offset
        for other, _ in self._before:
            if abs(self._mono_ns - (stamp_ns - other)) < abs(self._mono_ns - best):
                best = stamp_ns - other
        return best

    def age_reason(self, stamp_ns: int, max_age_ns: int, future_ns: int = 5 * MS) -> str:
        """As the function ``age_reason``, at the last tick."""
        if stamp_ns <= 0:
            return "ZERO_STAMP"
        age = self._mono_ns - self.mono_of(stamp_ns)
        return "FUTURE" if age < -future_ns else "STALE" if age > max_age_ns else ""
