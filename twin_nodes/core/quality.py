"""How far the twin can be trusted now, in parts that are each between 0 and 1."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import RobotState

#: An age up to this costs nothing, s.
GOOD_AGE = 0.010
#: Standard deviation of the least known joint: up to the first it costs nothing, from the second on all, rad.
GOOD_ERROR, BAD_ERROR = 0.005, 0.05
#: What one stale source leaves of the coverage, and ground contact that nobody measures.
OPTIONAL, REQUIRED, BLIND = 0.9, 0.3, 0.7
#: The trend is told over so long, and renewed so often, s.
TREND, EACH = 2.0, 0.05


@dataclass(frozen=True)
class Quality:
    """age: how old the newest measurement is; error: how far the least known joint may be off; consistency: whether
    measurements come as the twin expected; coverage: how much of the robot is measured."""

    age: float
    error: float
    consistency: float
    coverage: float

    @property
    def score(self) -> float:
        return self.age * self.error * self.consistency * self.coverage

    @property
    def parts(self) -> tuple[float, float, float, float]:
        return self.age, self.error, self.consistency, self.coverage


def age_part(age_s: float, stale_s: float) -> float:
    """1 up to GOOD_AGE, 0 at the age at which the twin is stale."""
    if not age_s < stale_s:
        return 0.0
    return 1.0 - max(0.0, age_s - GOOD_AGE) / max(stale_s - GOOD_AGE, 1e-6)


def error_part(stddev: float) -> float:
    """Of the largest standard deviation of a joint position, rad."""
    if not stddev < BAD_ERROR:
        return 0.0
    return 1.0 - max(0.0, stddev - GOOD_ERROR) / (BAD_ERROR - GOOD_ERROR)


def coverage_part(robot: RobotModel, state: RobotState, feet_measured: bool) -> float:
    """Sources that are not stale, joints whose sensor speaks, feet whose force is known."""
    part = 1.0 - len(state.estimated_joints) / max(robot.n, 1)
    for topic in state.stale_sources:
        source = robot.sources.get(topic)
        part *= REQUIRED if source is not None and source.required else OPTIONAL
    return part if feet_measured or not robot.feet else part * BLIND


def consistency_part(mean_nis: float) -> float:
    """1 while the normalised innovation squared is about 1 or less, falling as 1 / nis above 3."""
    return 1.0 if mean_nis <= 3.0 else 3.0 / mean_nis if mean_nis > 3.0 else 0.0


class Trend:
    """Change of the score per second: mean of the newer half of the last TREND seconds less that of the older."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._seen: deque[tuple[int, float]] = deque()
        self._slope = 0.0

    def add(self, stamp_ns: int, score: float) -> float:
        """Looks at one score in EACH seconds."""
        if not self._seen or stamp_ns - self._seen[-1][0] >= EACH * NS:
            self._slope = self._renew(stamp_ns, score)
        return self._slope

    def _renew(self, stamp_ns: int, score: float) -> float:
        seen = self._seen
        seen.append((stamp_ns, score))
        while stamp_ns - seen[0][0] > TREND * NS:
            seen.popleft()
        span = (stamp_ns - seen[0][0]) / NS
        if len(seen) < 4 or not span > 0.0:
            return 0.0
        middle = stamp_ns - span * NS / 2.0
        old = [s for t, s in seen if t < middle]
        new = [s for t, s in seen if t >= middle]
        return (sum(new) / len(new) - sum(old) / len(old)) / (span / 2.0) if old and new else 0.0
