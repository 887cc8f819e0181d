"""From action chunks to set-points: the 100 Hz end of every policy.

A chunk is anchored at its stamp and sampled by time, never by counting. When a new chunk takes over, or motion
begins at the measured pose, the difference in position and velocity is carried along and faded to nothing by
a quintic in bounded time, so a seam has no step. A limiter behind it keeps velocity and acceleration inside
the command limits whatever a policy asks. A chunk that is late, from another epoch, not finite or wrongly
shaped is dropped whole, with a reason and a count. When the rows run out, the motion is slowed to a stop, held
a little and then reported as EXHAUSTED.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk, JointCommand


@dataclass(frozen=True)
class ExecutionParams:
    """Times in s. ``fade`` shortest and ``fade_max`` longest blend at a seam; ``hold`` how long the last
    set-point is repeated after a stop; ``max_age`` of the observation behind a chunk; ``limit_share`` of the
    command velocity and acceleration that the limiter allows."""

    fade: float = 0.15
    fade_max: float = 1.5
    hold: float = 0.3
    max_age: float = 1.0
    limit_share: float = 0.95
    gap: float = 0.1


class Execution:
    """Pure: told the time, never asks. Joint vectors are the controlled joints in ``names`` order."""

    def __init__(
        self, robot: RobotModel, params: ExecutionParams | None = None, group: str = "upper_body", source: str = ""
    ) -> None:
        self.params = params or ExecutionParams()
        self.robot = robot
        index = np.array(robot.groups[group], dtype=np.intp)
        self.index = index
        self.names = tuple(robot.joint_names[i] for i in index)
        self._place = {name: i for i, name in enumerate(self.names)}
        self._low, self._high = robot.lower[index], robot.upper[index]
        self._velocity = robot.command_velocity[index] * self.params.limit_share
        self._acceleration = robot.command_acceleration[index] * self.params.limit_share
        self.refused = Refusals()
        self.source = source or group
        self.seq = 0
        self.epoch = 0
        #: Share of the command velocity that the safety level leaves, 0…1.
        self.scale = 1.0
        self.stop()

    def stop(self) -> None:
        """Forget chunk and motion; the next command needs ``begin``."""
        self._chunk: _Rows | None = None
        self._fade: _Fade | None = None
        self._q: Array | None = None
        self._v = np.zeros(len(self.index))
        self._last_ns = 0
        self._last_seq = -1
        self._halt: _Halt | None = None
        self.reason = ""

    def begin(self, epoch: int, measured: Array, now_ns: int) -> str:
        """A new epoch from the measured pose (n,), whole robot, at rest. Returns '' or a reason code."""
        self.stop()
        self.epoch = epoch
        if not np.all(np.isfinite(measured[self.index])):
            return self.refused.refuse("NON_FINITE", "measured pose")
        self._q = np.clip(measured[self.index], self._low, self._high)
        self._last_ns = now_ns
        return ""

    def renew(self, epoch: int) -> None:
        """A new epoch in mid-motion: what is commanded goes on from where it is, old chunks no longer count."""
        self.epoch = epoch
        self._last_seq = -1

    @property
    def moving(self) -> bool:
        """Whether ``tick`` gives commands."""
        return self._q is not None and self._chunk is not None and not self.reason

    @property
    def ready(self) -> bool:
        """Whether ``begin`` was called for the present motion."""
        return self._q is not None

    @property
    def commanded(self) -> Array | None:
        """The last set-point of the controlled joints, or None before ``begin``."""
        return None if self._q is None else self._q.copy()

    def accept(self, chunk: ActionChunk, now_ns: int) -> str:
        """Take a chunk. Returns '' or the reason code under which it was dropped whole."""
        code, detail = self._judge(chunk, now_ns)
        if code:
            return self.refused.refuse(code, detail)
        self._last_seq = chunk.seq
        places = np.array([self._place[name] for name in chunk.joint_names], dtype=np.intp)
        self._switch(chunk, places, now_ns)
        return ""

    def _judge(self, chunk: ActionChunk, now_ns: int) -> tuple[str, str]:
        names, rows = chunk.joint_names, np.asarray(chunk.positions)
        if chunk.epoch != self.epoch:
            return "OLD_EPOCH", f"epoch {chunk.epoch}, now {self.epoch}"
        if not chunk.seq > self._last_seq:
            return "OLD_SEQUENCE", f"seq {chunk.seq}, last {self._last_seq}"
        if not names or len(set(names)) != len(names):
            return "WRONG_NAMES", "no joint is named, or one twice"
        for name in names:
            if name not in self._place:
                known = name in self.robot.joint_names
                return "NOT_CONTROLLED" if known else "WRONG_NAMES", f"'{name}'"
        if rows.ndim != 2 or rows.shape[1] != len(names) or not rows.shape[0] >= 2:
            return "WRONG_LENGTH", f"positions {rows.shape}, {len(names)} joints"
        if not (np.isfinite(chunk.step_dt) and 0.001 <= chunk.step_dt <= 1.0):
            return "OUT_OF_RANGE", f"step_dt {chunk.step_dt} s"
        if not np.all(np.isfinite(rows)):
            return "NON_FINITE", "positions"
        places = [self._place[name] for name in names]
        inside = (rows >= self._low[places] - 1e-6) & (rows <= self._high[places] + 1e-6)
        if not np.all(inside):
            return "LIMIT_POSITION", f"'{names[int(np.argmin(inside.all(axis=0)))]}'"
        if now_ns >= chunk.stamp_ns + round(len(rows) * chunk.step_dt * NS):
            return "EXPIRED", f"ended {(now_ns - chunk.stamp_ns) / NS - len(rows) * chunk.step_dt:.3f} s ago"
        if not now_ns - chunk.stamp_ns <= self.params.max_age * NS:
            return "STALE", f"observed {(now_ns - chunk.stamp_ns) / NS:.3f} s ago"
        if self._q is None:
            return "NO_STATE", "no measured pose to begin from"
        return "", ""

    def _switch(self, chunk: ActionChunk, places: np.ndarray, now_ns: int) -> None:
        """Make the chunk current, carrying along the difference to what is asked for now."""
        assert self._q is not None
        q, v = self._reference(now_ns) if self._chunk is not None else (self._q, self._v)
        self._chunk = _Rows(chunk, places, q)
        self._halt = None
        self.reason = ""
        new_q, new_v = self._chunk.at(now_ns)
        self._fade = _Fade(q - new_q, v - new_v, now_ns, self._fade_time(q - new_q, v - new_v))

    def _fade_time(self, offset: Array, speed: Array) -> float:
        """Long enough that the fade alone stays within half the limits, bounded by ``fade_max``."""
        by_velocity = float(np.max(1.875 * np.abs(offset) / (0.5 * self._velocity)))
        by_acceleration = float(np.max(np.sqrt(5.8 * np.abs(offset) / (0.5 * self._acceleration))))
        by_speed = float(np.max(4.0 * np.abs(speed) / (0.5 * self._acceleration)))
        p = self.params
        return min(max(p.fade, by_velocity, by_acceleration, by_speed), p.fade_max)

    def _reference(self, now_ns: int) -> tuple[Array, Array]:
        """What is asked for at a time: the chunk, the fade on top, or the halt after the chunk's end."""
        assert self._chunk is not None
        at_ns = min(now_ns, self._chunk.end_ns)
        q, v = self._chunk.at(at_ns)
        if self._fade is not None:
            offset, speed = self._fade.at(at_ns)
            q, v = q + offset, v + speed
        if now_ns > self._chunk.end_ns:
            if self._halt is None:
                self._halt = _Halt.of(q, v, at_ns, 0.5 * self._acceleration)
            return self._halt.at(now_ns)
        return q, v

    def tick(self, now_ns: int) -> JointCommand | None:
        """The set-point for now, or None when there is nothing to say (idle, or ``reason`` is set)."""
        if self._q is None or self._chunk is None or self.reason:
            return None
        dt = (now_ns - self._last_ns) / NS
        if not dt > 0.0:
            return None
        wanted, speed = self._reference(now_ns)
        if self._halt is not None and now_ns > self._halt.end_ns + round(self.params.hold * NS):
            self.reason = self.refused.refuse("EXHAUSTED", f"chunk {self._last_seq}")
            self._chunk = None
            return None
        self._follow(wanted, speed, min(dt, self.params.gap))
        self._last_ns = now_ns
        self.seq += 1
        return JointCommand(
            now_ns, self.seq, self.epoch, self.source, self.names, self._q.copy(), self._v.copy()
        )

    def _follow(self, wanted: Array, speed: Array, dt: float) -> None:
        """Step the set-point towards ``wanted`` within the limits.

        Exact while ``wanted`` keeps within them; behind it, the remaining distance is closed at a speed relative
        to ``speed`` from which half the allowed acceleration still stops in time.
        """
        assert self._q is not None
        off = wanted - self._q - speed * dt
        a = 0.5 * self._acceleration
        v = speed + np.sign(off) * np.minimum(np.abs(off) / dt, _brake(np.abs(off), a, dt))
        v = np.clip(v, self._v - self._acceleration * dt, self._v + self._acceleration * dt)
        # never faster than can be braked before a joint limit
        v = np.minimum(v, _brake(np.maximum(self._high - self._q, 0.0), a, dt))
        v = np.maximum(v, -_brake(np.maximum(self._q - self._low, 0.0), a, dt))
        top = self._velocity * min(max(self.scale, 0.05), 1.0)
        # slowed down no harder than the acceleration limit, when the scale falls in mid-motion
        top = np.maximum(top, np.minimum(np.abs(self._v) - self._acceleration * dt, self._velocity))
        v = np.clip(v, -top, top)
        self._q = np.clip(self._q + v * dt, self._low, self._high)
        self._v = v


