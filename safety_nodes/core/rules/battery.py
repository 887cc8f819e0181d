"""Battery voltage in V against the robot file, and seconds until it browns out at the present drain.

CAUTION at `warn`, WARNING half-way, DANGER at `min`, below which drives and computer fail. At rest the pack would show
V - R I, since I is negative while it gives current (as in sensor_msgs/BatteryState); its slope over a minute gives
(V - min) / (-d(V - R I)/dt): seconds until the voltage under the present load falls below `min`. A slope of less than
`LEAST` V/s is noise.
"""

from __future__ import annotations

import math

import numpy as np

from safety_nodes.core.severity import WARNING, grade
from safety_nodes.core.types import Finding, Tick

LEAST = 0.002


def check(x: Tick) -> list[Finding]:
    if x.state is None or not math.isfinite(x.state.battery_voltage):
        return []  # an unknown voltage is non_finite's finding
    b, volts, amperes = x.robot.battery, x.state.battery_voltage, x.state.battery_current
    steps = (b.warn_v, 0.5 * (b.warn_v + b.min_v), b.min_v)
    severity = grade(-volts, tuple(-s for s in steps))
    found = []
    if severity > 0.0:
        found.append(Finding("BATTERY", "battery_state", volts, steps[min(int(severity / 0.25), 3) - 1], severity))
    if not math.isfinite(amperes):
        return found
    x.memory.history.voltage.add(x.state.stamp_ns, np.array([volts - b.resistance * amperes]))
    slope = x.memory.history.voltage.slope()
    if slope is None or not slope[0] < -LEAST:
        return found
    left = max(volts - b.min_v, 0.0) / -float(slope[0])
    times = (x.config.battery_time_caution, x.config.battery_time_warning)
    severity = min(grade(-left, tuple(-t for t in times)), WARNING)
    if severity > 0.0:
        limit = times[1] if severity >= WARNING else times[0]
        found.append(Finding("BATTERY", "battery_state, seconds to brown-out", left, limit, severity))
    return found
