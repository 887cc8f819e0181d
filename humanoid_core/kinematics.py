"""Kinematics of a robot: addresses by name, forward kinematics, Jacobians, centre of mass, capture point,
support.

Positions in m, angles in rad, Jacobians and velocities along the axes of the frame the base pose is given in:
leave the base at its default and everything is in the base frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import mujoco
import numpy as np
import numpy.typing as npt

from humanoid_core.physics import build_model
from humanoid_core.robot_model import Array, RobotModel

GRAVITY = 9.81
Indices = npt.NDArray[np.intp]


def joint_addresses(model: mujoco.MjModel, names: tuple[str, ...] | list[str]) -> tuple[Indices, Indices]:
    """Return (qpos addresses, dof addresses) of single-axis joints by name."""
    ids = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, name) for name in names]
    for name, i in zip(names, ids, strict=True):
        if i < 0:
            raise KeyError(f"the model has no joint '{name}'")
    return model.jnt_qposadr[ids].astype(np.intp), model.jnt_dofadr[ids].astype(np.intp)


class Kinematics:
    """Forward kinematics with its own scratch data; not for use from two threads at once.

    Call ``update`` with a joint vector in robot order, then ask.
    """

    def __init__(self, robot: RobotModel, model: mujoco.MjModel | None = None) -> None:
        self.robot = robot
        self.model = build_model(robot) if model is None else model
        self.data = mujoco.MjData(self.model)
        self.qpos_adr, self.dof_adr = joint_addresses(self.model, robot.joint_names)
        self.free = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_JOINT, "base_free") >= 0
        self._body = {self.model.body(i).name: i for i in range(self.model.nbody)}
        self._base = self._body[robot.base_link]
        self._feet = [(self._body[f.link], f.points) for f in robot.feet]
        self._jacp = np.zeros((3, self.model.nv))
        self._jacr = np.zeros((3, self.model.nv))
        self._bare = self.model.body_mass.copy(), self.model.body_ipos.copy(), self.model.body_sameframe.copy()

    def carry(self, loads: Mapping[str, float]) -> None:
        """The hands hold these masses from now on, kg by hand, as points; changes the model that was given."""
        m, (mass, com, same) = self.model, self._bare
        for side, hand in self.robot.hands.items():
            b, load = self._body[hand.link], loads.get(side, 0.0)
            m.body_mass[b], m.body_ipos[b], m.body_sameframe[b] = mass[b], com[b], same[b]
            if load > 0.0:
                m.body_mass[b] = mass[b] + load
                m.body_ipos[b] = (mass[b] * com[b] + load * np.asarray(hand.point)) / (mass[b] + load)
                m.body_sameframe[b] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
        mujoco.mj_setConst(m, mujoco.MjData(m))

    def update(
        self,
        q: Array,
        base_position: Array | None = None,
        base_quat: Array | None = None,
        dq: Array | None = None,
        base_linear: Array | None = None,
        base_angular: Array | None = None,
    ) -> None:
        """Place the robot. q, dq (n,); base position (3,), quaternion w x y z; base_linear in the world,
        base_angular in the base (MuJoCo's convention for a free joint). A fixed base ignores the base
        arguments."""
        d = self.data
        d.qpos[self.qpos_adr] = q
        if self.free:
            d.qpos[0:3] = 0.0 if base_position is None else base_position
            d.qpos[3:7] = (1.0, 0.0, 0.0, 0.0) if base_quat is None else base_quat
            d.qvel[0:3] = 0.0 if base_linear is None else base_linear
            d.qvel[3:6] = 0.0 if base_angular is None else base_angular
        d.qvel[self.dof_adr] = 0.0 if dq is None else dq
        mujoco.mj_kinematics(self.model, d)
        mujoco.mj_comPos(self.model, d)

    def position(self, link: str, point: Array | None = None) -> Array:
        """Position (3,) of a point given in the link's frame (default: its origin)."""
        b = self._body[link]
        origin: Array = self.data.xpos[b].copy()
        return origin if point is None else origin + self.data.xmat[b].reshape(3, 3) @ point

    def rotation(self, link: str) -> Array:
        """Rotation (3, 3) from the link's frame."""
        matrix: Array = self.data.xmat[self._body[link]].reshape(3, 3).copy()
        return matrix

    def jacobian(self, link: str, point: Array | None = None) -> Array:
        """Jacobian (3, n) of a point of a link with respect to the joints, base held still."""
        mujoco.mj_jac(self.model, self.data, self._jacp, None, self.position(link, point), self._body[link])
        return self._jacp[:, self.dof_adr].copy()

    def rotation_jacobian(self, link: str) -> Array:
        """Jacobian (3, n) of the link's angular velocity with respect to the joints."""
        mujoco.mj_jacBody(self.model, self.data, None, self._jacr, self._body[link])
        return self._jacr[:, self.dof_adr].copy()

    def hand(self, side: str) -> tuple[Array, Array]:
        """(position (3,), pointing direction (3,)) of a hand, 'left' or 'right'."""
        hand = self.robot.hands[side]
        return self.position(hand.link, hand.point), self.rotation(hand.link) @ hand.axis

    def com(self) -> Array:
        """Centre of mass (3,) of the whole robot."""
        c: Array = self.data.subtree_com[self._base].copy()
        return c

    def com_velocity(self) -> Array:
        """Velocity (3,) of the centre of mass, from the velocities given to ``update``."""
        mujoco.mj_comVel(self.model, self.data)
        mujoco.mj_subtreeVel(self.model, self.data)
        v: Array = self.data.subtree_linvel[self._base].copy()
        return v

    def foot_points(self) -> list[Array]:
        """Per foot, the centres (k, 3) of its contact points."""
        x, r = self.data.xpos, self.data.xmat
        return [x[b] + points @ r[b].reshape(3, 3).T for b, points in self._feet]


def capture_point(com: Array, velocity: Array, height: float | None = None, gravity: float = GRAVITY) -> Array:
    """Where to step to come to rest (2,): xi = c + v sqrt(z / g), linear inverted pendulum (Pratt et al.
    2006).

    ``com`` and ``velocity`` (3,); ``height`` of the centre of mass above the ground, default ``com[2]``.
    """
    z = float(com[2]) if height is None else height
    return np.asarray(com[:2] + velocity[:2] * np.sqrt(max(z, 0.0) / gravity), dtype=np.float64)


def support_polygon(points: Array) -> Array:
    """Convex hull (m, 2), counter-clockwise, of contact points (k, 2) or (k, 3) (Andrew's monotone chain)."""
    pts = sorted({(x, y) for x, y, *_ in points.tolist()})
    if len(pts) < 3:
        return np.array(pts, dtype=np.float64).reshape(-1, 2)

    def half(sequence: list[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for p in sequence:
            while len(chain) >= 2 and _cross(chain[-2], chain[-1], p) <= 0.0:
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return np.array(half(pts) + half(pts[::-1]), dtype=np.float64)


def _cross(o: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def support_margin(polygon: Array, point: Array) -> float:
    """Signed distance in m of ``point`` (2,) to the edge of a counter-clockwise polygon (m, 2): positive
    inside.

    Fewer than three corners enclose nothing: minus the distance to the point or segment; -inf without any; NaN for a
    point that is not finite. For so few corners numpy takes ten times as long.
    """
    if len(polygon) == 0:
        return float("-inf")
    px, py = float(point[0]), float(point[1])
    if not math.isfinite(px + py):
        return float("nan")
    corners = polygon.tolist()
    distance, inside = float("inf"), len(corners) >= 3
    ax, ay = corners[-1]
    for bx, by in corners:
        ex, ey, tx, ty = bx - ax, by - ay, px - ax, py - ay
        t = min(max((tx * ex + ty * ey) / max(ex * ex + ey * ey, 1e-18), 0.0), 1.0)
        distance = min(distance, math.hypot(tx - t * ex, ty - t * ey))
        inside = inside and ex * ty - ey * tx >= 0.0
        ax, ay = bx, by
    return distance if inside else -distance
