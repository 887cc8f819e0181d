"""Where the floating base is: attitude from the IMU, position and velocity from the feet that stand.

A standing foot does not move: with the base's attitude known, the joints tell where the base is relative to it
(leg odometry). Height follows from the lowest contact points lying on flat ground, z = 0. World: origin on the
ground under the base at the first state, heading as the IMU gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from humanoid_core.kinematics import GRAVITY, Kinematics, capture_point, support_margin, support_polygon
from humanoid_core.physics import rpy_matrix
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import RobotState
from twin_nodes.core.contact import FootContact
from twin_nodes.core.turning import matrix

#: Share by which an anchor follows where its foot seems to be, per update: two feet that slip must not fight.
FOLLOW = 0.01
#: Contact points within this height of the lowest one stand on the ground when no foot's force is known, m.
LEVEL = 0.01


@dataclass(frozen=True)
class BaseEstimate:
    """World frame, m, m/s, rad/s. ``contacts``: which feet stand; ``anomalies``: reason codes."""

    position: Array
    orientation: Array
    linear: Array
    angular: Array
    com: Array
    capture_point: Array
    support_margin: float
    contacts: tuple[bool, ...]
    anomalies: tuple[str, ...]


class BaseEstimator:
    """Uses ``kinematics`` as scratch space; deterministic in the states given."""

    def __init__(self, robot: RobotModel, kinematics: Kinematics, contact_share: float) -> None:
        self.robot, self.kinematics = robot, kinematics
        model = kinematics.model
        mass = float(model.body_subtreemass[model.body(robot.base_link).id])
        self._contact = FootContact(len(robot.feet), mass, contact_share)
        self._foot_ids = [model.body(f.link).id for f in robot.feet]
        self._soles = [f.points.mean(axis=0) for f in robot.feet]
        self._imus = {i.topic: (i.link, rpy_matrix(i.rpy)) for i in robot.imus}
        self.clear()

    def clear(self) -> None:
        """Begin anew at the origin of the world."""
        self._anchors: list[Array | None] = [None] * len(self._foot_ids)
        self._position = np.zeros(3)
        self._linear = np.zeros(3)
        self._stamp_ns = 0
        self._contact.on = [False] * len(self._foot_ids)

    def update(self, state: RobotState) -> BaseEstimate:
        """``state`` must be finite in joints; an unknown attitude counts as upright."""
        k, anomalies = self.kinematics, []
        rotation, rate = self._attitude(state)
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, rotation.ravel())
        k.update(state.position, base_quat=quat, dq=state.velocity, base_angular=rate)
        com_velocity = k.com_velocity()
        if not k.free:
            com = k.com()
            return BaseEstimate(k.position(self.robot.base_link), quat, np.zeros(3), np.zeros(3), com,
                                np.append(com[:2], 0.0), 0.0, (), ())
        points = k.foot_points()
        contacts, measured = self._contact.update(state.foot_force)
        if not any(contacts):
            if measured:
                anomalies.append("NO_CONTACT")
            contacts_used = _lowest(points) if not measured else (True,) * len(points)
        else:
            contacts_used = contacts
        standing = [i for i, on in enumerate(contacts_used) if on]
        dt = (state.stamp_ns - self._stamp_ns) / NS if self._stamp_ns else 0.0
        if standing and "NO_CONTACT" not in anomalies:
            self._stand(standing, state, points)
        else:
            self._fly(state, rotation, dt)
        self._stamp_ns = state.stamp_ns
        com = k.com() + self._position
        velocity = com_velocity + self._linear
        ground = np.vstack([points[i] for i in standing])[:, :2] + self._position[:2] if standing else np.zeros((0, 2))
        xi = capture_point(com, velocity)
        margin = support_margin(support_polygon(ground), xi) if standing else 0.0
        return BaseEstimate(self._position.copy(), quat, self._linear.copy(), rotation @ rate, com, np.append(xi, 0.0),
                            margin, contacts, tuple(anomalies))

    def _attitude(self, state: RobotState) -> tuple[Array, Array]:
        """Rotation of the base in the world and its angular velocity in its own frame, from whichever IMU speaks.

        R_base = R_imu R_(base to imu)^T; w_base = R_(base to imu) w_imu - J dq of the joints between.
        """
        spec = self._imus.get(state.imu_source)
        if spec is None or not bool(np.isfinite(state.orientation).all()):
            return np.eye(3), np.zeros(3)
        link, mount = spec
        if link == self.robot.base_link:
            return matrix(state.orientation) @ mount.T, mount @ state.angular_velocity
        k = self.kinematics
        k.update(state.position, dq=state.velocity)
        between = k.rotation(link) @ mount
        rate = between @ state.angular_velocity - k.rotation_jacobian(link) @ state.velocity
        return matrix(state.orientation) @ between.T, rate

    def _stand(self, standing: list[int], state: RobotState, points: list[Array]) -> None:
        """Position and velocity from the standing feet, weighted by their load; ``points`` with the base at 0."""
        k = self.kinematics
        soles, speeds, weights = [], [], []
        twist = np.zeros(6)
        for i in standing:
            body = self._foot_ids[i]
            arm = k.data.xmat[body].reshape(3, 3) @ self._soles[i]
            mujoco.mj_objectVelocity(k.model, k.data, mujoco.mjtObj.mjOBJ_BODY, body, twist, 0)
            soles.append(k.data.xpos[body] + arm)
            speeds.append(twist[3:] + np.cross(twist[:3], arm))
            load = float(state.foot_force[i][2]) if i < len(state.foot_force) else 1.0
            weights.append(load if np.isfinite(load) and load > 0.0 else 1.0)
        share = np.array(weights) / sum(weights)
        self._linear = -share @ np.array(speeds)
        anchored = [(s, a, w) for i, s, w in zip(standing, soles, weights, strict=True)
                    if (a := self._anchors[i]) is not None]
        if anchored:
            total = sum(w for _, _, w in anchored)
            self._position = sum(((a - s) * (w / total) for s, a, w in anchored), np.zeros(3))
        lowest = min(float(points[i][:, 2].min()) for i in standing)
        self._position[2] = self.robot.foot_radius - lowest
        for i in range(len(self._anchors)):
            if i not in standing:
                self._anchors[i] = None
        for i, sole in zip(standing, soles, strict=True):
            anchor, here = self._anchors[i], self._position + sole
            self._anchors[i] = here if anchor is None else anchor + FOLLOW * (here - anchor)

    def _fly(self, state: RobotState, rotation: Array, dt: float) -> None:
        """No foot stands: the last velocity goes on under what the accelerometer feels (gravity included)."""
        self._anchors = [None] * len(self._anchors)
        spec = self._imus.get(state.imu_source)
        if spec is not None and spec[0] == self.robot.base_link and 0.0 < dt < 0.1:
            feels = rotation @ spec[1] @ state.linear_acceleration
            self._linear = self._linear + dt * (feels - np.array([0.0, 0.0, GRAVITY]))
        self._position = self._position + min(max(dt, 0.0), 0.1) * self._linear


def _lowest(points: list[Array]) -> tuple[bool, ...]:
    """Without force sensors, the lowest feet are taken to stand."""
    heights = [float(p[:, 2].min()) for p in points]
    return tuple(h <= min(heights) + LEVEL for h in heights) if heights else ()
