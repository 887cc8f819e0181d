"""How long each source is under way: a constant and a drifting part, from stamps and arrivals; and ticks -> ROS time.

Nothing here reads a clock. Arrival minus stamp is never shorter than the way takes, so the lower edge of a window is
what the clocks differ by plus the shortest way (Paxson 1998, "On calibrating measurements of packet transit times"),
its change is the drift between the clocks.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from humanoid_core.timing import MS, NS

#: A delay is judged over so long; of the drift over so long, one minimum for each bin.
WINDOW_NS, DRIFT_NS, BIN_NS = 1500 * MS, 20 * NS, 500 * MS
#: The answer is worked out anew this often.
RENEW_NS = 100 * MS
#: No oscillator is off by more, s/s.
WORST_CLOCK = 1e-3
#: Bins before a drift is told.
FEW_BINS = 6


@dataclass(frozen=True)
class Delay:
    """In s; ``drift`` in s/s, NaN before it is known. ``shortest``: lower edge, ``typical``: mean of the middle
    half of the window, which a few wild ones do not touch."""

    shortest: float
    typical: float
    drift: float


class SourceDelay:
    """Of one source with stamps. ``add`` each sample as it arrives."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything: stamps jumped."""
        self._window: deque[tuple[int, int]] = deque()
        self._bins: deque[tuple[int, int]] = deque()
        self._said: Delay | None = None
        self._renew_ns = 0

    def add(self, stamp_ns: int, arrival_ns: int) -> None:
        late = arrival_ns - stamp_ns
        self._window.append((arrival_ns, late))
        while arrival_ns - self._window[0][0] > WINDOW_NS:
            self._window.popleft()
        if not self._bins or arrival_ns - self._bins[-1][0] >= BIN_NS:
            self._bins.append((arrival_ns, late))
            while arrival_ns - self._bins[0][0] > DRIFT_NS:
                self._bins.popleft()
        elif late < self._bins[-1][1]:
            self._bins[-1] = (self._bins[-1][0], late)

    def delay(self) -> Delay | None:
        """None before the first sample. Renewed each 100 ms of arrivals."""
        if not self._window:
            return None
        now_ns = self._window[-1][0]
        if self._said is None or now_ns >= self._renew_ns:
            late = sorted(x for _, x in self._window)
            quarter = len(late) // 4
            middle = late[quarter:len(late) - quarter]
            self._renew_ns = now_ns + RENEW_NS
            self._said = Delay(late[0] / NS, sum(middle) / len(middle) / NS, _slope(self._bins))
        return self._said


def _slope(points: deque[tuple[int, int]]) -> float:
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
            slope = _slope(self._bins)  # of whole bins only: the shortest way of one just begun is no minimum yet
            self._rate = 0.0 if math.isnan(slope) else min(max(slope, -WORST_CLOCK), WORST_CLOCK)
            self._bins.append((device_ns, late))
            while device_ns - self._bins[0][0] > DRIFT_NS:
                self._bins.popleft()
        elif late < self._bins[-1][1]:
            self._bins[-1] = (device_ns, late)
        # Each bin's shortest way, carried to now at the drift; the newest bins speak for what the way is today.
        offset = min(y + self._rate * (device_ns - t) for t, y in list(self._bins)[-4:])
        self._stamp_ns = min(max(device_ns + round(offset), self._stamp_ns), max(arrival_ns, self._stamp_ns))
        return self._stamp_ns
