"""What only a simulator knows: where everything is, how far the hands are from the things, whether it fell.

For judging a task, never for a policy.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from humanoid_core.robot_model import Array
from humanoid_core.types import ObjectTruth, SimTruth
from sim_nodes.core.plant import FALLEN_SHARE, FALLEN_TILT, Plant

#: Distances beyond this, in m, are reported as this.
FAR = 2.0


class Truth:
    """Reads a plant; names are looked up once."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        model, robot = plant.model, plant.robot
        self._hands = {side: (model.body(h.link).id, h.point, h.axis) for side, h in robot.hands.items()}
        self._hand_geoms = {side: _solid_geoms(model, body) for side, (body, _, _) in self._hands.items()}
        self._things = [(t.name, model.body(t.name).id, model.geom(t.name).id) for t in plant.scene.things]
        self._base = model.body(robot.base_link).id

    def fallen(self) -> bool:
        """Base below 66 % of its standing height (0.5 m on the G1), or tilted more than 0.8 rad."""
        if self.plant.robot.base_fixed:
            return False
        data = self.plant.data
        low = data.xpos[self._base, 2] < FALLEN_SHARE * self.plant.stand_height
        return bool(low or self.tilt() > FALLEN_TILT)

    def tilt(self) -> float:
        """Angle between the base's z axis and the vertical, rad."""
        return math.acos(min(max(float(self.plant.data.xmat[self._base, 8]), -1.0), 1.0))

    def hand(self, side: str) -> tuple[Array, Array]:
        """(touching point (3,), pointing direction (3,)) of a hand in the world; NaN for a hand it has
        not."""
        if side not in self._hands:
            return np.full(3, np.nan), np.full(3, np.nan)
        body, point, axis = self._hands[side]
        rotation = self.plant.data.xmat[body].reshape(3, 3)
        return self.plant.data.xpos[body] + rotation @ point, rotation @ axis

    def distance(self, side: str, geom: int) -> float:
        """Surface distance in m between a hand and a geom; negative when they interpenetrate, NaN without
        hand."""
        hands = self._hand_geoms.get(side, [])
        model, data = self.plant.model, self.plant.data
        found = [mujoco.mj_geomDistance(model, data, g, geom, FAR, None) for g in hands]
        return min(found) if found else float("nan")

    def read(self, real_time_factor: float = 1.0) -> SimTruth:
        """Everything at once."""
        data, plant = self.plant.data, self.plant
        left, left_axis = self.hand("left")
        right, right_axis = self.hand("right")
        objects = tuple(
            ObjectTruth(
                name,
                data.xpos[b].copy(),
                data.xquat[b].copy(),
                self.distance("left", g),
                self.distance("right", g),
            )
            for name, b, g in self._things
        )
        return SimTruth(
            stamp_ns=plant.time_ns,
            base_position=data.xpos[self._base].copy(),
            base_orientation=data.xquat[self._base].copy(),
            left_hand=left,
            right_hand=right,
            left_axis=left_axis,
            right_axis=right_axis,
            objects=objects,
            fallen=self.fallen(),
            mode=plant.active.name,
            mode_reason=plant.reason,
            real_time_factor=real_time_factor,
        )

    def contacts(self) -> list[tuple[str, str, float]]:
        """Touching pairs that are not a foot on the floor or a thing on the table: (geom, geom, force N)."""
        model, data = self.plant.model, self.plant.data
        force = np.zeros(6)
        found = []
        for i in range(data.ncon):
            a, b = (model.geom(g).name for g in data.contact[i].geom)
            if (a == "floor" and b.startswith("foot_")) or (a.startswith("table") and b in self._thing_names()):
                continue
            mujoco.mj_contactForce(model, data, i, force)
            found.append((a, b, float(np.linalg.norm(force[:3]))))
        return found

    def _thing_names(self) -> set[str]:
        return {name for name, _, _ in self._things}


def _solid_geoms(model: mujoco.MjModel, body: int) -> list[int]:
    """Geoms of a body that can touch, or all it has."""
    geoms = range(model.body_geomadr[body], model.body_geomadr[body] + model.body_geomnum[body])
    solid = [g for g in geoms if model.geom_contype[g] or model.geom_conaffinity[g]]
    return solid or list(geoms)
