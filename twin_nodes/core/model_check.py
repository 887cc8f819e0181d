"""Whether the MuJoCo model is the robot of the robot file: names, order, count and mass.

Joints are addressed by name everywhere, so a model file may list them in another order; the motors are made in the
order of the robot file. A model file's mass is compared with the one that the robot file states.
"""

from __future__ import annotations

import mujoco

from humanoid_core.robot import RobotError
from humanoid_core.robot_model import RobotModel

#: Relative difference of the mass that rounding explains: of a sum of links, and of a number that a person wrote down.
ROUNDING, WRITTEN = 1e-3, 1e-2


def check_model(robot: RobotModel, model: mujoco.MjModel) -> None:
    """Raises RobotError that says what differs."""
    free = mujoco.mjtJoint.mjJNT_FREE
    found = tuple(model.joint(i).name for i in range(model.njnt) if model.joint(i).type[0] != free)
    if len(found) != robot.n:
        raise RobotError(robot.file, "joints.table", robot.n, f"the model has {len(found)} joints; name the same ones")
    missing = sorted(set(robot.joint_names) - set(found))
    if missing:
        raise RobotError(robot.file, "joints.table", missing, "the model has no such joints")
    motors = tuple(model.actuator(i).name for i in range(model.nu))
    if motors != robot.joint_names:
        k = next((i for i, (a, b) in enumerate(zip(motors, robot.joint_names, strict=False)) if a != b), len(motors))
        raise RobotError(robot.file, "joints.table", robot.joint_names[min(k, robot.n - 1)],
                         f"the model drives '{motors[k] if k < len(motors) else 'nothing'}' at place {k}; same order")
    mass = float(model.body_mass.sum())
    if not mass > 0.0:
        raise RobotError(robot.file, "model.file", mass, "the model has no mass; give its links masses in kg")
    if robot.mass > 0.0 and not abs(mass - robot.mass) <= ROUNDING * robot.mass:
        raise RobotError(robot.file, "bodies.links", robot.mass, f"kg; the model has {mass:.4g} kg, make them equal")
    if robot.stated_mass is not None and not abs(mass - robot.stated_mass) <= WRITTEN * robot.stated_mass:
        raise RobotError(robot.file, "model.mass", robot.stated_mass,
                         f"kg; the model has {mass:.4g} kg: is it this robot?")
