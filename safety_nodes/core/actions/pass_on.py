"""SAFE: good commands pass, at the speed that the permit gives."""

from __future__ import annotations

from humanoid_core.types import Mode
from safety_nodes.core.actions.orders import Arms, Orders, Situation


def pass_on(s: Situation) -> Orders:
    return Orders(Arms.FOLLOW if s.scale > 0.0 else Arms.BRAKE, s.scale, s.accept_new, Mode.RUN)
