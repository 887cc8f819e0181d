"""Motor temperature in degC against the robot file, and seconds until the limit at the present slope.

CAUTION at `warn`, WARNING half-way, DANGER at `limit`. Time to limit (limit - T) / (dT/dt), slope by least squares over
20 s (core/history.py): CAUTION and WARNING when it is near, so that the levels come in order before DANGER. A slope
below `LEAST` K/s is noise. Each joint is judged by its own samples: one that tells nothing hides no other.
"""

from __future__ import annotations

import numpy as np

from safety_nodes.core.severity import WARNING, grade, over
from safety_nodes.core.types import Finding, Tick

LEAST = 0.02


def check(x: Tick) -> list[Finding]:
    if x.state is None:
        return []
    # An unknown temperature is non_finite's finding; the others are judged all the same.
    t, names = x.robot.thermal, x.robot.joint_names
    now = np.where(np.isfinite(x.state.temperature), x.state.temperature, -np.inf)
    found = over("TEMPERATURE", names, now, (t.warn, 0.5 * (t.warn + t.limit), t.limit))
    if not bool(np.isfinite(now).any()):
        return found
    x.memory.history.temperature.add(x.state.stamp_ns, np.where(np.isfinite(now), now, np.nan))
    slope = x.memory.history.temperature.slope()
    if slope is None:
        return found
    left = np.where((slope > LEAST) & np.isfinite(now), np.maximum(t.limit - now, 0.0) / np.maximum(slope, LEAST),
                    np.inf)  # a joint whose slope is not known compares as not rising
    worst = int(np.argmin(left))
    steps = (x.config.heat_time_caution, x.config.heat_time_warning)
    severity = min(grade(-float(left[worst]), tuple(-s for s in steps)), WARNING)
    if severity > 0.0:
        limit = steps[1] if severity >= WARNING else steps[0]
        found.append(Finding("TEMPERATURE", f"{names[worst]}, seconds to limit", float(left[worst]), limit, severity))
    return found
