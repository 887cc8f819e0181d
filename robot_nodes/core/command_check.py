"""Whether one JointCommand can go to this robot. The gate has judged it already; a bridge does not rely on that."""

from __future__ import annotations

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.types import JointCommand

#: A limit is met within this, rad: the robot's numbers are 32 bits wide.
TOLERANCE = 1e-5


def refusal_of(command: JointCommand, robot: RobotModel, allowed: frozenset[int]) -> tuple[str, str]:
    """(code, detail), or ('', '') when every joint may be moved so. ``allowed``: indices of joints that are ours."""
    names = command.joint_names
    if not names or len(set(names)) != len(names):
        return "WRONG_NAMES", "no joint is named, or one twice"
    unknown = [n for n in names if n not in robot.joint_names]
    if unknown:
        return "WRONG_NAMES", f"this robot has no joint '{unknown[0]}'"
    index = indices(command, robot)
    others = [n for n, i in zip(names, index, strict=True) if int(i) not in allowed]
    if others:
        return "NOT_CONTROLLED", f"'{others[0]}' belongs to the onboard controller"
    for field in ("position", "velocity", "effort", "kp", "kd"):
        values = getattr(command, field)
        if len(values) != len(names) and (len(values) or field == "position"):
            return "WRONG_LENGTH", f"{field} has {len(values)} values for {len(names)} names"
        if not np.all(np.isfinite(values)):
            return "NON_FINITE", field
    for field in ("kp", "kd"):
        if not np.all(getattr(command, field) >= 0.0):
            return "OUT_OF_RANGE", f"{field} is negative"
    outside = (command.position < robot.lower[index] - TOLERANCE) | (command.position > robot.upper[index] + TOLERANCE)
    if outside.any():
        i = int(np.argmax(outside))
        return "LIMIT_POSITION", f"{names[i]} at {command.position[i]:.4g} rad"
    return "", ""


def indices(command: JointCommand, robot: RobotModel) -> Array:
    """Places of the named joints in the robot file, shape (k,), integers."""
    return np.array([robot.index(n) for n in command.joint_names], dtype=np.intp)
