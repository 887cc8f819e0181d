"""Time words: stamps that may be used, and a loop that knows its own lateness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanoid_core.timing import MS, NS, Metronome, SteadyStamps, age_reason


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


@pytest.mark.parametrize("step", [5 * NS, -5 * NS])
def test_a_step_of_the_wall_clock_ages_no_stamp(step: int) -> None:
    stamps, ros, mono = SteadyStamps(), 1_000 * NS, 50 * NS
    for _ in range(10):
        ros, mono = ros + 10 * MS, mono + 10 * MS
        assert stamps.tick(mono, ros) == 0
    under_way = ros - 3 * MS
    assert stamps.mono_of(under_way) == mono - 3 * MS
    ros, mono = ros + 10 * MS + step, mono + 10 * MS
    assert stamps.tick(mono, ros) == step
    assert stamps.steps == 1
    assert stamps.mono_of(under_way) == mono - 13 * MS, "stamped before the step"
    assert stamps.mono_of(ros - 2 * MS) == mono - 2 * MS, "stamped after the step"
    assert stamps.age_reason(under_way, 40 * MS) == ""
    for _ in range(120):
        ros, mono = ros + 10 * MS, mono + 10 * MS
        stamps.tick(mono, ros)
    assert stamps.age_reason(ros - step, 40 * MS) == ("STALE" if step > 0 else "FUTURE"), "the old offset is forgotten"


@pytest.mark.parametrize("step", [0, 5 * NS, -5 * NS])
@pytest.mark.parametrize("silence", [50, 500, 5_200])
def test_a_sample_that_stays_away_grows_old_across_a_step(step: int, silence: int) -> None:
    stamps, ros, mono = SteadyStamps(), 1_000 * NS, 50 * NS
    stamps.tick(mono, ros)
    stamp = ros
    ros += step
    for _ in range(silence // 10):
        ros, mono = ros + 10 * MS, mono + 10 * MS
        stamps.tick(mono, ros)
    # the one coincidence: an age of exactly the step, and by then the old offset no longer counts
    assert stamps.age_reason(stamp, 40 * MS) in ("STALE", "FUTURE")


def test_a_simulated_clock_that_is_slow_or_paused_is_followed() -> None:
    stamps, ros, mono = SteadyStamps(), NS, 50 * NS
    for k in range(300):
        ros, mono = ros + (5 * MS if k < 200 else 0), mono + 10 * MS
        assert stamps.tick(mono, ros) == 0
        assert stamps.age_reason(ros, 40 * MS) == ""


def test_a_zero_stamp_is_none() -> None:
    stamps = SteadyStamps()
    with pytest.raises(RuntimeError, match="first tick"):
        stamps.mono_of(5)
    stamps.tick(NS, NS)
    assert stamps.age_reason(0, NS) == "ZERO_STAMP"
    assert stamps.age_reason(NS + 6 * MS, NS) == "FUTURE"
