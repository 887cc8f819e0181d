"""What set-points are made of: a chunk over time, an offset that dies out, an even halt, a moving average."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from humanoid_core.robot_model import Array
from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk


class Rows:
    """A chunk's rows as a function of time: piecewise cubic with central differences (Catmull and Rom).

    ``others`` (joints,) is where joints stay that the chunk does not name.
    """

    def __init__(self, chunk: ActionChunk, places: np.ndarray, others: Array) -> None:
        self._rows = np.repeat(others[None, :], len(chunk.positions), axis=0)
        self._rows[:, places] = chunk.positions
        self._dt = chunk.step_dt
        self.start_ns = chunk.stamp_ns + round(chunk.step_dt * NS)
        self.end_ns = chunk.stamp_ns + round(len(self._rows) * chunk.step_dt * NS)

    def at(self, now_ns: int) -> tuple[Array, Array]:
        """Position and velocity; before row 0 and after the last: that row, slope of the nearest piece."""
        rows, dt = self._rows, self._dt
        x = (now_ns - self.start_ns) / NS / dt
        x = min(max(x, 0.0), len(rows) - 1.0)
        i = min(int(x), len(rows) - 2)
        u = x - i
        p0, p1 = rows[i], rows[i + 1]
        before = rows[i - 1] if i > 0 else 2.0 * p0 - p1
        after = rows[i + 2] if i + 2 < len(rows) else 2.0 * p1 - p0
        m0, m1 = (p1 - before) / 2.0, (after - p0) / 2.0
        c2 = 3.0 * (p1 - p0) - 2.0 * m0 - m1
        c3 = 2.0 * (p0 - p1) + m0 + m1
        return p0 + u * (m0 + u * (c2 + u * c3)), (m0 + u * (2.0 * c2 + 3.0 * u * c3)) / dt


class Fade:
    """An offset that dies out: quintic from (offset, speed, 0) to (0, 0, 0) in ``duration`` s."""

    def __init__(self, offset: Array, speed: Array, start_ns: int, duration: float) -> None:
        self._o, self._s, self._start_ns, self._t = offset, speed * duration, start_ns, duration

    def at(self, now_ns: int) -> tuple[Array, Array]:
        u = (now_ns - self._start_ns) / NS / self._t
        if u >= 1.0:
            return np.zeros_like(self._o), np.zeros_like(self._o)
        u = max(u, 0.0)
        # p(u) = o (1 - 10u3 + 15u4 - 6u5) + s (u - 6u3 + 8u4 - 3u5)
        q = self._o * (1.0 - u**3 * (10.0 - 15.0 * u + 6.0 * u * u))
        q = q + self._s * (u - u**3 * (6.0 - 8.0 * u + 3.0 * u * u))
        v = self._o * (-30.0 * u * u * (1.0 - u) ** 2)
        v = v + self._s * (1.0 - 18.0 * u * u + 32.0 * u**3 - 15.0 * u**4)
        return q, v / self._t


@dataclass(frozen=True)
class Halt:
    """Slowing down evenly, all joints together, from (q, v)."""

    q: Array
    v: Array
    start_ns: int
    duration: float

    @classmethod
    def of(cls, q: Array, v: Array, start_ns: int, acceleration: Array) -> Halt:
        return cls(q, v, start_ns, max(float(np.max(np.abs(v) / acceleration)), 0.02))

    @property
    def end_ns(self) -> int:
        return self.start_ns + round(self.duration * NS)

    def at(self, now_ns: int) -> tuple[Array, Array]:
        t = min((now_ns - self.start_ns) / NS, self.duration)
        return self.q + self.v * t * (1.0 - t / (2.0 * self.duration)), self.v * (1.0 - t / self.duration)


class Average:
    """The mean of a curve over its last ``window`` s, which bounds jerk whatever the curve does.

    A signal of acceleration at most A, averaged over T, has jerk (a(t) - a(t - T)) / T, at most 2 A / T; its position,
    velocity and acceleration stay within the bounds of the signal, as a mean does (Biagiotti and Melchiorri 2012,
    "FIR filters for online trajectory planning with time- and frequency-domain specifications"). It lags by T / 2,
    which the caller makes up for by looking that far ahead. The curve is linear between the points given.
    """

    def __init__(self, window: float, start: Array) -> None:
        self._window = window
        # time s, position, integral of the position up to there; the first two: it has been at rest
        zero = np.zeros_like(start)
        self._points: deque[tuple[float, Array, Array]] = deque([(-2.0 * window, start, zero),
                                                                 (0.0, start, 2.0 * window * start)])  # fmt: skip

    def add(self, q: Array, dt: float) -> tuple[Array, Array]:
        """The curve goes on to ``q`` in ``dt`` s. Returns mean position and velocity there."""
        points = self._points
        t0, q0, s0 = points[-1]
        t, s = t0 + dt, s0 + 0.5 * (q0 + q) * dt
        points.append((t, q, s))
        begin = t - self._window
        while points[1][0] <= begin:
            points.popleft()
        (ta, qa, sa), (tb, qb, _) = points[0], points[1]
        x = begin - ta
        then = qa + (qb - qa) * (x / (tb - ta))
        return (s - sa - 0.5 * (qa + then) * x) / self._window, (q - then) / self._window
