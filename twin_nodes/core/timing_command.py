"""How long a command takes to act: the shift at which commands explain the torque that the drives report.

For each candidate delay, r = measured torque - share of the bias - [kp (q*(t - delay) - q) + kd (v*(t - delay) - v) +
effort*], each the mean over the time that the report is about, without its slow part, squared, weighted by what the
sensors' noise does to it and summed with a fading memory. The smallest sum wins, refined by the parabola through it and
its neighbours. Where nothing moves every shift explains the same: then the last answer stays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from twin_nodes.core.drives import Drive
from twin_nodes.core.estimator import EstimatorConfig

#: Candidates, s. Memory of the sums and of the slow part, s.
CANDIDATES: Array = np.arange(0.0, 0.081, 0.004)
MEMORY, SLOW = 1.0, 0.5
#: One report in so many is looked at: neighbours tell the same. An odd number, since two reports a command, always the
#: same one of them, show a delay to a whole command only.
EACH = 5
#: The worst candidate must be so much worse than the best one, in units of its noise, before anything is told.
CONTRAST = 100.0


class CommandDelay:
    """``add`` every report; ``delay`` is in s, NaN while unknown."""

    def __init__(self, robot: RobotModel, config: EstimatorConfig) -> None:
        self.robot, self._config = robot, config
        source = robot.sources.get("joint_states")
        #: What a report is the mean over, ns.
        self._span_ns = round(NS / source.rate) if source is not None and source.rate > 0.0 else 5 * MS
        self.clear()

    def clear(self) -> None:
        self.delay = float("nan")
        self._drives: deque[tuple[int, Drive]] = deque(maxlen=40)
        self._slow: Array | None = None
        self._sums = np.zeros(len(CANDIDATES))
        self._weight = 0.0
        self._turn = self._used_ns = 0
        self._last_ns = 0

    def command(self, stamp_ns: int, drive: Drive) -> None:
        """Set-points that were sent at ``stamp_ns``."""
        if not self._drives or stamp_ns > self._drives[-1][0]:
            self._drives.append((stamp_ns, drive))

    def add(self, stamp_ns: int, q: Array, v: Array, effort: Array, carried: Array) -> None:
        """Raw measurements (n,), and what the drives carry by themselves (share of the bias, N m)."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        self._turn = (self._turn + 1) % EACH
        if self._turn:
            return
        if not last_ns or not self._drives or not 0 < stamp_ns - last_ns <= 50 * MS:
            self._slow = None
            return
        shown = self._shown(stamp_ns)
        if shown is None:
            self._slow = None
            return
        first, goal, speed, push = shown
        on = first.on & np.isfinite(effort) & np.isfinite(q + v)
        if not on.any():
            return
        kp, kd = first.kp, first.kd
        asked = kp * (goal - q + 0.5 * self._span_ns / NS * v) + kd * (speed - v) + push
        rest = np.where(on, effort - carried - asked, 0.0)
        dt = (stamp_ns - self._used_ns) / NS if self._slow is not None else 0.0
        self._used_ns = stamp_ns
        if self._slow is None:
            self._slow = rest
        self._slow = self._slow + min(dt / SLOW, 1.0) * (rest - self._slow)
        c = self._config
        noise = (kp * c.position_noise) ** 2 + (kd * c.velocity_noise) ** 2 + c.effort_noise**2
        fade = np.exp(-dt / MEMORY)
        self._sums = fade * self._sums + (np.where(on, (rest - self._slow) ** 2 / noise, 0.0)).sum(axis=1)
        self._weight = fade * self._weight + float(on.sum())
        self._choose()

    def _shown(self, stamp_ns: int) -> tuple[Drive, Array, Array, Array] | None:
        """(the drive of the longest delay; position, velocity, effort asked for, (c, n)) of each candidate delay, the
        mean over the report; None where the commands that are kept do not reach."""
        stamps = [s for s, _ in self._drives]
        ends = [stamp_ns - round(c * NS) for c in CANDIDATES]
        rows = [bisect_right(stamps, end) - 1 for end in ends]
        if rows[-1] < 1 or stamp_ns - stamps[-1] > 100 * MS:
            return None
        oldest = rows[-1] - 1
        kept = [self._drives[k][1] for k in range(oldest, rows[0] + 1)]
        after = np.array(rows) - oldest
        share = np.array([min((end - stamps[k]) / self._span_ns, 1.0) for end, k in zip(ends, rows, strict=True)])
        weights = np.zeros((len(rows), len(kept)))
        each = np.arange(len(rows))
        weights[each, after], weights[each, after - 1] = share, 1.0 - share
        # NaN, a joint that nobody commanded, stays with its joint.
        goal, speed, push = (weights @ np.array(values) for values in (
            [d.position for d in kept], [d.velocity for d in kept], [d.effort for d in kept]))
        return kept[0], goal, speed, push

    def _choose(self) -> None:
        best = int(np.argmin(self._sums))
        scale = max(float(self._sums[best]) / max(self._weight, 1.0), 1.0)
        if float(self._sums.max() - self._sums[best]) < CONTRAST * scale:
            return
        shift = 0.0
        if 0 < best < len(CANDIDATES) - 1:
            a, b, c = self._sums[best - 1:best + 2]
            shift = 0.5 * float(a - c) / max(float(a - 2.0 * b + c), 1e-9)
        self.delay = float(CANDIDATES[best]) + shift * float(CANDIDATES[1] - CANDIDATES[0])
