"""Where the body's parts are, from joint positions alone: soles, camera, hands.

Two frames. *Base*: the robot's base link; arms and camera are computed there. *Stance*: midway between the
soles, x ahead, z normal to the ground. Both soles stay where they are while the body above sways, so what
the camera saw a second ago is remembered in the stance frame. A robot without feet has its base as stance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import rpy_matrix
from humanoid_core.robot_model import Array, RobotModel

#: Columns: the optical axes (x right, y down, z ahead) in a camera frame with x ahead, y left, z up.
_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Frame:
    """A pose: ``rotation`` (3, 3) and ``origin`` (3,) m, mapping points of the frame to its parent."""

    rotation: Array
    origin: Array

    def out(self, points: Array) -> Array:
        """Points (..., 3) of this frame in the parent."""
        return points @ self.rotation.T + self.origin

    def into(self, points: Array) -> Array:
        """Points (..., 3) of the parent in this frame."""
        return (points - self.origin) @ self.rotation

    def after(self, inner: Frame) -> Frame:
        """The pose in this frame's parent of a frame given in this frame."""
        return Frame(self.rotation @ inner.rotation, self.out(inner.origin))

    def inverse(self) -> Frame:
        return Frame(self.rotation.T, -self.origin @ self.rotation)


class Body:
    """Frames of one robot for given joint positions (n,) in robot order. Not for use from two threads."""

    def __init__(self, robot: RobotModel) -> None:
        self.robot = robot
        self.kinematics = Kinematics(robot)

    def stance(self, q: Array) -> Frame:
        """The stance frame in the base frame: mean of the soles' contact points and of their axes."""
        k = self.kinematics
        k.update(q)
        if not self.robot.feet:
            return Frame(np.eye(3), np.zeros(3))
        turns = [k.rotation(foot.link) for foot in self.robot.feet]
        up = _unit(np.sum([r[:, 2] for r in turns], axis=0))
        ahead = np.sum([r[:, 0] for r in turns], axis=0)
        ahead = _unit(ahead - up * float(up @ ahead))
        soles = np.mean([points.mean(axis=0) for points in k.foot_points()], axis=0)
        return Frame(
            np.column_stack([ahead, np.cross(up, ahead), up]), soles - up * self.robot.foot_radius
        )

    def camera(self, q: Array) -> Frame:
        """The camera's optical frame (x right, y down, z ahead) in the base frame."""
        camera = self.robot.camera
        if camera is None:
            raise ValueError(f"robot '{self.robot.name}' has no camera")
        k = self.kinematics
        k.update(q)
        turn = k.rotation(camera.link) @ rpy_matrix(camera.rpy) @ _OPTICAL
        return Frame(turn, k.position(camera.link, camera.xyz))

    def camera_in_stance(self, q: Array) -> Frame:
        """The optical frame in the stance frame."""
        return self.stance(q).inverse().after(self.camera(q))

    def hand(self, q: Array, side: str) -> tuple[Array, Array]:
        """(point (3,), pointing direction (3,)) of a hand in the base frame."""
        self.kinematics.update(q)
        return self.kinematics.hand(side)


def _unit(v: Array) -> Array:
    return v / np.linalg.norm(v)
