"""Capture point against the support polygon: margin m = signed distance to the edge, in m, negative outside.

xi = c + v sqrt(z / g) (linear inverted pendulum: Pratt et al. 2006, "Capture point: a step toward humanoid push
recovery"). The twin computes it; without a fresh twin this rule is silent and `staleness` speaks.

A robot that catches itself unloads a foot for a moment, and the polygon is that of the other one: the margin dips by
centimetres for up to 0.14 s. In a fall xi runs away with the time constant sqrt(z / g), 0.25 s on a G1. So the rule
counts what lasts for two thirds of that (16 of 18 ticks in `RULES`).
"""

from __future__ import annotations

from safety_nodes.core.freshness import twin
from safety_nodes.core.severity import grade
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    believed = twin(x)
    if believed is None or x.robot.base_fixed:
        return []
    margin = believed.support_margin
    steps = tuple(-s for s in x.config.steps("support"))  # smaller is worse
    severity = grade(-margin, steps)
    if severity <= 0.0:
        return []
    return [Finding("SUPPORT", "capture_point", margin, -steps[min(int(severity / 0.25), 3) - 1], severity)]
