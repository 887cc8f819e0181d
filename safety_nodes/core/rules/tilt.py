"""How far the base leans: angle between the base's z axis and the vertical, acos(z_base . z_world), in rad.

From the IMU in use; a backup IMU in the torso is turned back to the base through the waist joints (attitude.py).
Beyond `tilt_fallen` nothing the upper body does can help: EMERGENCY.
"""

from __future__ import annotations

from safety_nodes.core.attitude import attitude
from safety_nodes.core.severity import EMERGENCY, grade
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.state is None or (x.robot.base_fixed and not x.robot.imus):
        return []
    c = x.config
    tilt = attitude(x.robot).tilt(x.state)
    steps = (*c.steps("tilt"), c.tilt_fallen)
    severity = grade(tilt, steps)
    if severity <= 0.0:
        return []
    code = "FALLEN" if severity >= EMERGENCY else "TILT"
    return [Finding(code, x.robot.base_link, tilt, steps[min(int(severity / 0.25), 4) - 1], severity)]
