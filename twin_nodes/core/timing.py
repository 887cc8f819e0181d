"""How long each source is under way: a constant and a drifting part, from stamps and arrivals.

Nothing here reads a clock. Arrival minus stamp is never shorter than the way takes, so the lower edge of a window is
what the clocks differ by plus the shortest way (Paxson 1998, "On calibrating measurements of packet transit times"),
its change is the drift between the clocks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from humanoid_core.ticks import BIN_NS, DRIFT_NS, slope
from humanoid_core.timing import MS, NS

#: A delay is judged over so long.
WINDOW_NS = 1500 * MS
#: Arrivals that go back by more are of a clock that was set back.
BACK_NS = 1000 * MS
#: The answer is worked out anew this often.
RENEW_NS = 100 * MS


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
        if self._window and arrival_ns < self._window[-1][0] - BACK_NS:
            self.clear()  # the clock was set back: what arrived later than now says nothing
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
            self._said = Delay(late[0] / NS, sum(middle) / len(middle) / NS, slope(self._bins))
        return self._said
