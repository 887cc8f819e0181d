"""What rules remember of past samples: the last ones, slopes over a window, and counts. Bounded, and told the time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from humanoid_core.robot_model import Array
from humanoid_core.timing import NS
from humanoid_core.types import JointCommand, RobotState

LEAST, SURE = 12, 4.0


class Trend:
    """Slope of values (k,) over the last ``window`` s, least squares on samples at least ``spacing`` s apart:
    b = sum (t - mean t) (y - mean y) / sum (t - mean t)^2, standard error s_b = sqrt(sum r^2 / (m - 2) / sum (t - mean
    t)^2) with residuals r. Counted is what is certain: b less ``SURE`` s_b, 0 within that. A value that is NaN is left
    out: each of the k has a slope of its own, NaN while it has fewer than ``LEAST`` values."""

    def __init__(self, window: float, spacing: float) -> None:
        self._spacing_ns = round(spacing * NS)
        self._samples: deque[tuple[int, Array]] = deque(maxlen=round(window / spacing) + 1)
        self._slope: Array | None = None

    def add(self, stamp_ns: int, values: Array) -> None:
        """Take a sample; time that goes back or pauses for the window begins anew."""
        samples = self._samples
        if samples and not 0 <= stamp_ns - samples[-1][0] <= self._spacing_ns * (samples.maxlen or 1):
            samples.clear()
            self._slope = None
        if samples and stamp_ns - samples[-1][0] < self._spacing_ns:
            return
        samples.append((stamp_ns, values))
        if len(samples) < LEAST:
            return
        t = np.array([s for s, _ in samples], dtype=np.float64) / NS
        t -= t.mean()
        y = np.stack([v for _, v in samples])
        if bool(np.isfinite(y).all()):
            self._slope = _sure_slope(t, y)
            return
        self._slope = np.full(y.shape[1], np.nan)
        for k in range(y.shape[1]):
            known = np.isfinite(y[:, k])
            if np.count_nonzero(known) >= LEAST:
                self._slope[k] = _sure_slope(t[known] - t[known].mean(), y[known, k:k + 1])[0]

    def slope(self) -> Array | None:
        """Per second, (k,); None while ``LEAST`` samples have not come."""
        return self._slope


def _sure_slope(t: Array, y: Array) -> Array:
    """Slopes (k,) of y (m, k) over t (m,), which has mean 0; less what may be chance."""
    y = y - y.mean(axis=0)
    slope = t @ y / (t @ t)
    residual = y - np.outer(t, slope)
    error = np.sqrt((residual * residual).sum(axis=0) / ((len(t) - 2) * (t @ t)))
    sure: Array = np.sign(slope) * np.maximum(np.abs(slope) - SURE * error, 0.0)
    return sure


class Rate:
    """Messages per second over the last ``window`` s, told once per tick how many came."""

    def __init__(self, window: float) -> None:
        self._window_ns = round(window * NS)
        self._counts: deque[tuple[int, int]] = deque(maxlen=2048)
        self._began_ns: int | None = None
        self._total = 0

    def add(self, now_ns: int, count: int) -> None:
        if self._began_ns is None and count:
            self._began_ns = now_ns
        self._counts.append((now_ns, count))
        self._total += count
        while self._counts and now_ns - self._counts[0][0] > self._window_ns:
            self._total -= self._counts.popleft()[1]

    @property
    def count(self) -> int:
        """Messages within the window."""
        return self._total

    def value(self, now_ns: int) -> float | None:
        """Hz; None until a window has passed since the first message."""
        if self._began_ns is None or now_ns - self._began_ns < self._window_ns:
            return None
        return self._total * NS / self._window_ns


class Growth:
    """By how much a number that only counts up grew within the last ``window`` s. One that falls began anew."""

    def __init__(self, window: float) -> None:
        self._rate = Rate(window)
        self._last: int | None = None
        self._heard = 0

    def add(self, now_ns: int, value: int | None, heard: int = 0) -> None:
        """Once a tick: the newest value, None while nobody knows it, and how many steps of one were heard, which do not
        count."""
        self._heard += heard
        grown = 0
        if value is not None and value != self._last:
            if self._last is not None and value > self._last:
                grown = max(value - self._last - self._heard, 0)
            self._last, self._heard = value, 0
        self._rate.add(now_ns, grown)

    def forget(self) -> None:
        """The next value is a new beginning."""
        self._last = None

    @property
    def count(self) -> int:
        return self._rate.count


#: Ticks for which the capture point's margin is remembered: as long as it must be outside before that is a fall.
MARGINS = 12


@dataclass
class History:
    """One per monitor. ``temperature`` degC per joint; ``voltage`` V at rest (V - R I, I < 0: giving)."""

    state: RobotState | None = None
    command: JointCommand | None = None
    temperature: Trend = field(default_factory=lambda: Trend(20.0, 0.5))
    voltage: Trend = field(default_factory=lambda: Trend(60.0, 1.0))
    margins: deque[float] = field(default_factory=lambda: deque(maxlen=MARGINS))
    rates: dict[str, Rate] = field(default_factory=dict)
    lost: Growth = field(default_factory=lambda: Growth(1.0))  # robot states that were sent and did not come
    overruns: Growth = field(default_factory=lambda: Growth(1.0))  # periods that the gate missed
    blind: frozenset[str] = frozenset()  # rules that have nothing to measure with

    def keep(self, state: RobotState | None, command: JointCommand | None) -> None:
        """After a tick: what the next one is compared with. Values that are not finite are not remembered."""
        if state is not None and bool(np.isfinite(state.velocity).all()):
            self.state = state
        if command is not None and bool(np.isfinite(command.position).all()):
            self.command = command
