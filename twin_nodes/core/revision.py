"""What the twin believes of the robot beside its file: a numbered set of corrections, never changed, only followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from twin_nodes.core.observer import Friction


@dataclass(frozen=True)
class Revision:
    """``number`` 0 is the robot file as it is. ``encoder_offset`` (n,) rad: reported minus true position;
    ``torque_scale`` (n,): true over reported torque, of what a drive reports and of what it gives when it is asked for;
    ``payload``: kg by hand; ``why``: what it was made of."""

    number: int
    encoder_offset: Array
    friction: Friction
    torque_scale: Array
    payload: Mapping[str, float] = field(default_factory=dict)
    why: str = "the robot file"

    @classmethod
    def of(cls, robot: RobotModel) -> Revision:
        return cls(0, np.zeros(robot.n), Friction(robot.damping, robot.frictionloss), np.ones(robot.n),
                   dict.fromkeys(robot.hands, 0.0))

    def applied(self, robot: RobotModel) -> RobotModel:
        """The robot of the file with this friction and these drives."""
        return replace(robot, damping=self.friction.viscous, frictionloss=self.friction.coulomb,
                       kp=robot.kp * self.torque_scale, kd=robot.kd * self.torque_scale)
