"""CAUTION: everything passes, slower. The share is the permit's (`caution_scale` of the monitor)."""

from __future__ import annotations

from humanoid_core.types import Mode
from safety_nodes.core.actions.orders import Arms, Orders, Situation


def scale(s: Situation) -> Orders:
    return Orders(Arms.FOLLOW if s.scale > 0.0 else Arms.BRAKE, s.scale, s.accept_new, Mode.RUN)
