"""Friction and load from a whole recording: smoothed both ways in time, robust against seconds in which something else
happened, within what is physically possible.

The regression is that of identification.py; each second counts with a soft-L1 loss (scipy.optimize.least_squares), so
that a touch or a blow does not pull the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.signal import savgol_filter

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import RobotState
from twin_nodes.core.calibration import MOST_COULOMB, MOST_MASS, MOST_VISCOUS
from twin_nodes.core.estimate import Estimate
from twin_nodes.core.explain import Arms
from twin_nodes.core.identification import COULOMB, LOAD, VISCOUS, Identification, Value
from twin_nodes.core.joint_dynamics import JointDynamics
from twin_nodes.core.residuals import gravity_of

#: Samples and order of the polynomial that velocities are taken from (Savitzky and Golay, Anal. Chem. 36, 1964).
WINDOW, ORDER = 21, 3


@dataclass(frozen=True)
class JointFit:
    """``problem``: why the recording does not tell, '' when it does. Intervals of 95 %."""

    name: str
    viscous: Value
    coulomb: Value
    problem: str


@dataclass(frozen=True)
class Report:
    """``load``: kg by hand; ``states``: how many were used."""

    joints: tuple[JointFit, ...]
    load: dict[str, Value]
    states: int


def fit(robot: RobotModel, states: Sequence[RobotState]) -> Report:
    """States in the order of their stamps; ValueError for too few of them to smooth."""
    if len(states) < WINDOW:
        raise ValueError(f"fit: {len(states)} states, at least {WINDOW} are needed")
    stamps = np.array([s.stamp_ns for s in states])
    step = float(np.median(np.diff(stamps))) / NS
    q = np.array([s.position for s in states])
    smooth, speed = (savgol_filter(q, WINDOW, ORDER, deriv=d, delta=step, axis=0) for d in (0, 1))
    dynamics = JointDynamics(robot)
    arms = Arms(robot, dynamics)
    identification = Identification(robot, arms)
    upper = list(robot.groups.get("upper_body", ())) if not robot.base_fixed else list(range(robot.n))
    may = np.zeros(robot.n, dtype=bool)
    may[upper] = True
    zero, never = np.zeros(robot.n), np.zeros(robot.n, dtype=bool)
    for k, s in enumerate(states):
        motion = dynamics.at(smooth[k], speed[k], gravity_of(s))
        estimate = Estimate(s.stamp_ns, smooth[k], speed[k], zero, zero, zero, zero, zero, zero + 1.0, zero, never,
                            s.position, s.velocity, s.effort, s.effort, zero, zero)
        identification.update(estimate, motion, may)
    joints = tuple(_joint(robot, identification, i) for i in upper)
    return Report(joints, {side: identification.load(side) for side in arms.joints}, len(states))


def _joint(robot: RobotModel, identification: Identification, i: int) -> JointFit:
    plain = identification.joint(i)
    columns = sorted(plain)
    problem = plain[VISCOUS].problem
    values = {c: plain[c] for c in columns}
    if not problem:
        limits = {VISCOUS: (0.0, MOST_VISCOUS), COULOMB: (0.0, MOST_COULOMB * float(robot.effort[i])),
                  LOAD: (-MOST_MASS, MOST_MASS)}
        theta = _robust(identification, i, columns, [limits[c] for c in columns], [plain[c].value for c in columns])
        values = {c: Value(float(x), float(x) - plain[c].error, float(x) + plain[c].error)
                  for c, x in zip(columns, theta, strict=True)}
    return JointFit(robot.joint_names[i], values[VISCOUS], values[COULOMB], problem)


def _robust(identification: Identification, i: int, columns: list[int], limits: list[tuple[float, float]],
            start: list[float]) -> Array:
    """Each second's information as a few rows: A = L L^T gives L^T theta = L^-1 b."""
    rows, sides = [], []
    for block in identification.blocks:
        information = block.information[i][np.ix_(columns, columns)]
        if block.count[i] <= 20:
            continue
        values, vectors = np.linalg.eigh(information)
        root = np.sqrt(np.maximum(values, 0.0))
        use = root > 1e-6 * root.max()
        rows.append((vectors * root).T[use])
        sides.append((vectors[:, use] / root[use]).T @ block.moment[i][columns])
    x, y = np.vstack(rows), np.concatenate(sides)
    low, high = (np.array([pair[k] for pair in limits]) for k in (0, 1))
    begin = np.clip(start, low + 1e-9, high - 1e-9)
    spread = 1.4826 * float(np.median(np.abs(x @ begin - y))) + 1e-9
    found = least_squares(lambda theta: x @ theta - y, begin, bounds=(low, high), loss="soft_l1", f_scale=2.0 * spread)
    result: Array = found.x
    return result
