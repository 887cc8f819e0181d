"""Battery voltage in V against the robot file: CAUTION at `warn`, WARNING half-way, DANGER at `min`."""

from __future__ import annotations

import math

from safety_nodes.core.severity import grade
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.state is None or not math.isfinite(x.state.battery_voltage):
        return []  # an unknown voltage is non_finite's finding
    b, volts = x.robot.battery, x.state.battery_voltage
    steps = (b.warn_v, 0.5 * (b.warn_v + b.min_v), b.min_v)
    severity = grade(-volts, tuple(-s for s in steps))
    if severity <= 0.0:
        return []
    return [Finding("BATTERY", "battery_state", volts, steps[min(int(severity / 0.25), 3) - 1], severity)]
