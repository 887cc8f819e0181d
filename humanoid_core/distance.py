"""How near links come to one another and to what stands around, by MuJoCo's collision geometry.

The robot stands where its soles are: they stay in place while the body above moves, so joint positions alone say
where every link is in the standing frame (ground under the base in the posture ``stand``, x forward, z up).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import mujoco
import numpy as np
import numpy.typing as npt

from humanoid_core.environment import Obstacle, add_obstacles
from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import build_spec, matrix_quat
from humanoid_core.robot_model import Array, RobotModel

#: Pairs further apart than this are not looked at, m.
CAP = 0.10
_ORIGIN = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


class Near(NamedTuple):
    """Two things nearer than the cap. ``distance`` m, negative inside one another; ``approach`` m/s at which it
    shrinks along the contact's normal (0 when no velocity was given). ``second`` is an obstacle when ``obstacle``;
    ``margin`` to keep, m."""

    first: str
    second: str
    distance: float
    approach: float
    obstacle: bool
    margin: float


class Distances:
    """For one robot in one environment; ``self_margin`` is the margin between links, m. Keeps scratch data: not for
    two threads at once. Postures must be finite."""

    def __init__(self, robot: RobotModel, environment: tuple[Obstacle, ...] = (), cap: float = CAP,
                 self_margin: float = 0.0) -> None:
        self.robot, self.cap = robot, cap
        spec = build_spec(robot)
        add_obstacles(spec, environment)
        model = spec.compile()
        model.geom_margin[:] = 0.5 * cap  # MuJoCo adds the two of a pair
        model.geom_gap[:] = 0.0
        self.kinematics = Kinematics(robot, model)
        self._name_pairs(environment, self_margin)
        self._feet = [model.body(f.link).id for f in robot.feet]
        self._soles = np.array([f.points.mean(axis=0) for f in robot.feet]).reshape(-1, 3, 1)
        rotation, origin = self._stance(robot.stand)
        # Soles on the ground, under the base at x = y = 0: where the stance frame is in the standing frame.
        self._anchor = np.array([origin @ rotation[:, 0], origin @ rotation[:, 1], 0.0])

    def pairs(self, q: Array, velocity: Array | None = None,
              base: tuple[Array, Array] | None = None) -> dict[tuple[str, str], Near]:
        """Every two links, or link and obstacle, nearer than the cap at joint positions ``q`` (n,) rad.

        ``velocity`` (n,) rad/s gives ``approach``. ``base``: position (3,) and quaternion w x y z in the standing
        frame, when the soles do not say where the robot is.
        """
        k, d = self.kinematics, self.kinematics.data
        if base is None and k.free and self._environment:
            base = self.stand_on_soles(q)
        d.qpos[k.qpos_adr] = q
        if k.free and base is not None:
            d.qpos[:3], d.qpos[3:7] = base
        mujoco.mj_kinematics(k.model, d)
        mujoco.mj_collision(k.model, d)
        contact = d.contact
        geoms, distance = contact.geom, contact.dist
        rates = [0.0] * len(distance) if velocity is None else self._rates(velocity, geoms, distance).tolist()
        found: dict[tuple[str, str], Near] = {}
        for pair, apart, rate in zip(self._pair_of[geoms[:, 0], geoms[:, 1]].tolist(), distance.tolist(), rates,
                                     strict=True):
            first, second, obstacle, margin = self._named[pair]
            if apart < self.cap and ((first, second) not in found or apart < found[first, second].distance):
                found[first, second] = Near(first, second, apart, -rate, obstacle, margin)
        return found

    def stand_on_soles(self, q: Array) -> tuple[Array, Array]:
        """Base position (3,) and quaternion w x y z in the standing frame, with the soles where they were."""
        rotation, origin = self._stance(q)
        return self._anchor - rotation.T @ origin, matrix_quat(rotation.T)

    # --- what stands behind

    def _name_pairs(self, environment: tuple[Obstacle, ...], self_margin: float) -> None:
        """Number every pair of geoms by what it belongs to: (first, second, is an obstacle, margin)."""
        model, hands = self.kinematics.model, {h.link for h in self.robot.hands.values()}
        self._environment = environment
        obstacles = {int(model.geom(f"obstacle_{o.name}").id): o for o in environment}
        links = [model.body(int(b)).name for b in model.geom_bodyid]
        number: dict[tuple[str, str, bool, float], int] = {}
        self._pair_of = np.zeros((model.ngeom, model.ngeom), dtype=np.intp)
        for a in range(model.ngeom):
            for b in range(model.ngeom):
                stone = obstacles.get(a) or obstacles.get(b)
                if stone is not None:
                    link = links[b if a in obstacles else a]
                    key = (link, stone.name, True, stone.hand_margin if link in hands else stone.margin)
                else:
                    key = (min(links[a], links[b]), max(links[a], links[b]), False, self_margin)
                self._pair_of[a, b] = number.setdefault(key, len(number))
        self._named = list(number)

    def _stance(self, q: Array) -> tuple[Array, Array]:
        """(rotation, origin) in the base frame: midway between the soles, x ahead, z normal to the ground."""
        k, d = self.kinematics, self.kinematics.data
        if not self._feet or not k.free:
            return np.eye(3), np.zeros(3)
        d.qpos[k.qpos_adr] = q
        d.qpos[:7] = _ORIGIN
        mujoco.mj_kinematics(k.model, d)
        turns = d.xmat[self._feet].reshape(-1, 3, 3)
        soles = (d.xpos[self._feet] + (turns @ self._soles)[:, :, 0]).mean(axis=0)
        turn = turns.sum(axis=0)
        up = turn[:, 2] / math.sqrt(turn[:, 2] @ turn[:, 2])
        ahead = turn[:, 0] - up * (up @ turn[:, 0])
        ahead /= math.sqrt(ahead @ ahead)
        (ux, uy, uz), (ax, ay, az) = up.tolist(), ahead.tolist()
        left = (uy * az - uz * ay, uz * ax - ux * az, ux * ay - uy * ax)
        return np.array([ahead, left, up]).T, soles - up * self.robot.foot_radius

    def _rates(self, velocity: Array, geoms: npt.NDArray[np.int32], distance: Array) -> Array:
        """d(distance)/dt of each contact, m/s: n . (v2 - v1) of the two nearest points, n from the first geom to
        the second. The soles stand still, so the environment moves against the base as they do."""
        k, d = self.kinematics, self.kinematics.data
        d.qvel[k.dof_adr] = velocity
        mujoco.mj_comPos(k.model, d)
        mujoco.mj_comVel(k.model, d)
        twist = d.cvel.copy()  # angular, linear: all of one tree about the same point
        twist[0] = twist[self._feet].mean(axis=0) if self._feet and k.free else 0.0
        about = d.subtree_com[k.model.body(self.robot.base_link).rootid[0]]
        normal, middle = d.contact.frame[:, :3], d.contact.pos - about
        half = 0.5 * distance[:, None] * normal
        bodies = k.model.geom_bodyid[geoms]
        one, two = twist[bodies[:, 0]], twist[bodies[:, 1]]
        speed = two[:, 3:] - one[:, 3:] + _cross(two[:, :3], middle + half) - _cross(one[:, :3], middle - half)
        rate: Array = np.einsum("ij,ij->i", normal, speed)
        return rate


def _cross(a: Array, b: Array) -> Array:
    """Row by row; np.cross takes ten times as long for a handful of rows."""
    return np.column_stack((a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1], a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2],
                            a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]))
