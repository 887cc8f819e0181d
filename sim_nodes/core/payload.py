"""What the hands carry: a point mass at the place where a hand touches, put there while the simulation runs."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from humanoid_core.kinematics import GRAVITY
from humanoid_core.robot_model import Array, RobotModel


def add_hands(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    """A body without mass in each hand, fixed to it: ``payload_<side>``."""
    for side, hand in robot.hands.items():
        body = spec.body(hand.link).add_body(name=f"payload_{side}", pos=hand.point)
        body.ipos, body.mass, body.inertia = [0.0, 0.0, 0.0], 0.0, [0.0, 0.0, 0.0]
        body.explicitinertial = True


class Payload:
    """Changes the model's masses; the physics then has the load's weight and inertia."""

    def __init__(self, robot: RobotModel, model: mujoco.MjModel) -> None:
        self._model, self._scratch = model, mujoco.MjData(model)
        self._bodies = {side: model.body(f"payload_{side}").id for side in robot.hands}
        self._mass = dict.fromkeys(robot.hands, 0.0)
        self._jacobian, self._sum = np.zeros((3, model.nv)), np.zeros(model.nv)
        self.heavy = False

    def weigh(self, masses: Mapping[str, float]) -> None:
        """Put these masses in kg, by hand, from the next step on."""
        if masses == self._mass:
            return
        self._mass = dict(masses)
        for side, mass in masses.items():
            self._model.body_mass[self._bodies[side]] = mass
        self.heavy = any(mass > 0.0 for mass in masses.values())
        mujoco.mj_setConst(self._model, self._scratch)

    def torque(self, data: mujoco.MjData) -> Array:
        """Torque (nv,) that carries the loads' weight, N m: J^T m g upwards."""
        total = self._sum
        total[:] = 0.0
        for side, mass in self._mass.items():
            if mass > 0.0:
                mujoco.mj_jacBody(self._model, data, self._jacobian, None, self._bodies[side])
                total += mass * GRAVITY * self._jacobian[2]
        return total
