"""Centre of mass against the support polygon: margin m = signed distance to the edge, in m, negative outside.

A body at rest stands while its centre of mass is above the polygon (Siciliano et al. 2009, Robotics, 11). One that is
caught after a push keeps it inside and sends only the capture point far (`support`), so here less is allowed. The twin
gives the centre of mass and where the base is; the soles follow from its joints, and those count that carry load, or,
when nobody measures that, the lowest ones. What `support` says of a foot that is unloaded for a moment holds here too.

The margin of a point changes by no more than the way it moves: while the capture point is further inside than it is
away from the centre of mass, no sole need be placed.
"""

from __future__ import annotations

import math

import numpy as np

from humanoid_core.kinematics import GRAVITY, support_margin, support_polygon
from humanoid_core.physics import quat_matrix
from humanoid_core.robot_model import Array
from humanoid_core.types import TwinState
from safety_nodes.core.freshness import twin
from safety_nodes.core.nearness import nearby
from safety_nodes.core.severity import grade
from safety_nodes.core.types import Finding, Tick

CARRIES = 0.03  # share of the weight from which a foot counts
LEVEL = 0.01  # m: soles so much above the lowest one stand with it


def check(x: Tick) -> list[Finding]:
    believed = twin(x)
    if believed is None or x.robot.base_fixed or not x.robot.feet:
        return []
    steps = x.config.steps("com")
    apart = float(np.linalg.norm(believed.com[:2] - believed.capture_point[:2]))
    if believed.support_margin - apart >= steps[0]:
        return []
    margin = _margin(x, believed)
    severity = grade(-margin, tuple(-s for s in steps))
    if severity <= 0.0:
        return []
    return [Finding("SUPPORT", "centre_of_mass", margin, steps[min(int(severity / 0.25), 3) - 1], severity)]


def _margin(x: Tick, t: TwinState) -> float:
    """NaN when the twin does not say where something is."""
    nearby(x)  # makes the clearance when nobody gave one
    clearance = x.memory.clearance
    known = t.position.shape == (x.robot.n,) and math.isfinite(
        float(t.position.sum() + t.base_position.sum() + t.base_orientation.sum() + t.com.sum()))
    if clearance is None or not known:
        return math.nan
    k, turn = clearance.distances.kinematics, quat_matrix(t.base_orientation)
    k.update(t.position)
    soles = [points @ turn.T + t.base_position for points in k.foot_points()]
    return support_margin(support_polygon(np.vstack(_standing(x, soles))[:, :2]), t.com[:2])


def _standing(x: Tick, soles: list[Array]) -> list[Array]:
    forces = x.state.foot_force[:len(soles), 2].tolist() if x.state is not None else []
    if len(forces) == len(soles):
        carrying = [s for s, force in zip(soles, forces, strict=True) if force >= CARRIES * x.robot.mass * GRAVITY]
        if carrying and math.isfinite(sum(forces)):
            return carrying
    lowest = min(float(s[:, 2].min()) for s in soles)
    return [s for s in soles if float(s[:, 2].min()) <= lowest + LEVEL]
