"""Links that come near to one another: seconds until braking must begin (core/nearness.py).

Distances from MuJoCo's collision geometry at the measured joint positions, approach from the measured velocities.
"""

from __future__ import annotations

from safety_nodes.core.nearness import findings, nearby
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    return findings("SELF_COLLISION", [c for c in nearby(x) if not c.obstacle], x)
