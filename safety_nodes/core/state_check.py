"""Is a robot state fit for the gate? Judged whole: what it moves by, and what it lets go of the legs by.

A robot whose IMU is not known yet, or that has none, says so: no ``imu_source``, and NaN where the IMU speaks. That is
a state like any other, and nothing in it ever reads as lying or at rest. NaN from a source that is named is a fault.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.types import RobotState

#: How far an orientation's norm may be from 1; sensor_ingest is stricter.
_NORM = 0.05


def state_fault(state: RobotState, n: int) -> tuple[str, str]:
    """(reason code, field) of the first thing that is wrong, ('', '') when nothing is."""
    for name, shape in (("position", (n,)), ("velocity", (n,)), ("orientation", (4,)), ("angular_velocity", (3,))):
        if getattr(state, name).shape != shape:
            return "WRONG_LENGTH", name
    for name in ("position", "velocity"):
        if not bool(np.isfinite(getattr(state, name)).all()):
            return "NON_FINITE", name
    imu = (state.orientation, state.angular_velocity)
    if not state.imu_source and all(bool(np.isnan(values).all()) for values in imu):
        return "", ""
    for name in ("orientation", "angular_velocity"):
        if not bool(np.isfinite(getattr(state, name)).all()):
            return "NON_FINITE", name
    if not abs(float(np.linalg.norm(state.orientation)) - 1.0) <= _NORM:
        return "NON_UNIT_QUATERNION", "orientation"
    return "", ""
