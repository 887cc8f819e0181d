"""Delays of sources and commands, and a tick counter as a clock."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_bench.twin_estimate import delay_figures
from humanoid_core.robot import load_robot
from humanoid_core.ticks import TickClock
from humanoid_core.timing import MS, NS
from twin_nodes.core.timing import SourceDelay


def feed(source: SourceDelay, rng: np.random.Generator, seconds: float, start_ns: int, delay: float,
         drift: float = 0.0) -> int:
    """20 +- 8 ms around ``delay`` at 200 Hz, 1 % lost, 1 % wild."""
    stamp = start_ns
    for _ in range(round(seconds * 200)):
        stamp += 5 * MS
        if rng.random() < 0.01:
            continue
        late = delay + rng.uniform(-0.008, 0.008) + drift * (stamp - 1000 * NS) / NS
        late += 0.2 if rng.random() < 0.01 else 0.0
        source.add(stamp, stamp + round(late * NS))
    return stamp


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 0.2), st.integers(0, 1000))
def test_a_delay_is_known_after_five_seconds_and_a_step_of_15_ms_after_three(delay: float, seed: int) -> None:
    source, rng = SourceDelay(), np.random.default_rng(seed)
    stamp = feed(source, rng, 5.0, 1000 * NS, delay)
    told = source.delay()
    assert told is not None
    assert told.typical == pytest.approx(delay, abs=0.003)
    assert told.shortest == pytest.approx(delay - 0.008, abs=0.001)
    feed(source, rng, 3.0, stamp, delay + 0.015)
    told = source.delay()
    assert told is not None
    assert told.typical == pytest.approx(delay + 0.015, abs=0.003)


def test_clocks_that_drift_are_found() -> None:
    for drift in (0.0, 1e-3, -1e-3):
        source = SourceDelay()
        feed(source, np.random.default_rng(0), 20.0, 1000 * NS, 0.1, drift)
        told = source.delay()
        assert told is not None
        assert told.drift == pytest.approx(drift, abs=1e-4)


def test_nothing_heard_is_nothing_known() -> None:
    source = SourceDelay()
    assert source.delay() is None
    feed(source, np.random.default_rng(0), 1.0, NS, 0.02)
    source.clear()
    assert source.delay() is None


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-2e-4, 2e-4), st.integers(0, 1000))
def test_ticks_become_even_stamps_over_a_wrap_and_a_drift(first: int, drift: float, seed: int) -> None:
    """A counter in ms that starts anywhere, on a clock that runs wrong by up to 200 ppm; samples take 2 to 12 ms."""
    clock, rng, off, last, arrival = TickClock(1e-3), np.random.default_rng(seed), [], 0, 0
    for k in range(3000):
        true = 1000 * NS + k * 5 * MS
        tick = (first + round(k * 5 * (1.0 + drift))) % 2**32
        arrival = max(arrival, true + round((0.002 + 0.010 * rng.random()) * NS))
        stamp = clock.stamp(tick, arrival)
        assert last <= stamp <= arrival
        last = stamp
        off.append((stamp - true) / MS)
    assert clock.resets == 0
    late = np.array(off[1000:])
    assert np.abs(late - 2.0).max() < 2.0, "the shortest way is all that stays in the stamp"


def test_a_counter_that_starts_anew_is_a_reset() -> None:
    clock = TickClock(1e-3)
    for k in range(100):
        clock.stamp(500_000 + 5 * k, 1000 * NS + 5 * k * MS)
    stamp = clock.stamp(3, 1001 * NS)
    assert clock.resets == 1
    assert stamp == pytest.approx(1001 * NS, abs=MS)
    with pytest.raises(ValueError, match="positive"):
        TickClock(0.0)


def test_the_way_of_commands_is_measured_on_a_moving_robot() -> None:
    found = delay_figures(load_robot("g1"), [5])
    assert found["delay_error_ms"][0] <= 3.0
    assert found["delay_step_error_ms"][0] <= 3.0


def test_an_arrival_from_before_the_clock_was_set_back_does_not_stay() -> None:
    """The first stamp of the new time may meet the old now: a minute of delay that nobody has."""
    source = SourceDelay()
    for k in range(200):
        source.add(100 * NS + k * 5 * MS, 100 * NS + k * 5 * MS + 3 * MS)
    source.clear()
    source.add(40 * NS, 101 * NS)
    assert source.delay() is not None
    for k in range(400):
        source.add(40 * NS + k * 5 * MS, 40 * NS + k * 5 * MS + 3 * MS)
    found = source.delay()
    assert found is not None
    assert found.typical == pytest.approx(0.003)
