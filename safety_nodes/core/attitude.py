"""The base's lean from whichever IMU is in use."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.types import RobotState

_UP: Array = np.array([0.0, 0.0, 1.0])


def rotation(rpy: Array) -> Array:
    """Rz(yaw) Ry(pitch) Rx(roll)."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    return np.array([[cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
                     [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
                     [-sp, cp * sr, cp * cr]])


def about(axis: Array, angle: float) -> Array:
    """Rotation about a unit axis (Rodrigues): c I + s [a]x + (1 - c) a a^T."""
    c, s = math.cos(angle), math.sin(angle)
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return c * np.eye(3) + s * cross + (1.0 - c) * np.outer(axis, axis)


class Attitude:
    """For each IMU, the way from the base link to it: fixed rotations and joints."""

    def __init__(self, robot: RobotModel) -> None:
        bodies = {b.link: b for b in robot.bodies}
        self._chains: dict[str, list[tuple[Array, int, Array]]] = {}
        self._mounts: dict[str, Array] = {}
        for imu in robot.imus:
            chain: list[tuple[Array, int, Array]] = []
            link = imu.link
            while link in bodies and link != robot.base_link:
                body = bodies[link]
                index = robot.index(body.joint) if body.joint else -1
                axis = robot.axes[index] if body.joint else None
                chain.insert(0, (rotation(np.array(body.rpy)), index, np.array(axis or (0.0, 0.0, 1.0))))
                link = body.parent or robot.base_link
            self._chains[imu.topic], self._mounts[imu.topic] = chain, rotation(imu.rpy)

    def up_in_imu(self, topic: str, q: Array) -> Array:
        """The base's z axis in the frame of the IMU on `topic`, (3,)."""
        up = _UP
        for fixed, index, axis in self._chains.get(topic, ()):
            up = fixed.T @ up
            if index >= 0:
                up = about(axis, -float(q[index])) @ up
        mount = self._mounts.get(topic)
        return up if mount is None else mount.T @ up

    def tilt(self, state: RobotState) -> float:
        """Angle between the base's z axis and the vertical, rad; NaN when the orientation, or a joint on the
        way to the IMU, is not finite."""
        w, x, y, z = (float(v) for v in state.orientation)
        if not math.isfinite(w + x + y + z):
            return math.nan
        vertical = np.array([2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)])
        cosine = float(vertical @ self.up_in_imu(state.imu_source, state.position))
        return math.acos(min(max(cosine, -1.0), 1.0))


@lru_cache(maxsize=4)
def attitude(robot: RobotModel) -> Attitude:
    """Built once per robot."""
    return Attitude(robot)
