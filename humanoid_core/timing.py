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
