"""NaN or infinity. What the robot moves by (joints, orientation, rates): DANGER. What is only reported (torque,
temperature, battery, feet): CAUTION, the rules that need it are blind. The twin: WARNING. What no source of the robot
file tells is not missed; a base that can tilt must be told of, whatever the file says.
"""

from __future__ import annotations

import math

import numpy as np

from humanoid_core.robot_model import RobotModel
from safety_nodes.core.severity import CAUTION, DANGER, WARNING
from safety_nodes.core.types import Finding, Tick

_MOTION = ("position", "velocity", "orientation", "angular_velocity")
_REPORT = ("effort", "temperature", "linear_acceleration", "foot_force", "battery_voltage", "battery_current")
#: Kind of source without which a field is empty for good.
_SOURCE = {"orientation": "imu", "angular_velocity": "imu", "linear_acceleration": "imu", "foot_force": "wrench",
           "battery_voltage": "battery", "battery_current": "battery", "temperature": "motors"}
_TWIN = ("position", "velocity", "com", "capture_point", "support_margin", "sync_quality")


def check(x: Tick) -> list[Finding]:
    found = []
    if x.state is not None:
        found += [_finding(f, DANGER) for f in _MOTION if not _finite(getattr(x.state, f)) and _expected(f, x.robot)]
        found += [_finding(f, CAUTION) for f in _REPORT if not _finite(getattr(x.state, f)) and _expected(f, x.robot)]
    if x.inputs.twin is not None and x.inputs.twin.value is not None:
        twin = x.inputs.twin.value
        found += [_finding(f"twin/{f}", WARNING) for f in _TWIN if not _finite(getattr(twin, f))]
    return found


def _expected(field: str, robot: RobotModel) -> bool:
    kind = _SOURCE.get(field)
    if kind is None or any(s.kind == kind for s in robot.sources.values()):
        return True
    return kind == "imu" and not robot.base_fixed


def _finite(value: object) -> bool:
    return math.isfinite(value) if isinstance(value, float) else bool(np.isfinite(value).all())  # type: ignore


def _finding(field: str, severity: float) -> Finding:
    return Finding("NON_FINITE", field, math.nan, 0.0, severity)
