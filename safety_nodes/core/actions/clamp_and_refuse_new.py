"""WARNING: a running motion goes on, clamped to the permit's share (`warning_scale`); no new one begins, whatever the
permit says of new ones.
"""

from __future__ import annotations

from humanoid_core.types import Mode
from safety_nodes.core.actions.orders import Arms, Orders, Situation


def clamp_and_refuse_new(s: Situation) -> Orders:
    return Orders(Arms.FOLLOW if s.scale > 0.0 else Arms.BRAKE, s.scale, False, Mode.RUN)
