"""May a posture be commanded? Distance between links and to the environment, with the way out always open.

A motion is refused when a pair of links, or a link and an obstacle, would come below the margin between them and
nearer than they are now: approach is stopped, retreat is allowed.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.distance import CAP, Distances, Near
from humanoid_core.environment import Obstacle
from humanoid_core.robot_model import Array, RobotModel

#: Postures on the way are looked at this far apart, rad of the joint that moves most: no link jumps through another.
STEP = 0.1
#: Distances closer together than this are the same, m.
SAME = 1e-6


#: What is near, or would be too near: links, distance m, approach m/s, margin m.
Contact = Near


class Clearance:
    """One robot in one environment. Holds scratch data, not a history. Not for use from two threads at once."""

    def __init__(self, robot: RobotModel, environment: tuple[Obstacle, ...] = (), self_margin: float = 0.001,
                 cap: float = CAP) -> None:
        self.robot, self.cap = robot, cap
        self.distances = Distances(robot, environment, cap, self_margin)

    def near(self, q: Array, velocity: Array | None = None) -> list[Contact]:
        """Everything nearer than the cap at joint positions ``q`` (n,) rad, nearest first; ``velocity`` (n,) rad/s
        gives the approach. Not finite: one contact at NaN."""
        if not _finite(q) or (velocity is not None and not _finite(velocity)):
            return [_UNKNOWN]
        return sorted(self.distances.pairs(q, velocity).values(), key=lambda c: c.distance)

    def nearest(self, q: Array, velocity: Array | None = None) -> tuple[Contact | None, Contact | None]:
        """(nearest two links, nearest link and obstacle), None where nothing is under the cap."""
        near = self.near(q, velocity)
        return (next((c for c in near if not c.obstacle), None), next((c for c in near if c.obstacle), None))

    def allowed(self, q_from: Array, q_to: Array) -> Contact | None:
        """None when the straight way in joint space is allowed, else what it would come too near to (n,) rad.

        Give as ``q_to`` where a brake would end (``stopping``), and the braking distance is kept as well.
        """
        if not (_finite(q_from) and _finite(q_to)):
            return _UNKNOWN
        before = self.distances.pairs(q_from)
        steps = max(int(np.ceil(float(np.max(np.abs(q_to - q_from), initial=0.0)) / STEP)), 1)
        for share in np.arange(1, steps + 1) / steps:
            for pair, after in self.distances.pairs(q_from + share * (q_to - q_from)).items():
                start = before[pair].distance if pair in before else self.cap
                if after.distance < after.margin and after.distance < start - SAME:
                    return after
        return None

    def stopping(self, q: Array, velocity: Array, acceleration: Array | None = None) -> Array:
        """Where joints at ``q`` (n,) with ``velocity`` (n,) come to rest at their acceleration limit, within their
        position limits: q + v |v| / (2 a). Default: the command limit of each joint."""
        limit = self.robot.command_acceleration if acceleration is None else acceleration
        end: Array = np.clip(q + velocity * np.abs(velocity) / (2.0 * limit), self.robot.lower, self.robot.upper)
        return end


_UNKNOWN = Contact("robot", "posture", float("nan"), float("nan"), False, 0.0)


def _finite(values: Array) -> bool:
    return bool(np.isfinite(values).all())

