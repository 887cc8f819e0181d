"""The joints a moment ahead: how they follow set-points under their drives, with the base held where it is.

The estimator's own model and step (twin_nodes/core/estimator.py), with inertia and bias worked out anew on the way::

    M a = kp (q* - q) + kd (v* - v) + share b - b - damping v - friction + d

The base is not moved: its dynamics are those of the onboard balance controller, which nobody here knows. A joint that
nobody commands is held by that controller: what speed it has fades.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dposv

from humanoid_core.robot_model import Array, RobotModel
from twin_nodes.core.estimator import SLIDING
from twin_nodes.core.follow import Path, T
from twin_nodes.core.joint_dynamics import JointDynamics
from twin_nodes.core.revision import Revision
from twin_nodes.core.start import Start

#: Steps of 10 ms between two looks at inertia and bias.
REFRESH = 5
#: In which the speed of a joint that the onboard controller holds fades, s.
FADE = 0.05


class Rollout:
    """Scratch space of its own; not for two threads at once."""

    def __init__(self, robot: RobotModel) -> None:
        self.robot = self._file = robot
        self.dynamics = JointDynamics(robot)

    def follow(self, revision: Revision) -> None:
        """Look ahead with this model from now on."""
        self.robot = revision.applied(self._file)
        self.dynamics.carry(revision.payload)

    def run(self, start: Start, path: Path) -> tuple[Array, Array]:
        """(q, v) (t + 1, n), every 10 ms from the start on."""
        robot, on = self.robot, np.flatnonzero(path.on)
        steps = len(path.position) - 1
        q, v = np.tile(start.q, (steps + 1, 1)), np.tile(start.v, (steps + 1, 1))
        fade = np.exp(-T * np.arange(steps + 1) / FADE)[:, None]
        q[:], v[:] = start.q + start.v * FADE * (1.0 - fade), start.v * fade
        if not on.size:
            return q, v
        pick = np.ix_(on, on)
        kp, kd, damping, dry = robot.kp[on], robot.kd[on], robot.damping[on], robot.frictionloss[on]
        # Each set-point holds until the next: over an interval, the mean of the two that meet in it.
        goal = path.phase * path.position[:-1, on] + (1.0 - path.phase) * path.position[1:, on]
        speed = path.phase * path.velocity[:-1, on] + (1.0 - path.phase) * path.velocity[1:, on]
        still = 0.5 * T * (kd + damping) + 0.25 * T * T * kp
        for k in range(steps):
            x, dx = q[k, on], v[k, on]
            if k % REFRESH == 0:
                motion = self.dynamics.at(q[k], v[k], start.gravity)
                mass = motion.mass[pick]
                given = (start.d - motion.bias + start.share * motion.own)[on]
            sliding = np.tanh(dx / SLIDING)
            slope = dry / SLIDING * (1.0 - sliding * sliding)
            implicit = mass.copy()
            implicit.flat[::len(on) + 1] += still + 0.5 * T * slope
            torque = kp * (goal[k] - x - 0.5 * T * dx) + kd * (speed[k] - dx) + given - damping * dx - dry * sliding
            # Symmetric and positive definite: a third of the time of a general solver.
            change = T * dposv(implicit, torque)[1]
            q[k + 1, on], v[k + 1, on] = x + T * (dx + 0.5 * change), dx + change
        return q, v
