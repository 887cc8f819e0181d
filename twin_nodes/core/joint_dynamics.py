"""The joints' equation of motion with the base held where it is: M(q) a + b(q, v) = torque + disturbance.

b holds gravity, Coriolis and centrifugal terms (Featherstone 2008, ch. 5 and 6, as MuJoCo computes them). Gravity is
given in the base's frame, so that a leaning robot needs no second model; accelerations of the base itself are left to
the disturbance.

A known load of mass m in a hand is a point there: it adds m J^T J to M and m J^T (J' v - g) to b.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from humanoid_core.kinematics import GRAVITY, joint_addresses
from humanoid_core.physics import build_model
from humanoid_core.robot_model import Array, RobotModel

LEVEL: Array = np.array([0.0, 0.0, -GRAVITY])


@dataclass(frozen=True)
class Motion:
    """``mass`` (n, n) kg m^2, its ``inverse`` with the diagonal ``give`` (n,), ``bias`` (n,) N m; ``own``: the bias
    without known loads, which is what a drive that carries the robot's weight knows of."""

    mass: Array
    inverse: Array
    give: Array
    bias: Array
    own: Array


class JointDynamics:
    """Scratch space of its own; not for use from two threads at once."""

    def __init__(self, robot: RobotModel) -> None:
        self.model = build_model(replace(robot, base_fixed=True))
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
        self.data = mujoco.MjData(self.model)
        self._qpos, self._dof = joint_addresses(self.model, robot.joint_names)
        mujoco.mj_kinematics(self.model, self.data)
        #: A robot that is bolted down keeps the gravity of its own model.
        self._turn = None if robot.base_fixed else self.data.body(robot.base_link).xmat.reshape(3, 3).copy()
        # The inertia matrix comes as the rows of its lower triangle (MuJoCo, "M_rownnz, M_rowadr, M_colind").
        self._row = np.repeat(np.arange(self.model.nv), self.model.M_rownnz)
        self._column = np.array(self.model.M_colind)
        self._full, self._inverse = np.zeros((2, self.model.nv, self.model.nv))
        self._eye = np.eye(self.model.nv)
        self._pick = np.ix_(self._dof, self._dof)
        self._in_order = bool(np.array_equal(self._dof, np.arange(self.model.nv)))
        self._hands = {side: (self.model.body(hand.link).id, hand.point) for side, hand in robot.hands.items()}
        self._loads: dict[str, float] = {}
        self._jacobian, self._turning = np.zeros((2, 3, self.model.nv))

    def carry(self, loads: Mapping[str, float]) -> None:
        """The hands hold these masses from now on, kg by hand."""
        self._loads = {side: mass for side, mass in loads.items() if mass > 0.0}

    def jacobian(self, side: str) -> Array:
        """(3, n) of the point of a hand, along the axes of the model's world, at the last posture."""
        mujoco.mj_jac(self.model, self.data, self._jacobian, None, *self._hand(side))
        found: Array = self._jacobian.copy() if self._in_order else self._jacobian[:, self._dof]
        return found

    def _hand(self, side: str) -> tuple[Array, int]:
        """Where the point of a hand is at the last posture, and its body."""
        d, (body, point) = self.data, self._hands[side]
        return d.xpos[body] + d.xmat[body].reshape(3, 3) @ point, body

    def at(self, q: Array, v: Array, gravity: Array = LEVEL) -> Motion:
        """q, v (n,); ``gravity`` (3,) m/s^2 in the base's frame."""
        m, d = self.model, self.data
        d.qpos[self._qpos], d.qvel[self._dof] = q, v
        if self._turn is not None:
            m.opt.gravity[:] = self._turn @ gravity
        mujoco.mj_kinematics(m, d)
        mujoco.mj_comPos(m, d)
        mujoco.mj_makeM(m, d)
        mujoco.mj_comVel(m, d)
        mujoco.mj_rne(m, d, 0, d.qfrc_bias)
        self._full[self._row, self._column] = self._full[self._column, self._row] = d.M
        # By the factors of the tree: a fraction of the time of a dense inverse.
        mujoco.mj_factorM(m, d)
        mujoco.mj_solveM(m, d, self._inverse, self._eye)
        mass, inverse = (full.copy() if self._in_order else full[self._pick] for full in (self._full, self._inverse))
        bias = d.qfrc_bias.copy() if self._in_order else d.qfrc_bias[self._dof]
        motion = Motion(mass, inverse, inverse.diagonal(), bias, bias)
        return self._loaded(motion, v) if self._loads else motion

    def _loaded(self, motion: Motion, v: Array) -> Motion:
        """With what the hands hold."""
        mass, bias = motion.mass.copy(), motion.own.copy()
        for side, load in self._loads.items():
            jacobian = self.jacobian(side)
            mujoco.mj_jacDot(self.model, self.data, self._turning, None, *self._hand(side))
            mass += load * jacobian.T @ jacobian
            bias += load * jacobian.T @ (self._turning[:, self._dof] @ v - self.model.opt.gravity)
        inverse: Array = np.linalg.inv(mass).astype(np.float64, copy=False)
        return Motion(mass, inverse, inverse.diagonal(), bias, motion.own)
