"""From action chunks to set-points: the 100 Hz end of every policy.

A chunk is anchored at its stamp and sampled by time, never by counting. When a new chunk takes over, or motion
begins at the measured pose, the difference in position and velocity is carried along and faded to nothing by
a quintic in bounded time, so a seam has no step. A limiter behind it keeps velocity and acceleration inside
the command limits whatever a policy asks, and a moving average behind that the jerk. A chunk is followed from its
stamp plus the lead-in, the latency that most inferences stay below, so that a quick answer and a slow one are followed
alike; on request chunks that overlap are averaged. A chunk that is late, from another epoch, not finite or wrongly
shaped is dropped whole, with a reason and a count. When the rows run out, the motion is slowed to a stop, held
a little and then reported as EXHAUSTED.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk, JointCommand
from vla_nodes.core.curves import Average, Fade, Halt, Rows

#: Share of the inferences that the lead-in covers, and over how many of the latest it is measured.
LEAD_SHARE, LEAD_COUNT = 0.9, 32


@dataclass(frozen=True)
class ExecutionParams:
    """Times in s. ``fade`` shortest and ``fade_max`` longest blend at a seam; ``hold`` how long the last
    set-point is repeated after a stop; ``max_age`` of the observation behind a chunk; ``limit_share`` of the
    command velocity, acceleration and jerk that are allowed; ``lead_max`` longest lead-in; ``ensemble`` m of temporal
    ensembling (Zhao et al. 2023, "Learning fine-grained bimanual manipulation with low-cost hardware"): rows of chunks
    that overlap are averaged with weights exp(-m i), i = 0 for the oldest; negative: the newest alone counts."""

    fade: float = 0.15
    fade_max: float = 1.5
    hold: float = 0.3
    max_age: float = 1.0
    limit_share: float = 0.95
    gap: float = 0.1
    lead_max: float = 0.5
    ensemble: float = -1.0


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
        jerk = robot.command_jerk[index] * self.params.limit_share
        #: Over which the moving average runs, s: then its jerk, 2 A / T at most, is allowed for every joint.
        self._window = float(np.max(2.0 * self._acceleration / jerk))
        self._ahead_ns = round(0.5 * self._window * NS)
        self._latencies: deque[float] = deque(maxlen=LEAD_COUNT)
        self.refused = Refusals()
        self.source = source or group
        self.seq = 0
        self.epoch = 0
        #: Share of the command velocity that the safety level leaves, 0…1.
        self.scale = 1.0
        self.stop()

    def stop(self) -> None:
        """Forget chunk and motion; the next command needs ``begin``."""
        self._chunk: Rows | None = None
        self._fade: Fade | None = None
        self._halt: Halt | None = None
        self._waiting: deque[tuple[int, ActionChunk, np.ndarray]] = deque(maxlen=8)
        self._past: deque[tuple[ActionChunk, np.ndarray]] = deque(maxlen=32)
        # behind the limiter, and behind the moving average: what is commanded
        self._q: Array | None = None
        self._v = np.zeros(len(self.index))
        self._mean: Average | None = None
        self._out = np.zeros(len(self.index))
        self._last_ns = 0
        self._last_seq = 0
        self.following_ns = 0
        self.reason = ""

    def begin(self, epoch: int, measured: Array, now_ns: int) -> str:
        """A new epoch from the measured pose (n,), whole robot, at rest. Returns '' or a reason code."""
        self.stop()
        self.epoch = epoch
        if not np.all(np.isfinite(measured[self.index])):
            return self.refused.refuse("NON_FINITE", "measured pose")
        self._q = self._out = np.clip(measured[self.index], self._low, self._high)
        self._mean = Average(self._window, self._q)
        self._last_ns = now_ns
        return ""

    def renew(self, epoch: int) -> None:
        """A new epoch in mid-motion: what is commanded goes on from where it is, old chunks no longer count."""
        self.epoch = epoch
        self._last_seq = 0
        self.following_ns = 0
        self._waiting.clear()
        self._past.clear()

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
        return None if self._q is None else self._out.copy()

    @property
    def lead(self) -> float:
        """From an observation to where its chunk is followed from, s, as measured."""
        if not self._latencies:
            return 0.0
        return min(float(np.quantile(np.array(self._latencies), LEAD_SHARE)), self.params.lead_max)

    def accept(self, chunk: ActionChunk, now_ns: int) -> str:
        """Take a chunk. Returns '' or the reason code under which it was dropped whole."""
        code, detail = self._judge(chunk, now_ns)
        if code:
            return self.refused.refuse(code, detail)
        self._last_seq = chunk.seq
        self.following_ns = chunk.stamp_ns
        places = np.array([self._place[name] for name in chunk.joint_names], dtype=np.intp)
        self._latencies.append((now_ns - chunk.stamp_ns) / NS)
        if self.params.ensemble >= 0.0:
            self._past.append((chunk, places))
            chunk = self._averaged(chunk, places)
        follow_ns = chunk.stamp_ns + round(self.lead * NS)
        if self._chunk is None or self._halt is not None or now_ns >= follow_ns:
            self._waiting.clear()
            self._switch(chunk, places, now_ns + self._ahead_ns)
        else:
            self._waiting.append((follow_ns, chunk, places))
        return ""

    def _averaged(self, chunk: ActionChunk, places: np.ndarray) -> ActionChunk:
        """Temporal ensembling: each row is the weighted mean of what all chunks say about its instant."""
        total, weight = np.zeros(chunk.positions.shape), np.zeros(len(chunk.positions))
        times = [chunk.stamp_ns + round((k + 1) * chunk.step_dt * NS) for k in range(len(weight))]
        same = [c for c, p in self._past if np.array_equal(p, places)]
        base = np.zeros(len(self.index))
        for i, other in enumerate(same):
            curve, w = Rows(other, places, base), float(np.exp(-self.params.ensemble * i))
            for k, t in enumerate(times):
                if curve.start_ns <= t <= curve.end_ns:
                    total[k] += w * curve.at(t)[0][places]
                    weight[k] += w
        return replace(chunk, positions=total / weight[:, None])

    def _judge(self, chunk: ActionChunk, now_ns: int) -> tuple[str, str]:
        names, rows = chunk.joint_names, np.asarray(chunk.positions)
        if chunk.epoch != self.epoch:
            return "OLD_EPOCH", f"epoch {chunk.epoch}, now {self.epoch}"
        if chunk.seq < 1:
            return "OUT_OF_RANGE", "seq = 0: chunks are numbered from 1"
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
        """Make the chunk current, carrying along the difference to what is asked for then."""
        assert self._q is not None
        q, v = self._reference(now_ns) if self._chunk is not None else (self._q, self._v)
        self._chunk = Rows(chunk, places, q)
        self._halt = None
        self.reason = ""
        new_q, new_v = self._chunk.at(now_ns)
        self._fade = Fade(q - new_q, v - new_v, now_ns, self._fade_time(q - new_q, v - new_v))

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
                self._halt = Halt.of(q, v, at_ns, 0.5 * self._acceleration)
            return self._halt.at(now_ns)
        return q, v

    def tick(self, now_ns: int) -> JointCommand | None:
        """The set-point for now, or None when there is nothing to say (idle, or ``reason`` is set)."""
        if self._q is None or self._chunk is None or self.reason:
            return None
        dt = (now_ns - self._last_ns) / NS
        if not dt > 0.0:
            return None
        while self._waiting and now_ns >= self._waiting[0][0]:
            _, chunk, places = self._waiting.popleft()
            self._switch(chunk, places, now_ns + self._ahead_ns)
        # the moving average lags by as much as is looked ahead here
        wanted, speed = self._reference(now_ns + self._ahead_ns)
        rested = self._ahead_ns + round(self.params.hold * NS)
        if self._halt is not None and now_ns > self._halt.end_ns + rested:
            self.reason = self.refused.refuse("EXHAUSTED", f"chunk {self._last_seq}")
            self._chunk = None
            return None
        dt = min(dt, self.params.gap)
        self._follow(wanted, speed, dt)
        self._last_ns = now_ns
        self.seq += 1
        assert self._mean is not None
        self._out, velocity = self._mean.add(self._q, dt)
        return JointCommand(now_ns, self.seq, self.epoch, self.source, self.names, self._out.copy(), velocity)

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
