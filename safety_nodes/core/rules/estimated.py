"""A joint whose sensor is lost and whose value is the twin's estimate: CAUTION. Of a joint for which the robot file
does not allow it: DANGER, as if the sensor were silent. ``value`` counts the joints, ``limit`` how many may be.
"""

from __future__ import annotations

from safety_nodes.core.severity import CAUTION, DANGER
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.state is None or not x.state.estimated_joints:
        return []
    names, spec = x.state.estimated_joints, x.robot.recovery
    many = len(names) > spec.at_most
    return [Finding("ESTIMATED", name, float(len(names)), float(spec.at_most),
                    DANGER if many or name not in spec.estimate else CAUTION) for name in names]
