"""A joint of the policy's group that moves much faster than anything the gate lets through:
|dq| / command velocity (share). Nothing commanded it, so a motor or its sensor runs away.
"""

from __future__ import annotations

import numpy as np

from safety_nodes.core.severity import over
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.state is None:
        return []
    group = list(x.robot.groups["upper_body"])
    share = np.abs(x.state.velocity[group]) / x.robot.command_velocity[group]
    return over("JOINT_VELOCITY", [x.robot.joint_names[i] for i in group], share, x.config.steps("runaway"))
