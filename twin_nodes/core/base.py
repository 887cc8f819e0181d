"""Where the floating base is: attitude from the IMU, position and velocity from the IMU and the feet that stand.

A standing foot does not move: with the base's attitude known, the joints tell where the base is relative to it and how
fast it goes (leg odometry). The accelerometer tells how that changes. One Kalman filter for the three components of
the velocity puts the two together, as contact-aided filters do (Bloesch et al. 2012; Hartley et al. 2020), with the
attitude taken from the IMU's own filter. Height follows from the lowest contact points lying on flat ground, z = 0.
World: origin on the ground under the base at the first state, heading as the IMU gives it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from humanoid_core.kinematics import GRAVITY, Kinematics, capture_point, support_margin, support_polygon
from humanoid_core.physics import quat_matrix, rpy_matrix
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import RobotState
from twin_nodes.core.contact import FootContact

#: Share by which an anchor follows where its foot seems to be, per update: two feet that slip must not fight.
FOLLOW = 0.01
#: Contact points within this height of the lowest one stand on the ground when no foot's force is known, m.
LEVEL = 0.01
#: A foot that rocks turns about its lowest points: points this much higher count e times less, m.
ROCK = 0.002
#: Velocity of the base: random walk that the accelerometer leaves, m/s per root second; what it is without one;
#: standard deviation of the velocity by one standing foot (joint velocities through a leg, and a foot that gives), m/s.
FELT, UNFELT, FOOT = 0.15, 5.0, 0.03
#: Squared Mahalanobis distance beyond which a foot is taken to slip, and for how long at most, s.
SLIP, SLIP_TIME = 16.0, 0.1
#: Feet that carry less than this share of what holds the body are not felt as they stand.
CARRIED = 0.7
UP: Array = np.array([0.0, 0.0, GRAVITY])

#: Which feet stand, and whether any of them was measured.
Contact = tuple[tuple[bool, ...], bool]


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


@dataclass(frozen=True)
class Attitude:
    """``rotation`` (3, 3) of the base in the world, ``rate`` (3,) in its own frame; upright when nobody knows."""

    rotation: Array
    rate: Array

    @property
    def gravity(self) -> Array:
        """In the base's frame, m/s^2."""
        down: Array = -GRAVITY * self.rotation[2]
        return down


@dataclass(frozen=True)
class BaseMemory:
    """What the next update needs; never changed in place. ``var``: of each component of ``linear``."""

    stamp_ns: int
    position: Array
    linear: Array
    var: float
    anchors: tuple[Array | None, ...]
    contacts: tuple[bool, ...]
    slips_ns: tuple[int, ...]


