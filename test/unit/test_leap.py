"""An IMU's vertical follows its own gyroscope: motion is never refused, a leap is, and one that stays is believed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanoid_core.timing import MS, NS
from humanoid_core.types import ImuSample
from twin_nodes.core.imu_check import ImuCheck
from twin_nodes.core.turning import product, turned, up
from twin_nodes.core.verdict import IngestConfig

PERIOD = 5 * MS
LEVEL = np.array([1.0, 0.0, 0.0, 0.0])
STILL = np.zeros(3)


def sample(k: int, orientation: np.ndarray = LEVEL, rate: np.ndarray = STILL) -> ImuSample:
    return ImuSample(NS + k * PERIOD, orientation, rate, np.array([0.0, 0.0, 9.81]))


def leaning(angle: float, axis: int = 0) -> np.ndarray:
    q = np.array([np.cos(angle / 2), 0.0, 0.0, 0.0])
    q[1 + axis] = np.sin(angle / 2)
    return q


@pytest.fixture
def check() -> ImuCheck:
    return ImuCheck(IngestConfig())


rates = st.tuples(*[st.floats(-12.0, 12.0)] * 3).map(np.array)


@given(st.lists(rates, min_size=2, max_size=30), st.integers(0, 2**31))
def test_what_the_gyroscope_turned_is_never_refused(profile: list[np.ndarray], seed: int) -> None:
    """Any rates, also those of a fall, and the noise of a real instrument."""
    check, noise, q = ImuCheck(IngestConfig()), np.random.default_rng(seed), LEVEL
    for k, (w0, w1) in enumerate(pairwise(profile)):
        seen = product(q, leaning(noise.normal(0.0, 1e-3), int(noise.integers(3))))
        assert check.check(sample(k, seen, w0 + noise.normal(0.0, 0.01, 3))).code == ""
        for part in range(10):  # the true rate goes evenly from one to the other
            q = turned(q, w0 + (w1 - w0) * (part + 0.5) / 10, PERIOD / NS / 10)


@pytest.mark.parametrize("angle", [0.1, -0.2, 0.5, 3.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_lean_that_nothing_turned_is_refused(check: ImuCheck, angle: float, axis: int) -> None:
    assert check.check(sample(0)).code == ""
    verdict = check.check(sample(1, leaning(angle, axis)))
    assert verdict.code == "ATTITUDE_LEAP"
    assert f"{abs(angle):.3g}" in verdict.detail
    assert check.check(sample(2)).code == ""  # the good one after it is good


def test_a_new_heading_is_no_leap(check: ImuCheck) -> None:
    check.check(sample(0))
    assert check.check(sample(1, leaning(2.0, axis=2))).code == ""


def test_what_stays_where_it_leapt_to_is_believed_in_the_end(check: ImuCheck) -> None:
    check.check(sample(0))
    codes = [check.check(sample(k, leaning(0.4))).code for k in range(1, 20)]
    refused = codes.index("")
    assert set(codes[:refused]) == {"ATTITUDE_LEAP"}
    assert refused * PERIOD == pytest.approx(IngestConfig().leap_memory_ms * MS, abs=PERIOD)
    assert set(codes[refused:]) == {""}


def test_after_a_gap_or_a_clock_set_back_nothing_is_compared(check: ImuCheck) -> None:
    check.check(sample(100))
    assert check.check(sample(200, leaning(0.4))).code == ""
    assert check.check(sample(0, leaning(-0.4))).code == ""


def test_a_sample_that_was_refused_for_another_reason_is_not_gone_by(check: ImuCheck) -> None:
    check.check(sample(0))
    bad = replace(sample(1, leaning(0.4)), angular_velocity=np.full(3, np.nan))
    assert check.check(bad).code == "NON_FINITE"
    assert check.check(sample(2)).code == ""


def test_up_is_the_vertical_of_the_orientation() -> None:
    assert up(LEVEL) == pytest.approx([0.0, 0.0, 1.0])
    assert up(leaning(np.pi / 2)) == pytest.approx([0.0, 1.0, 0.0])
