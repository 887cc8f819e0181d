"""Joints and base in one step: what the ring of recent moments keeps, and how one moment follows from another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_core.kinematics import Kinematics
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.types import RobotState
from twin_nodes.core.base import Attitude, BaseEstimate, BaseEstimator, BaseMemory
from twin_nodes.core.estimator import JointBelief, JointEstimator, JointInput
from twin_nodes.core.revision import Revision


@dataclass(frozen=True)
class Moment:
    """Never changed in place."""

    joints: JointBelief
    base: BaseMemory
    attitude: Attitude
    measured: JointInput


class Track:
    """A pure function of the moment before and the measurement."""

    def __init__(self, robot: RobotModel, estimator: JointEstimator, contact_share: float) -> None:
        self.robot, self.estimator = robot, estimator
        self.kinematics = Kinematics(robot)
        self.base = BaseEstimator(robot, self.kinematics, contact_share)
        self._legs = self._joints_of_feet()
        #: What the encoders are known to be off by, (n,) rad.
        self.offset = np.zeros(robot.n)
        self._all, self._none = np.ones(robot.n, dtype=bool), np.zeros(robot.n, dtype=bool)

    def follow(self, revision: Revision) -> None:
        """Believe this model from the next measurement on."""
        self.offset = revision.encoder_offset
        self.estimator.robot = revision.applied(self.robot)
        self.estimator.dynamics.carry(revision.payload)
        self.kinematics.carry(revision.payload)

    def step(self, before: Moment | None, state: RobotState) -> Moment:
        base = None if before is None else before.base
        attitude = self.base.attitude(state)
        contact = self.base.contacts(base, state, attitude)
        position = state.position - self.offset
        m = JointInput(state.stamp_ns, position, state.velocity, self._effort(state), attitude.gravity,
                       self._standing(contact[0], contact[1]), self._usable(state))
        joints = self.estimator.advance(None if before is None else before.joints, m)
        return Moment(joints, self.base.update(base, state, attitude, contact, joints.q, joints.v), attitude, m)

    def describe(self, moment: Moment, state: RobotState) -> BaseEstimate:
        return self.base.describe(moment.base, state, moment.attitude, moment.joints.q, moment.joints.v)

    def _effort(self, state: RobotState) -> Array:
        return state.effort if state.effort.shape == (self.robot.n,) else np.full(self.robot.n, np.nan)

    def _usable(self, state: RobotState) -> NDArray[np.bool_]:
        """A joint whose position is the twin's own estimate measures nothing."""
        if not state.estimated_joints:
            return self._all
        return np.array([name not in state.estimated_joints for name in self.robot.joint_names])

    def _standing(self, contacts: tuple[bool, ...], measured: bool) -> NDArray[np.bool_]:
        """Joints that hold a foot on the ground; without foot sensors every leg may."""
        held = self._none
        for leg, on in zip(self._legs, contacts, strict=True):
            held = held | leg if on or not measured else held
        return held

    def _joints_of_feet(self) -> list[NDArray[np.bool_]]:
        """Per foot, the joints between it and the base."""
        if self.robot.base_fixed:
            return []
        model, found = self.kinematics.model, []
        base = model.body(self.robot.base_link).id
        of_body = {int(model.joint(name).bodyid[0]): i for i, name in enumerate(self.robot.joint_names)}
        for foot in self.robot.feet:
            leg, body = np.zeros(self.robot.n, dtype=bool), int(model.body(foot.link).id)
            while body not in (0, base):
                if body in of_body:
                    leg[of_body[body]] = True
                body = int(model.body_parentid[body])
            found.append(leg)
        return found
