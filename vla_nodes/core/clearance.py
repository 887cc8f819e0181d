"""Is a posture, or the way to it, clear of the table, of the things on it and of the robot itself?

MuJoCo's collision test on the robot's own shapes, with the table as a slab under the height that the camera
measured, and things as upright capsules. Everything in the base frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import BIT_ROBOT, BIT_THING, build_spec, matrix_quat
from humanoid_core.robot_model import Array, RobotModel
from vla_nodes.core.body import Frame

#: Keep this far from table and things, m.
MARGIN = 0.012
#: Keep this far from oneself on the way, m; at a goal, from where corrections go either way; in a correction.
SELF_MARGIN, SELF_ROOM, SELF_LEAST = 0.004, 0.012, 0.001
#: Sampling of a path, rad of the joint that moves most.
STEP = 0.06
MAX_THINGS = 6
SLAB = 0.06
#: Corners of a box this close in height lie level, m.
LEVEL = 0.006
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
_AWAY = (0.0, 0.0, -50.0)


@dataclass(frozen=True)
class World:
    """What stands around: ``stance`` frame in the base frame, ``table`` height over the ground in m (NaN:
    none), ``edge`` its near edge in x, ``things`` (position (3,), radius) in the stance frame."""

    stance: Frame
    table: float
    edge: float
    things: tuple[tuple[Array, float], ...] = ()


class Clearance:
    """Collision tests for one robot. Not for use from two threads at once."""

    def __init__(self, robot: RobotModel) -> None:
        self.robot = robot
        spec = build_spec(robot)
        _obstacle(spec, "table", mujoco.mjtGeom.mjGEOM_BOX, [0.6, 1.0, SLAB / 2])
        for i in range(MAX_THINGS):
            _obstacle(spec, f"thing_{i}", mujoco.mjtGeom.mjGEOM_CYLINDER, [0.08, 0.13, 0.0])
        model = spec.compile()
        model.geom_margin[:] = max(MARGIN, SELF_ROOM)
        self._thing = model.geom_contype == BIT_THING
        self.kinematics = Kinematics(robot, model)
        self._legs = frozenset(robot.joint_names[i] for i in robot.groups.get("legs", ()))
        self._names = [model.body(int(b)).name for b in model.geom_bodyid]

    def place(self, world: World) -> None:
        """Put table and things where they are."""
        model = self.kinematics.model
        quat = matrix_quat(world.stance.rotation)
        seen = np.isfinite(world.table)
        middle = world.stance.out(np.array([world.edge + 0.6, 0.0, world.table - SLAB / 2]))
        _put(model, "table", middle if seen else np.array(_AWAY), quat)
        for i in range(MAX_THINGS):
            if i >= len(world.things) or not seen:
                _put(model, f"thing_{i}", np.array(_AWAY), quat)
                continue
            top, radius = world.things[i]
            half = max((float(top[2]) - world.table) / 2.0, 0.005)
            model.geom(f"thing_{i}").size[:2] = radius, half
            model.geom_rbound[model.geom(f"thing_{i}").id] = float(np.hypot(radius, half))
            _put(model, f"thing_{i}", world.stance.out(top - np.array([0.0, 0.0, half])), quat)

    def touching(self, q: Array, self_margin: float = SELF_MARGIN) -> frozenset[tuple[str, str]]:
        """Pairs of bodies closer than their margin in posture ``q`` (n,)."""
        k = self.kinematics
        k.update(q)
        mujoco.mj_collision(k.model, k.data)
        contact = k.data.contact
        pairs = contact.geom
        limit = np.where(self._thing[pairs].any(axis=1), MARGIN, self_margin)
        close = pairs[contact.dist < limit]
        names = self._names
        return frozenset((min(names[a], names[b]), max(names[a], names[b])) for a, b in close.tolist())

    def lowest(self, link: str, q: Array, up: Array) -> Array | None:
        """Lowest part (3,) of a link's shapes in the link's frame at posture ``q`` (n,), the middle of an edge
        when one lies level; None for a link without boxes."""
        k = self.kinematics
        k.update(q)
        model, body = k.model, k.model.body(link).id
        corners = [
            model.geom_pos[g] + _rotation(model.geom_quat[g]) @ (model.geom_size[g] * signs)
            for g in range(model.body_geomadr[body], model.body_geomadr[body] + model.body_geomnum[body])
            if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_BOX and model.geom_contype[g]
            for signs in _CORNERS
        ]
        if not corners:
            return None
        points = np.array(corners)
        height = points @ k.rotation(link).T @ up
        middle: Array = points[height < height.min() + LEVEL].mean(axis=0)
        return middle

    def blocked(self, a: Array, b: Array) -> str:
        """'' when the straight way in joint space from ``a`` to ``b`` (n,) is clear, else what is in the way.

        What is already close at ``a`` may stay close: that is where the way leads out of.
        """
        steps = max(int(np.ceil(np.max(np.abs(b - a)) / STEP)), 1)
        return self.blocked_path(a + np.linspace(0.0, 1.0, steps + 1)[:, None] * (b - a))

    def blocked_path(self, path: Array) -> str:
        """The same for postures (k, n) in order."""
        known = self.touching(path[0])
        for q in path[1:]:
            new = self.touching(q) - known
            if new:
                return " and ".join(min(new))
        return ""

    def connect(self, a: Array, b: Array, vias: Sequence[Array]) -> list[Array] | None:
        """Postures to pass from ``a`` to ``b``, ``b`` included: straight, over one via or over two; None when
        all are blocked."""
        if not self.blocked(a, b):
            return [b]
        first = [v for v in vias if not self.blocked(a, v)]
        last = [v for v in vias if not self.blocked(v, b)]
        both = [v for v in first if any(v is w for w in last)]
        if both:
            return [min(both, key=lambda v: _length(a, v) + _length(v, b)), b]
        pairs = sorted(
            ((v, w) for v in first for w in last), key=lambda p: _length(a, p[0]) + _length(*p) + _length(p[1], b)
        )
        for v, w in pairs:
            if not self.blocked(v, w):
                return [v, w, b]
        return None


def _rotation(quat: Array) -> Array:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


def _length(a: Array, b: Array) -> float:
    return float(np.max(np.abs(b - a)))


def _obstacle(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtGeom, size: list[float]) -> None:
    body = spec.worldbody.add_body(name=name, pos=list(_AWAY))
    geom = body.add_geom(name=name, type=kind, size=size)
    geom.contype, geom.conaffinity = BIT_THING, BIT_ROBOT


def _put(model: mujoco.MjModel, name: str, position: Array, quat: Array) -> None:
    body = model.body(name)
    body.pos[:], body.quat[:] = position, quat
