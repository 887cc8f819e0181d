"""The trend of an actuator is the one that scipy gives, and a wild point does not move it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import theilslopes

from twin_nodes.core.theil_sen import theil_sen


@given(st.integers(5, 48), st.floats(-2.0, 2.0), st.floats(0.0, 1.0), st.booleans(), st.integers(0, 2**31))
def test_the_same_as_scipy(n: int, slope: float, noise: float, coarse: bool, seed: int) -> None:
    """Also where values repeat, as those of a sensor with few steps do."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 2.0, n))
    values = slope * times + rng.normal(0.0, noise, n)
    if coarse:
        values = np.round(values)
    assert theil_sen(times, values, 0.9) == pytest.approx(tuple(theilslopes(values, times, 0.9)), abs=1e-9)


def test_a_few_wild_points_do_not_move_it() -> None:
    times = np.arange(40.0)
    values = 0.5 * times
    values[[3, 17, 30]] = 1e6
    slope, intercept, low, high = theil_sen(times, values, 0.9)
    assert slope == pytest.approx(0.5)
    assert intercept == pytest.approx(0.0, abs=1.5)
    assert low <= 0.5 <= high