def _brake(distance: Array, acceleration: Array, dt: float) -> Array:
    """Largest speed from which steps of a dt stop within a distance: v^2 / (2 a) + v dt / 2 = d."""
    step = acceleration * dt
    speed: Array = step * (np.sqrt(0.25 + 2.0 * distance / (step * dt)) - 0.5)
    return speed


class _Rows:
    """A chunk's rows as a function of time: piecewise cubic with central differences (Catmull and Rom).

    ``others`` (joints,) is where joints stay that the chunk does not name.
    """

    def __init__(self, chunk: ActionChunk, places: np.ndarray, others: Array) -> None:
        self._rows = np.repeat(others[None, :], len(chunk.positions), axis=0)
        self._rows[:, places] = chunk.positions
        self._dt = chunk.step_dt
        self._start_ns = chunk.stamp_ns + round(chunk.step_dt * NS)
        self.end_ns = chunk.stamp_ns + round(len(self._rows) * chunk.step_dt * NS)

    def at(self, now_ns: int) -> tuple[Array, Array]:
        """Position and velocity; before row 0 and after the last: that row, slope of the nearest piece."""
        rows, dt = self._rows, self._dt
        x = (now_ns - self._start_ns) / NS / dt
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


class _Fade:
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
class _Halt:
    """Slowing down evenly, all joints together, from (q, v)."""

    q: Array
    v: Array
    start_ns: int
    duration: float

    @classmethod
    def of(cls, q: Array, v: Array, start_ns: int, acceleration: Array) -> _Halt:
        return cls(q, v, start_ns, max(float(np.max(np.abs(v) / acceleration)), 0.02))

    @property
    def end_ns(self) -> int:
        return self.start_ns + round(self.duration * NS)

    def at(self, now_ns: int) -> tuple[Array, Array]:
        t = min((now_ns - self.start_ns) / NS, self.duration)
        return self.q + self.v * t * (1.0 - t / (2.0 * self.duration)), self.v * (1.0 - t / self.duration)
