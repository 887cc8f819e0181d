"""How far the twin can be trusted now, in parts that are each between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_core.robot_model import RobotModel

#: An age up to this costs nothing, s.
GOOD_AGE = 0.010
#: What one stale source leaves of completeness.
OPTIONAL, REQUIRED = 0.9, 0.3


@dataclass(frozen=True)
class Quality:
    """age: how old the newest measurement is; completeness: sources that are not stale; consistency: whether
    measurements come as the twin expected; coverage: whether the ground contact is known."""

    age: float
    completeness: float
    consistency: float
    coverage: float

    @property
    def score(self) -> float:
        return self.age * self.completeness * self.consistency * self.coverage


def age_part(age_s: float, stale_s: float) -> float:
    """1 up to GOOD_AGE, 0 at the age at which the twin is stale."""
    if not age_s < stale_s:
        return 0.0
    return 1.0 - max(0.0, age_s - GOOD_AGE) / max(stale_s - GOOD_AGE, 1e-6)


def completeness_part(robot: RobotModel, stale_sources: tuple[str, ...]) -> float:
    part = 1.0
    for topic in stale_sources:
        source = robot.sources.get(topic)
        part *= REQUIRED if source is not None and source.required else OPTIONAL
    return part


def consistency_part(mean_nis: float) -> float:
    """1 while the normalised innovation squared is about 1 or less, falling as 1 / nis above 3."""
    return 1.0 if mean_nis <= 3.0 else 3.0 / mean_nis if mean_nis > 3.0 else 0.0
