"""Which single cause explains the external torques of an arm: a load in the hand, a touch, or one weak motor.

Weighted least squares for each cause; the load is a force along gravity at the hand, the touch any force there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from twin_nodes.core.joint_dynamics import JointDynamics

#: Shares of the (squared, weighted) torques that one weak motor, and one load, leave over when they explain them.
LEFT_OVER, LEFT_BY_LOAD = 0.15, 0.3


@dataclass(frozen=True)
class Cause:
    """``kind``: PAYLOAD (value kg), CONTACT (value N) or ACTUATOR (value: share of the torque, ``joint``)."""

    kind: str
    value: float
    error: float
    joint: int = -1


class Arms:
    """The hands of a robot, the joints that carry them, and what a force there does to these."""

    def __init__(self, robot: RobotModel, dynamics: JointDynamics) -> None:
        self.robot, self._dynamics = robot, dynamics
        model = dynamics.model
        self.joints: dict[str, NDArray[np.intp]] = {}
        self._dof = np.array([model.joint(name).dofadr[0] for name in robot.joint_names])
        legs_and_waist = set(robot.groups.get("legs", ())) | set(robot.groups.get("waist", ()))
        for side, hand in robot.hands.items():
            body = model.body(hand.link).id
            moved = []
            while body:
                moved += [int(model.body_dofadr[body] + k) for k in range(model.body_dofnum[body])]
                body = int(model.body_parentid[body])
            index = [i for i, dof in enumerate(self._dof) if int(dof) in moved and i not in legs_and_waist]
            self.joints[side] = np.array(index, dtype=np.intp)

    def jacobian(self, side: str) -> Array:
        """(3, n) of the hand's point, along the axes of the model's world, at the dynamics' last posture."""
        return self._dynamics.jacobian(side)

    @property
    def gravity(self) -> Array:
        """(3,) m/s^2 along the axes of the model's world."""
        gravity: Array = self._dynamics.model.opt.gravity
        return gravity

    def weight(self, side: str) -> Array:
        """Torque (n,) of one kilogram in the hand, N m."""
        pull: Array = self.gravity @ self.jacobian(side)
        return pull


class Evidence:
    """Normal equations of every cause for one arm, added up block by block while its posture changes.

    Blocks forget each other with ``KEEP``, so that the size of a cause is followed.
    """

    KEEP = 0.97

    def __init__(self, arms: Arms, side: str) -> None:
        self._arms, self._side = arms, side
        self._index = arms.joints[side]
        self._total = self._weights = 0.0
        self._force, self._pull = np.zeros((3, 3)), np.zeros(3)
        self._load = np.zeros(2)
        n = len(self._index)
        self._motor, self._own, self._torque = np.zeros((2, n)), np.zeros(n), np.zeros(n)

    def add(self, external: Array, noise: Array, torque: Array) -> None:
        """(n,): mean external torque of one block, its standard deviation, measured torque."""
        index, keep = self._index, self.KEEP
        r, w = external[index], 1.0 / noise[index] ** 2
        jacobian = self._arms.jacobian(self._side)[:, index]
        pull, given = self._arms.gravity @ jacobian, torque[index]
        self._total = keep * self._total + float(r @ (w * r))
        self._weights = keep * self._weights + 1.0
        self._force = keep * self._force + (jacobian * w) @ jacobian.T
        self._pull = keep * self._pull + jacobian @ (w * r)
        self._load = keep * self._load + np.array((pull @ (w * r), pull @ (w * pull)))
        self._motor = keep * self._motor + np.array((w * r * given, w * given * given))
        self._own = keep * self._own + w * r * r
        self._torque = keep * self._torque + np.abs(given)

    def cause(self) -> Cause:
        """The most plausible one so far."""
        force = np.linalg.solve(self._force + 1e-9 * np.eye(3), self._pull)
        left = self._total - float(self._pull @ force)
        motor = self._weak_motor()
        if motor is not None and motor[1] < LEFT_OVER * self._total and motor[1] < left:
            return motor[0]
        mass = float(self._load[0] / self._load[1])
        if mass > 0.0 and self._total - mass * float(self._load[0]) < LEFT_BY_LOAD * self._total:
            return Cause("PAYLOAD", mass, float(np.sqrt(self._weights / self._load[1])))
        return Cause("CONTACT", float(np.linalg.norm(force)), 0.0)

    def _weak_motor(self) -> tuple[Cause, float] | None:
        """One motor that gives a share of what it reports leaves -(1 - share) of it in its own joint and nothing
        elsewhere."""
        k = int(np.argmax(self._own))
        product, square = self._motor[:, k]
        if self._torque[k] < 0.2 * self._weights:
            return None
        share = 1.0 + float(product / square)
        left = self._total - float(product * product / square)
        if not 0.0 <= share < 0.95:
            return None
        return Cause("ACTUATOR", share, float(np.sqrt(self._weights / square)), int(self._index[k])), left
