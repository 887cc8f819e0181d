"""How good earlier predictions were, beside what costs nothing: the joints stay, or go on at the speed they have."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from humanoid_core.robot_model import Array
from humanoid_core.timing import MS

#: How far ahead predictions are scored, ms; over how many of the latest; a longer gap between states scores nothing.
AHEAD_MS, WINDOW, GAP_NS = (20, 100, 500), 100, 50 * MS

Three = tuple[float, float, float]
UNKNOWN: Three = (float("nan"),) * 3


class _Due(NamedTuple):
    due_ns: int
    slot: int
    expected: Array
    hold: Array
    velocity: Array


class Scoring:
    """``expect`` at each look ahead, ``came`` with each state; the errors are RMS over joints and the window, rad."""

    def __init__(self) -> None:
        self._squares: list[deque[tuple[float, float, float]]] = [deque(maxlen=WINDOW) for _ in AHEAD_MS]
        self.clear()

    def clear(self) -> None:
        """What was expected is void; the scores so far stay."""
        self._due: deque[_Due] = deque()
        self._last: tuple[int, Array] | None = None

    def expect(self, stamp_ns: int, q: Array, v: Array, time: Array, trajectory: Array) -> None:
        """At ``stamp_ns`` the joints were at ``q`` with ``v`` (n,), and ``trajectory`` (t, n) was expected."""
        for slot, ahead in enumerate(AHEAD_MS):
            at = ahead / 1e3
            if at <= time[-1] + 1e-9:
                k = min(int(at / time[1] + 1e-9), len(time) - 2)
                share = (at - time[k]) / (time[k + 1] - time[k])
                expected = trajectory[k] + share * (trajectory[k + 1] - trajectory[k])
                self._due.append(_Due(stamp_ns + ahead * MS, slot, expected, q, q + at * v))

    def came(self, stamp_ns: int, position: Array) -> None:
        """The joints are at ``position`` (n,); between two states they went straight."""
        last, self._last = self._last, (stamp_ns, position)
        if last is None or not 0 < stamp_ns - last[0] <= GAP_NS:
            self._due = deque(d for d in self._due if d.due_ns > stamp_ns)
            return
        waiting: deque[_Due] = deque()
        for due in self._due:
            if due.due_ns > stamp_ns:
                waiting.append(due)
            elif due.due_ns > last[0]:
                share = (due.due_ns - last[0]) / (stamp_ns - last[0])
                true = last[1] + share * (position - last[1])
                self._squares[due.slot].append((_square(due.expected - true), _square(due.hold - true),
                                                _square(due.velocity - true)))
        self._due = waiting

    @property
    def errors(self) -> tuple[Three, Three, Three]:
        """(prediction, hold, constant velocity), each at 20, 100 and 500 ms; NaN where nothing was scored yet."""
        rms = [np.sqrt(np.mean(s, axis=0)) if s else np.full(3, np.nan) for s in self._squares]
        p, h, v = (tuple(float(r[i]) for r in rms) for i in range(3))
        return p, h, v  # type: ignore[return-value]

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(len(s) for s in self._squares)


def _square(error: Array) -> float:
    return float(error @ error) / len(error)
