"""Which feet stand on the ground: vertical force against a share of the robot's weight, with hysteresis."""

from __future__ import annotations

import math

from humanoid_core.kinematics import GRAVITY
from humanoid_core.robot_model import Array

#: A foot in contact leaves it below this share of the force at which it came into contact.
RELEASE = 0.6


class FootContact:
    """``force[k]`` belongs to foot k of the robot file; NaN: that foot feels nothing because nobody measures it."""

    def __init__(self, feet: int, mass: float, share: float) -> None:
        self._touch = share * max(mass, 1.0) * GRAVITY
        self.on: list[bool] = [False] * feet

    def update(self, force: Array) -> tuple[tuple[bool, ...], bool]:
        """(contact of each foot, whether any foot was measured)."""
        measured = False
        for k in range(len(self.on)):
            normal = float(force[k][2]) if k < len(force) else math.nan
            if not math.isfinite(normal):
                self.on[k] = False
                continue
            measured = True
            self.on[k] = normal >= self._touch * (RELEASE if self.on[k] else 1.0)
        return tuple(self.on), measured
