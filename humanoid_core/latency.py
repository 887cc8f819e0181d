"""How old the newest measurement was when a command left for the robot, from what stands in the messages."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from humanoid_core.timing import NS

#: States that are remembered; commands come in while they are, whatever order the two topics are read in.
REMEMBERED = 400


class SensorToCommand:
    """For each command: its publication minus the capture stamp of the newest state that was published when the gate
    had taken its inputs (the command's own stamp). One clock for all of them, nanoseconds.

    Tell the states of a batch before its commands. An age outside 0 to ``longest_ns`` is no latency (simulated time,
    a recording, a clock that stepped): it is counted in ``left_out``.
    """

    def __init__(self, longest_ns: int = NS) -> None:
        self._longest_ns = longest_ns
        self._published: deque[int] = deque(maxlen=REMEMBERED)
        self._captured: deque[int] = deque(maxlen=REMEMBERED)
        self.left_out = 0

    def state(self, published_ns: int, stamp_ns: int) -> None:
        """A state of the robot, in the order of publication."""
        self._published.append(published_ns)
        self._captured.append(stamp_ns)

    def command(self, published_ns: int, stamp_ns: int) -> float | None:
        """Seconds, or None when no state goes with it."""
        k = bisect_right(self._published, stamp_ns)
        if k == 0:
            return None
        age_ns = published_ns - self._captured[k - 1]
        if not 0 <= age_ns <= self._longest_ns:
            self.left_out += 1
            return None
        return age_ns / NS
