"""Reason codes are one vocabulary, and every refusal is counted under one of them."""

from __future__ import annotations

import pytest

from humanoid_core.reasons import REASONS, Refusals


def test_refusals_are_counted_by_code_and_the_last_one_is_remembered() -> None:
    refusals = Refusals()
    refusals.refuse("STALE", "imu/pelvis is 52 ms old")
    refusals.refuse("STALE")
    refusals.refuse("NON_FINITE", "position[3] = nan")
    assert refusals.items() == (("NON_FINITE", 1), ("STALE", 2))
    assert refusals.total == 3
    assert refusals.last == "NON_FINITE: position[3] = nan"


def test_a_code_that_nobody_can_look_up_is_refused() -> None:
    with pytest.raises(KeyError, match="STAEL"):
        Refusals().refuse("STAEL")


def test_every_code_says_what_it_means() -> None:
    assert all(code.isupper() and len(text) > 12 for code, text in REASONS.items())
