"""A robust straight line: the median of the slopes between all pairs of points, with an interval from their ranks.

Theil 1950; Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1968, sections 3 and 4. The
same numbers as `scipy.stats.theilslopes`, which takes more than a second to import and a millisecond to call: in a node
that shares a lock with the measurements either one is a gap in what the twin says.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from humanoid_core.robot_model import Array


def theil_sen(times: Array, values: Array, confidence: float) -> tuple[float, float, float, float]:
    """(slope, intercept, low, high) of points at different times; low and high hold the slope with that confidence."""
    n = len(times)
    later, earlier = np.tril_indices(n, -1)
    slopes = np.sort((values[later] - values[earlier]) / (times[later] - times[earlier]))
    slope = float(np.median(slopes))
    intercept = float(np.median(values) - slope * np.median(times))
    # Kendall's S has this standard deviation when there is no trend and no two values are the same.
    spread = float(-ndtri(0.5 * (1.0 - confidence)) * np.sqrt(_variance(n, values)))
    count = len(slopes)
    high = min(round(0.5 * (count + spread)), count - 1)
    low = max(round(0.5 * (count - spread)) - 1, 0)
    return slope, intercept, float(slopes[low]), float(slopes[high])


def _variance(n: int, values: Array) -> float:
    """Of Kendall's S; values that are the same tell less."""
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float(n * (n - 1) * (2 * n + 5) - np.sum(ties * (ties - 1) * (2 * ties + 5))) / 18.0
