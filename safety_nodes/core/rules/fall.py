"""A fall that cannot be avoided: capture point outside the support by more than `support_fall` m and going outward.

EMERGENCY, so that the fall posture begins before the body is down; formula and sources in core/posture.py. Nearer to
the edge `support` grades, and `tilt` sees what is down already.
"""

from __future__ import annotations

from safety_nodes.core.posture import FALL, falling, margin
from safety_nodes.core.severity import EMERGENCY
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    now = margin(x)
    found = now is not None and falling(x)
    if now is not None:
        x.memory.history.margins.append(now)
    return [Finding(*FALL, now, x.config.support_fall, EMERGENCY)] if found and now is not None else []
