"""Smooth motion as a sum of minimum-jerk moves.

A plan is a posture plus moves; each adds its displacement along s(u) = 10 u^3 - 15 u^4 + 6 u^5 (Flash and
Hogan 1985). Moves may overlap: a via point is passed without stopping, and a target that changed in mid-air is
one more move on top (Flash and Henis 1991). Position, velocity and acceleration stay continuous whatever is
added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS

#: Peak velocity and acceleration of a minimum-jerk move of unit length and duration.
PEAK_VELOCITY, PEAK_ACCELERATION = 1.875, 5.7735
#: Share of the command limits that one move may use; the rest is for overlaps and corrections.
SHARE = 0.5
SHORTEST = 0.3


@dataclass(frozen=True, eq=False)
class Move:
    """Displacement ``delta`` (n,) rad that begins at ``start_ns`` and takes ``duration`` s."""

    delta: Array
    start_ns: int
    duration: float

    @property
    def end_ns(self) -> int:
        return self.start_ns + round(self.duration * NS)


class Plan:
    """Postures of all joints (n,) over time."""

    def __init__(self, robot: RobotModel, posture: Array, now_ns: int) -> None:
        self._velocity = robot.command_velocity * SHARE
        self._acceleration = robot.command_acceleration * SHARE
        self._base: Array = np.array(posture, dtype=np.float64)
        self._moves: list[Move] = []
        self._start_ns = now_ns

    @property
    def goal(self) -> Array:
        """Where it ends (n,)."""
        goal: Array = self._base + sum((m.delta for m in self._moves), np.zeros_like(self._base))
        return goal

    @property
    def end_ns(self) -> int:
        """When the last move ends."""
        return max((m.end_ns for m in self._moves), default=self._start_ns)

    def duration(self, delta: Array, share: float = 1.0) -> float:
        """Shortest time for a displacement (n,) within ``share`` of what a move may use, s."""
        far = np.abs(delta)
        by_velocity = PEAK_VELOCITY * float(np.max(far / self._velocity)) / share
        by_acceleration = float(np.sqrt(PEAK_ACCELERATION * np.max(far / self._acceleration) / share))
        return max(by_velocity, by_acceleration, SHORTEST)

    def then(self, posture: Array, not_before_ns: int, overlap: float = 0.0, slow: float = 1.0) -> int:
        """Append a move from the present goal to ``posture``; returns when it ends, ns.

        It begins ``overlap`` (share of the shorter move) before the last one ends, never before
        ``not_before_ns``; ``slow`` stretches it.
        """
        delta = posture - self.goal
        duration = self.duration(delta) * slow
        last = max(self._moves, key=lambda m: m.end_ns, default=None)
        begin = not_before_ns
        if last is not None:
            early = round(overlap * min(duration, last.duration) * NS)
            begin = max(not_before_ns, last.end_ns - early)
        self._moves.append(Move(delta, begin, duration))
        return self._moves[-1].end_ns

    def shift(self, delta: Array, now_ns: int, least: float = 0.5) -> None:
        """Move everything still to come by ``delta`` (n,): a correction on top, begun at ``now_ns``."""
        self._moves.append(Move(np.array(delta), now_ns, max(self.duration(delta, 0.4), least)))

    def cancel_after(self, now_ns: int) -> None:
        """Drop moves that have not begun; those under way go on to their end."""
        self._moves = [m for m in self._moves if m.start_ns < now_ns]

    def forget_before(self, now_ns: int) -> None:
        """Fold finished moves into the base."""
        for move in self._moves:
            if move.end_ns <= now_ns:
                self._base = self._base + move.delta
        self._moves = [m for m in self._moves if m.end_ns > now_ns]
        self._start_ns = max(self._start_ns, now_ns)

    def sample(self, times_ns: npt.NDArray[np.floating]) -> Array:
        """Postures (k, n) at times (k,) in ns; before the start: the base."""
        times = np.asarray(times_ns, dtype=np.float64)
        out: Array = np.repeat(self._base[None, :], len(times), axis=0)
        for move in self._moves:
            u = np.clip((times - move.start_ns) / (move.duration * NS), 0.0, 1.0)
            out += (u**3 * (10.0 + u * (6.0 * u - 15.0)))[:, None] * move.delta
        return out

    def rows(self, stamp_ns: int, step_dt: float, count: int) -> Array:
        """Rows (count, n) of a chunk: row k is for ``stamp_ns + (k + 1) step_dt``."""
        return self.sample(stamp_ns + (np.arange(count) + 1.0) * step_dt * NS)
