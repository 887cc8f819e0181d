"""A joint near or above its torque limit: |tau| / effort limit of the robot file (share, 1 = the limit).

A motor at its limit for a moment is normal (balance recovery), so the check is k-of-n and starts high.
"""

from __future__ import annotations

import numpy as np

from safety_nodes.core.severity import over
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.state is None:
        return []
    # An unknown torque is non_finite's finding; the others are judged all the same.
    share = np.where(np.isfinite(x.state.effort), np.abs(x.state.effort) / x.robot.effort, 0.0)
    return over("JOINT_TORQUE", x.robot.joint_names, share, x.config.steps("torque"))
