"""A joint near its motor's speed limit: |dq| / velocity limit of the robot file (share, 1 = the limit)."""

from __future__ import annotations

import numpy as np

from safety_nodes.core.severity import over
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.state is None:
        return []
    share = np.abs(x.state.velocity) / x.robot.velocity
    return over("JOINT_VELOCITY", x.robot.joint_names, share, x.config.steps("velocity"))
