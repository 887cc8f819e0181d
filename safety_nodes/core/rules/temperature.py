"""Motor temperature in degC against the robot file: CAUTION at `warn`, WARNING half-way, DANGER at `limit`."""

from __future__ import annotations

import numpy as np

from safety_nodes.core.severity import over
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.state is None or not bool(np.isfinite(x.state.temperature).all()):
        return []  # an unknown temperature is non_finite's finding
    t = x.robot.thermal
    steps = (t.warn, 0.5 * (t.warn + t.limit), t.limit)
    return over("TEMPERATURE", x.robot.joint_names, x.state.temperature, steps)