class BaseEstimator:
    """Uses ``kinematics`` as scratch space; what it knows is in the memory that it is given and gives back."""

    def __init__(self, robot: RobotModel, kinematics: Kinematics, contact_share: float) -> None:
        self.robot, self.kinematics = robot, kinematics
        self._placed: tuple[Attitude, Array, Array] | None = None
        self._points: list[Array] = []
        model = kinematics.model
        mass = float(model.body_subtreemass[model.body(robot.base_link).id])
        feet = len(robot.feet)
        self._contact = FootContact(feet, mass, contact_share)
        self._foot_ids = [model.body(f.link).id for f in robot.feet]
        self._soles = [f.points.mean(axis=0) for f in robot.feet]
        self._imus = {i.topic: (i.link, rpy_matrix(i.rpy), i.xyz) for i in robot.imus}
        self._mass, self._weight = mass, max(mass, 1.0) * GRAVITY
        self._first = BaseMemory(0, np.zeros(3), np.zeros(3), 1e6, (None,) * feet, (False,) * feet, (0,) * feet)

    def contacts(self, memory: BaseMemory | None, state: RobotState, attitude: Attitude) -> Contact:
        """(which feet stand, whether any foot was measured). No foot leaves the ground before others carry its load."""
        before = (memory or self._first).contacts
        self._contact.on = list(before)
        on, measured = self._contact.update(state.foot_force)
        if any(on) and not all(on) and self._unfelt(state, attitude):
            on = tuple(now or was for now, was in zip(on, before, strict=True))
        return on, measured

    def attitude(self, state: RobotState) -> Attitude:
        """From whichever IMU speaks.

        R_base = R_imu R_(base to imu)^T; w_base = R_(base to imu) w_imu - J dq of the joints between.
        """
        spec = self._imus.get(state.imu_source)
        if spec is None or not bool(np.isfinite(state.orientation).all()):
            return Attitude(np.eye(3), np.zeros(3))
        link, mount, _ = spec
        if link == self.robot.base_link:
            return Attitude(quat_matrix(state.orientation) @ mount.T, mount @ state.angular_velocity)
        k, self._placed = self.kinematics, None
        k.update(state.position, dq=state.velocity)
        between = k.rotation(link) @ mount
        rate = between @ state.angular_velocity - k.rotation_jacobian(link) @ state.velocity
        return Attitude(quat_matrix(state.orientation) @ between.T, rate)

    def update(self, memory: BaseMemory | None, state: RobotState, attitude: Attitude, contact: Contact, q: Array,
               v: Array) -> BaseMemory:
        """``q``, ``v`` (n,): joints as estimated; finite. ``contact``: from ``contacts`` with the same memory."""
        k, before = self.kinematics, memory or self._first
        if not k.free:
            return BaseMemory(state.stamp_ns, before.position, before.linear, 0.0, (), (), ())
        contacts, measured = contact
        self._place(attitude, q, v)
        dt = (state.stamp_ns - before.stamp_ns) / NS if before.stamp_ns else 0.0
        points = self._points
        standing = self._standing(contacts, measured, points)
        linear, var = self._felt(before, state, attitude, dt)
        slips = before.slips_ns
        if standing:
            linear, var, slips = self._stood(before, standing, state, points, linear, var)
        position = before.position + min(max(dt, 0.0), 0.1) * linear
        position, anchors = self._anchored(before, standing, state, points, position)
        return BaseMemory(state.stamp_ns, position, linear, var, anchors, contacts, slips)

    def describe(self, memory: BaseMemory, state: RobotState, attitude: Attitude, q: Array, v: Array) -> BaseEstimate:
        """Everything that follows from a memory and the joints it was made with."""
        k = self.kinematics
        self._place(attitude, q, v)
        quat = k.data.qpos[3:7].copy() if k.free else _quat(attitude.rotation)
        com_velocity = k.com_velocity()
        if not k.free:
            com = k.com()
            return BaseEstimate(k.position(self.robot.base_link), quat, np.zeros(3), np.zeros(3), com,
                                np.append(com[:2], 0.0), 0.0, (), ())
        measured = any(_normal(state, i) is not None for i in range(len(self._foot_ids)))
        points = self._points
        anomalies = ("NO_CONTACT",) if measured and not any(memory.contacts) else ()
        if measured and any(memory.contacts) and self._unfelt(state, attitude):
            anomalies = ("FOOT_FORCE",)
        feet = self._standing(memory.contacts, measured, points) or list(range(len(points)))
        com = k.com() + memory.position
        velocity = com_velocity + memory.linear
        ground = np.vstack([points[i] for i in feet])[:, :2] + memory.position[:2] if feet else np.zeros((0, 2))
        xi = capture_point(com, velocity)
        margin = support_margin(support_polygon(ground), xi) if feet else 0.0
        return BaseEstimate(memory.position, quat, memory.linear, attitude.rotation @ attitude.rate, com,
                            np.append(xi, 0.0), margin, memory.contacts, anomalies)

    # --- what stands behind

    def _place(self, attitude: Attitude, q: Array, v: Array) -> None:
        """The base at the origin and not moving, as it is turned and turns; ``_points`` of its feet."""
        if self._placed is None or any(a is not b for a, b in zip(self._placed, (attitude, q, v), strict=True)):
            self.kinematics.update(q, base_quat=_quat(attitude.rotation), dq=v, base_angular=attitude.rate)
            self._placed, self._points = (attitude, q, v), self.kinematics.foot_points()

    def _standing(self, contacts: tuple[bool, ...], measured: bool, points: list[Array]) -> list[int]:
        """Feet on the ground; without force sensors, the lowest ones are taken to be."""
        used = contacts if measured else _lowest(points)
        return [i for i, on in enumerate(used) if on]

    def _unfelt(self, state: RobotState, attitude: Attitude) -> bool:
        """Whether the feet say that they carry less than `CARRIED` of what holds the body: its mass times the vertical
        part of what the base's accelerometer feels (nearly nothing in a fall)."""
        spec = self._imus.get(state.imu_source)
        if spec is None or spec[0] != self.robot.base_link:
            return False
        held = self._mass * float((attitude.rotation @ (spec[1] @ state.linear_acceleration))[2])
        carried = sum(_normal(state, i) or 0.0 for i in range(len(self._foot_ids)))
        return bool(carried < CARRIED * held)

    def _felt(self, before: BaseMemory, state: RobotState, attitude: Attitude, dt: float) -> tuple[Array, float]:
        """Velocity and its variance by what the accelerometer feels (gravity included), at the base's origin."""
        spec = self._imus.get(state.imu_source)
        if spec is None or spec[0] != self.robot.base_link or not 0.0 < dt < 0.1 \
                or not bool(np.isfinite(state.linear_acceleration).all()):
            return before.linear, before.var + UNFELT**2 * max(dt, 0.0)
        w = attitude.rate
        turning = _cross(w, _cross(w, spec[2]))
        feels = attitude.rotation @ (spec[1] @ state.linear_acceleration - turning) - UP
        return before.linear + dt * feels, before.var + FELT**2 * dt

    def _stood(self, before: BaseMemory, standing: list[int], state: RobotState, points: list[Array], linear: Array,
               var: float) -> tuple[Array, float, tuple[int, ...]]:
        """Correct with each standing foot in turn: it does not move where it touches the ground."""
        slips = list(before.slips_ns)
        mujoco.mj_comVel(self.kinematics.model, self.kinematics.data)
        for i in standing:
            normal = _normal(state, i)
            share = 1.0 if normal is None else min(max(2.0 * normal / self._weight, 0.05), 1.0)
            noise = FOOT**2 / share
            error = -self._foot_velocity(i, points[i]) - linear
            far = float(error @ error) / 3.0 > SLIP * (var + noise)
            if far and (not slips[i] or state.stamp_ns - slips[i] < SLIP_TIME * NS):
                slips[i] = slips[i] or state.stamp_ns
                continue
            if far:  # it is the accelerometer that was wrong
                var = max(var, float(error @ error))
            slips[i] = 0
            gain = var / (var + noise)
            linear, var = linear + gain * error, (1.0 - gain) ** 2 * var + gain * gain * noise
        return linear, var, tuple(slips)

    def _foot_velocity(self, i: int, points: Array) -> Array:
        """Of the place where foot ``i`` touches the ground, with the base's origin held still."""
        k, body, twist = self.kinematics, self._foot_ids[i], np.zeros(6)
        weight = np.exp(-(points[:, 2] - points[:, 2].min()) / ROCK)
        pivot = weight @ points / weight.sum()
        mujoco.mj_objectVelocity(k.model, k.data, mujoco.mjtObj.mjOBJ_BODY, body, twist, 0)
        velocity: Array = twist[3:] + _cross(twist[:3], pivot - k.data.xpos[body])
        return velocity

    def _anchored(self, before: BaseMemory, standing: list[int], state: RobotState, points: list[Array],
                  position: Array) -> tuple[Array, tuple[Array | None, ...]]:
        """Position from where the standing feet were put down, weighted by their load."""
        anchors: list[Array | None] = [None] * len(self._foot_ids)
        if not standing:
            return position, tuple(anchors)
        k = self.kinematics
        soles = {i: k.data.xpos[b] + k.data.xmat[b].reshape(3, 3) @ self._soles[i]
                 for i, b in enumerate(self._foot_ids) if i in standing}
        total, pulled = 0.0, np.zeros(3)
        for i in standing:
            anchor, load = before.anchors[i], _normal(state, i)
            if anchor is not None:
                weight = load if load is not None and load > 0.0 else 1.0
                total, pulled = total + weight, pulled + weight * (anchor - soles[i])
        position = pulled / total if total > 0.0 else position.copy()
        position[2] = self.robot.foot_radius - min(float(points[i][:, 2].min()) for i in standing)
        for i in standing:
            anchor, here = before.anchors[i], position + soles[i]
            anchors[i] = here if anchor is None else anchor + FOLLOW * (here - anchor)
        return position, tuple(anchors)


def _cross(a: Array, b: Array) -> Array:
    """numpy's own takes ten times as long for one pair."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return np.array((y * w - z * v, z * u - x * w, x * v - y * u))


def _quat(rotation: Array) -> Array:
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, rotation.ravel())
    return quat


def _normal(state: RobotState, foot: int) -> float | None:
    """Vertical force on a foot, N; None when nobody measures it."""
    force = float(state.foot_force[foot][2]) if foot < len(state.foot_force) else math.nan
    return force if math.isfinite(force) else None


def _lowest(points: list[Array]) -> tuple[bool, ...]:
    """Without force sensors, the lowest feet are taken to stand."""
    heights = [float(p[:, 2].min()) for p in points]
    return tuple(h <= min(heights) + LEVEL for h in heights) if heights else ()
