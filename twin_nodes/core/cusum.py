"""Sums that notice a small shift of a mean quickly, with thresholds that follow from how often they may cry wolf.

Two-sided CUSUM (Page, "Continuous inspection schemes", Biometrika 41, 1954) of normalised values z:

    up = max(0, up + z - k),   down = max(0, down - z - k),   alarm when one exceeds h

The mean time between false alarms of one side for white standard normal z, in samples, is by Siegmund ("Sequential
Analysis", 1985, section II.6)

    ARL0 = (exp(2 k b) - 2 k b - 1) / (2 k^2),   b = h + 1.166

and two sides halve it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri, ndtri

from humanoid_core.robot_model import Array

OVERSHOOT = 1.166


def run_length(k: float, h: float) -> float:
    """Mean number of samples between false alarms of a two-sided sum."""
    b = h + OVERSHOOT
    return 0.5 * (math.exp(2.0 * k * b) - 2.0 * k * b - 1.0) / (2.0 * k * k)


def threshold(k: float, samples: float) -> float:
    """h at which a two-sided sum alarms falsely once in so many samples. ValueError for less than two samples."""
    if not samples >= 2.0 or not k > 0.0:
        raise ValueError(f"threshold: {samples} samples, allowance {k}: at least 2 and more than 0")
    top = math.log(4.0 * k * k * samples + 2.0) / k + 2.0
    if run_length(k, 0.0) >= samples:
        return 0.0
    return float(brentq(lambda h: run_length(k, h) - samples, 0.0, top))


def nis_bounds(probability: float, components: int = 1) -> tuple[float, float]:
    """Between these a normalised innovation squared of so many components lies with this probability (chi-square)."""
    tail = 0.5 * (1.0 - probability)
    return float(chdtri(components, 1.0 - tail)), float(chdtri(components, tail))


def jump_sigmas(false_alarms: float) -> float:
    """Standard deviations that a single normal value exceeds, on either side, with this probability."""
    return float(-ndtri(0.5 * false_alarms))


class Cusum:
    """Many sums side by side. ``window``: samples after which a sum that neither alarmed nor fell to zero begins anew,
    so that an error too small to matter cannot add up for ever."""

    def __init__(self, n: int, k: float, h: float, window: int) -> None:
        self.k, self.h, self._window = k, h, window
        self._sums = np.zeros((2, n))
        self._age = np.zeros((2, n), dtype=np.int64)
        self._sign = np.array([[1.0], [-1.0]])

    def clear(self, where: NDArray[np.bool_] | slice = slice(None)) -> None:
        self._sums[:, where] = 0.0
        self._age[:, where] = 0

    def update(self, z: Array) -> NDArray[np.bool_]:
        """Take one normalised value each (NaN: none came); which of them alarm now."""
        known = np.where(np.isnan(z), 0.0, z)
        sums, age = self._sums, self._age
        np.maximum(sums + self._sign * known - self.k, 0.0, out=sums)
        # An alarming sum stops at twice its threshold: what has passed must be forgotten in the time it took to notice.
        np.minimum(sums, 2.0 * self.h, out=sums)
        age += 1
        age[sums <= 0.0] = 0
        old = (age > self._window) & (sums <= self.h)
        if old.any():
            sums[old] = 0.0
            age[old] = 0
        found: NDArray[np.bool_] = np.asarray((sums > self.h).any(axis=0))
        return found

    @property
    def level(self) -> Array:
        """How full the fuller of the two sums is, 1 = alarm (n,)."""
        full: Array = self._sums.max(axis=0) / self.h
        return full
