"""What the estimator hands to whoever judges it (diagnosis, scoring, benches): one update, all joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array


@dataclass(frozen=True)
class Estimate:
    """Arrays (n,) in robot order; rad, rad/s, rad/s^2, N m and their squares. Frozen: nobody writes into them.

    ``disturbance``: torque that the model needs beside the one it was given to explain the motion; for a joint whose
    torque comes from the command (see ``JointEstimator``) a motor that gives less than asked for shows here as well.
    ``innovation``: measured minus expected position, ``innovation_var`` its expected variance, ``nis`` the normalised
    innovation squared of position and velocity, per component (1 on average). ``gated``: the measurement of this joint
    was kept out of the estimate. ``measured_effort`` (the newest report) and ``mean_effort`` (of all reports since the
    update before) are NaN where the robot does not tell, ``commanded_position`` (the joint's true one, see
    drives.py) where nothing was commanded yet.
    ``acceleration``: what the model expected since the update before.
    """

    stamp_ns: int
    position: Array
    velocity: Array
    disturbance: Array
    position_var: Array
    velocity_var: Array
    disturbance_var: Array
    innovation: Array
    innovation_var: Array
    nis: Array
    gated: NDArray[np.bool_]
    measured_position: Array
    measured_velocity: Array
    measured_effort: Array
    mean_effort: Array
    commanded_position: Array
    acceleration: Array
