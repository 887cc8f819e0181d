"""A robot's counter as ROS time, and the drift between two clocks.

Nothing here reads a clock. Arrival minus device time is never shorter than the way takes, so the lower edge of a window
is what the clocks differ by plus the shortest way (Paxson 1998, "On calibrating measurements of packet transit times").
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from humanoid_core.timing import MS, NS

#: Drift is judged over so long, one minimum for each bin.
DRIFT_NS, BIN_NS = 20 * NS, 500 * MS
#: No oscillator is off by more, s/s.
WORST_CLOCK = 1e-3
#: Bins before a drift is told.
FEW_BINS = 6


def slope(points: deque[tuple[int, int]]) -> float:
    """Median of the slopes of all pairs (Theil 1950, Sen 1968): up to 29 % of wild points change nothing."""
    if len(points) < FEW_BINS:
        return math.nan
    t, y = np.array(points, dtype=np.float64).T
    i, j = np.triu_indices(len(t), 1)
    return float(np.median((y[j] - y[i]) / (t[j] - t[i])))


class TickClock:
    """Maps a counter without stamps (a Unitree G1 sends a tick in ms, 32 bits) to ROS time.

    The sample with the shortest way in the window anchors the counter; between anchors the counter runs at its nominal
    rate, corrected by the slope of the anchors. The result never goes back, and a counter that does begins anew.
    """

    def __init__(self, tick_s: float, bits: int = 32) -> None:
        if not (tick_s > 0.0 and 1 <= bits <= 64):
            raise ValueError(f"tick of {tick_s} s with {bits} bits: both must be positive, at most 64 bits")
        self._tick_ns, self._size = tick_s * NS, 1 << bits
        self.resets = 0
        self.clear()

    def clear(self) -> None:
        self._last: int | None = None
        self._count = 0
        self._bins: deque[tuple[int, int]] = deque()
        self._stamp_ns, self._rate = 0, 0.0

    def stamp(self, tick: int, arrival_ns: int) -> int:
        """ROS time in ns of the sample with this counter, which arrived now: at most ``arrival_ns``. Samples come in
        the order in which they were sent."""
        if self._last is not None:
            step = (tick - self._last) % self._size
            if step > self._size // 2:  # not a wrap: the robot was started anew
                self.resets += 1
                self.clear()
            else:
                self._count += step
        self._last = tick
        device_ns = round(self._count * self._tick_ns)
        late = arrival_ns - device_ns
        if not self._bins or device_ns - self._bins[-1][0] >= BIN_NS:
            drift = slope(self._bins)  # of whole bins only: the shortest way of one just begun is no minimum yet
            self._rate = 0.0 if math.isnan(drift) else min(max(drift, -WORST_CLOCK), WORST_CLOCK)
            self._bins.append((device_ns, late))
            while device_ns - self._bins[0][0] > DRIFT_NS:
                self._bins.popleft()
        elif late < self._bins[-1][1]:
            self._bins[-1] = (device_ns, late)
        # Each bin's shortest way, carried to now at the drift; the newest bins speak for what the way is today.
        offset = min(y + self._rate * (device_ns - t) for t, y in list(self._bins)[-4:])
        self._stamp_ns = min(max(device_ns + round(offset), self._stamp_ns), max(arrival_ns, self._stamp_ns))
        return self._stamp_ns
