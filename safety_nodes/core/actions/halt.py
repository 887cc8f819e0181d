"""DANGER: the upper body comes to rest within its limits of acceleration and jerk; the legs go on balancing."""

from __future__ import annotations

from humanoid_core.types import Mode
from safety_nodes.core.actions.orders import Arms, Orders, Situation


def halt(s: Situation) -> Orders:
    return Orders(Arms.BRAKE, 0.0, False, Mode.RUN)
