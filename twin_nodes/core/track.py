"""Joints and base in one step: what the ring of recent moments keeps, and how one moment follows from another."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    terms: Terms


@dataclass(frozen=True)
class Terms:
    """What holds for measurements stamped ``since_ns`` or later, until the next terms: the model, and the joints of
    which something may be learnt (n,). They go by the stamp, so a late sample meets those of its time, and what is
    worked out anew behind it gives the same bytes."""

    since_ns: int
    revision: Revision
    sound: NDArray[np.bool_]


class Track:
    """A pure function of the moment before, the measurement and the terms of its stamp."""

    def __init__(self, robot: RobotModel, estimator: JointEstimator, contact_share: float) -> None:
        self.robot, self.estimator = robot, estimator
        self.kinematics = Kinematics(robot)
        self.base = BaseEstimator(robot, self.kinematics, contact_share)
        self._legs = self._joints_of_feet()
        self._all, self._none = np.ones(robot.n, dtype=bool), np.zeros(robot.n, dtype=bool)
        #: Oldest first; and the stamp of the measurement taken last, which is the newest one kept.
        self._terms = [Terms(0, Revision.of(robot), self._all)]
        self._stamp_ns = 0
        self._used: Revision | None = None

    def follow(self, revision: Revision) -> None:
        """Believe this model from the next measurement on."""
        self._agree(replace(self._terms[-1], revision=revision))

    def spare(self, touched: NDArray[np.bool_]) -> None:
        """Learn nothing of these joints (n,) from the next measurement on."""
        if not np.array_equal(~touched, self._terms[-1].sound):
            self._agree(replace(self._terms[-1], sound=~touched))

    def step(self, before: Moment | None, state: RobotState) -> Moment:
        if before is None:  # stamps may begin anew: what holds now holds for them
            self._terms = [replace(self._terms[-1], since_ns=0)]
        self._stamp_ns = state.stamp_ns
        terms = next(t for t in reversed(self._terms) if t.since_ns <= max(state.stamp_ns, 0))
        self._use(terms.revision)
        state = _corrected(state, terms.revision)
        base = None if before is None else before.base
        attitude = self.base.attitude(state)
        contact = self.base.contacts(base, state, attitude)
        m = JointInput(state.stamp_ns, state.position, state.velocity, self._effort(state), attitude.gravity,
                       self._standing(contact[0], contact[1]), self._usable(state), terms.sound)
        joints = self.estimator.advance(None if before is None else _believed(before, terms.revision), m)
        return Moment(joints, self.base.update(base, state, attitude, contact, joints.q, joints.v), attitude, m, terms)

    def describe(self, moment: Moment, state: RobotState) -> BaseEstimate:
        return self.base.describe(moment.base, state, moment.attitude, moment.joints.q, moment.joints.v)

    def _agree(self, terms: Terms) -> None:
        """These hold from the next measurement on; those that no sample can meet any more are forgotten."""
        since_ns = self._stamp_ns + 1
        kept = [t for t in self._terms if t.since_ns < since_ns] or [replace(terms, since_ns=0)]
        oldest_ns = self._stamp_ns - self.estimator.drives.horizon_ns
        first = max((i for i, t in enumerate(kept) if t.since_ns <= oldest_ns), default=0)
        self._terms = [*kept[first:], replace(terms, since_ns=since_ns)]

    def _use(self, revision: Revision) -> None:
        self.estimator.dynamics.carry(revision.payload)
        if revision is not self._used:
            self._used = revision
            self.estimator.robot = revision.applied(self.robot)
            self.estimator.drives.believe(revision.encoder_offset, revision.torque_scale)
            self.kinematics.carry(revision.payload)

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


def _corrected(state: RobotState, revision: Revision) -> RobotState:
    """With the positions that the joints really have and the torques that they really get, as far as it is known."""
    offset, scale = revision.encoder_offset, revision.torque_scale
    if offset.any():
        state = replace(state, position=state.position - offset)
    if state.effort.shape == scale.shape and (scale != 1.0).any():
        state = replace(state, effort=state.effort * scale)
    return state


def _believed(before: Moment, revision: Revision) -> JointBelief:
    """The belief of the moment before, told by this revision: another offset moves no joint."""
    change = revision.encoder_offset - before.terms.revision.encoder_offset
    return replace(before.joints, q=before.joints.q - change) if change.any() else before.joints
