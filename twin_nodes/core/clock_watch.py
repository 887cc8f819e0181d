"""Whether the stamps of the robot's samples keep their distance from now.

The way only adds delay, so the shortest one of many samples shows the clock (Mills, RFC 5905, section 10: the clock
filter takes the sample of least delay). A sender's clock that is set, or a link that became longer, moves it.
"""

from __future__ import annotations

from collections import deque

from humanoid_core.timing import MS

#: Samples whose shortest delay is one value (0.5 s at 100 Hz), values that say what is normal.
MANY, NORMAL = 50, 6
#: A change of the shortest delay that is said, ms; and how far into the future a stamp may lie.
CHANGE_MS, AHEAD_MS = 8.0, 5.0


class ClockWatch:
    """``reason`` is '' while all is well."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._shortest: int | None = None
        self._count = 0
        self._normal: deque[int] = deque(maxlen=NORMAL)
        self.change_ms = 0.0
        self.reason = ""

    def update(self, stamp_ns: int, now_ns: int) -> bool:
        """Take the age of one sample; whether the clock is off."""
        delay = now_ns - stamp_ns
        self._shortest = delay if self._shortest is None else min(self._shortest, delay)
        self._count += 1
        if self._count % MANY:
            return bool(self.reason)
        value, self._shortest = self._shortest, None
        if len(self._normal) < NORMAL:
            self._normal.append(value)
            return bool(self.reason)
        normal = sorted(self._normal)[NORMAL // 2]
        self.change_ms = (value - normal) / MS
        if value < -AHEAD_MS * MS:
            self.reason = f"CLOCK joint stamps lie {-value / MS:.1f} ms ahead of now"
        elif abs(self.change_ms) > CHANGE_MS:
            self.reason = f"CLOCK joint stamps lie {self.change_ms:+.1f} ms further back than before (clock or link)"
        else:
            self.reason = ""
            self._normal.append(value)
        return bool(self.reason)

    def accept(self) -> None:
        """The new distance is the normal one from now on."""
        self._normal.clear()
        self.reason = ""
