"""What the gate does at each safety level: one action per file, one table.

An action is a pure function of the situation; it says what the arms do, how fast, whether a new motion may begin and
what is asked of the robot's onboard controller. The gate carries it out.
"""

from __future__ import annotations

from collections.abc import Callable

from humanoid_core.types import Level
from safety_nodes.core.actions.clamp_and_refuse_new import clamp_and_refuse_new
from safety_nodes.core.actions.emergency import emergency
from safety_nodes.core.actions.halt import halt
from safety_nodes.core.actions.orders import Arms, Orders, Situation
from safety_nodes.core.actions.pass_on import pass_on
from safety_nodes.core.actions.scale import scale

ACTIONS: dict[Level, Callable[[Situation], Orders]] = {
    Level.SAFE: pass_on,
    Level.CAUTION: scale,
    Level.WARNING: clamp_and_refuse_new,
    Level.DANGER: halt,
    Level.EMERGENCY: emergency,
}

__all__ = ["ACTIONS", "Arms", "Orders", "Situation"]
