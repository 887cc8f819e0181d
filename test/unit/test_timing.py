"""Time words: stamps that may be used, and a loop that knows its own lateness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanoid_core.timing import MS, Metronome, age_reason


@pytest.mark.parametrize(
    ("stamp", "now", "reason"),
    [
        (0, 1000 * MS, "ZERO_STAMP"),
        (1005 * MS, 1000 * MS, ""),
        (1005 * MS + 1, 1000 * MS, "FUTURE"),
        (960 * MS, 1000 * MS, ""),
        (960 * MS - 1, 1000 * MS, "STALE"),
    ],
)
def test_a_stamp_is_used_only_between_5_ms_ahead_and_its_max_age(stamp: int, now: int, reason: str) -> None:
    assert age_reason(stamp, now, max_age_ns=40 * MS) == reason


def test_a_loop_that_is_held_up_counts_what_it_missed_and_makes_no_burst() -> None:
    loop = Metronome(period_ns=10 * MS, start_ns=0)
    loop.tick(10 * MS)
    assert (loop.overruns, loop.next_ns) == (0, 20 * MS)
    loop.tick(53 * MS)  # woken 33 ms late: the ticks due at 30, 40 and 50 ms never happened
    assert loop.overruns == 3
    assert loop.lateness_ns == 33 * MS
    assert loop.next_ns == 60 * MS


@given(st.lists(st.integers(0, 200 * MS), max_size=60))
def test_every_period_is_either_a_tick_or_an_overrun(delays: list[int]) -> None:
    period = 10 * MS
    loop = Metronome(period, start_ns=0)
    for delay in delays:
        now = loop.next_ns + delay
        loop.tick(now)
        assert loop.next_ns > now - period
    assert loop.next_ns == (loop.ticks + loop.overruns + 1) * period


def test_a_period_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="period_ns = 0"):
        Metronome(0, 0)
