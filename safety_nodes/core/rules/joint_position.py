"""A joint beyond its limit: e = max(lower - q, q - upper), in rad.

Limits from the robot file. Only what lies outside counts: a policy may work right up to a limit, and a soft stop
gives a little. Hard limit, so every single sample counts.
"""

from __future__ import annotations

import numpy as np

from safety_nodes.core.severity import over
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.state is None:
        return []
    q, robot = x.state.position, x.robot
    return over("JOINT_POSITION", robot.joint_names, np.maximum(robot.lower - q, q - robot.upper),
                x.config.steps("position"))
