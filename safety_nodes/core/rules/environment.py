"""Links that come near to an obstacle of the environment file: seconds until braking must begin (core/nearness.py).

The robot stands where its soles are; each obstacle has its own margin, a smaller one for hands.
"""

from __future__ import annotations

from safety_nodes.core.nearness import findings, nearby
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    return findings("ENVIRONMENT", [c for c in nearby(x) if c.obstacle], x)
