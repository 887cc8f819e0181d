"""What a chunk would do: its joint path from the measured pose, and how near that comes to limits.

Kinematic: the joints are taken to follow the chunk and the base to stay where it is. Set-points between rows are
interpolated linearly, the first one is reached from the measured pose, after the last row the pose is held.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from humanoid_core.kinematics import Kinematics, support_margin, support_polygon
from humanoid_core.physics import build_spec
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk

#: Time between two looked-at instants, s; postures are checked for distance and balance at each fourth of them.
STEP, EACH = 0.025, 4


@dataclass(frozen=True)
class Look:
    """``time`` (t,) s from the start, ``trajectory`` (t, n) rad in robot order.

    joint_margin: smallest distance of a moved joint to its limits, negative outside (rad).
    self_distance: smallest distance between links that can collide, m; where nothing comes nearer than the cap it
    is the cap, NaN on a model without collision shapes. support_margin: centre of mass to the edge of the soles'
    polygon with the robot at rest, m; 0 for a fixed base. code: first violation, '' for none.
    """

    time: Array
    trajectory: Array
    joint_margin: float
    self_distance: float
    support_margin: float
    code: str
    code_time: float


def chunk_problem(robot: RobotModel, chunk: ActionChunk) -> tuple[str, str]:
    """(reason code, what is wrong), or ('', '')."""
    known = set(robot.joint_names)
    unknown = [name for name in chunk.joint_names if name not in known]
    if unknown or not chunk.joint_names:
        return "WRONG_NAMES", f"unknown: {', '.join(unknown[:4])}" if unknown else "no joint names"
    if len(set(chunk.joint_names)) != len(chunk.joint_names):
        return "WRONG_NAMES", "a joint is given twice"
    if chunk.positions.ndim != 2 or chunk.positions.shape[1] != len(chunk.joint_names) or not len(chunk.positions):
        return "WRONG_LENGTH", f"positions of shape {chunk.positions.shape} for {len(chunk.joint_names)} joints"
    if not bool(np.isfinite(chunk.positions).all()):
        return "NON_FINITE", "positions hold NaN or infinity"
    if not 1e-4 <= chunk.step_dt <= 10.0:
        return "OUT_OF_RANGE", f"step_dt = {chunk.step_dt} s"
    return "", ""


class Preview:
    """Has its own copy of the model, so that it can run beside the twin. Not for two threads at once."""

    def __init__(self, robot: RobotModel, cap: float) -> None:
        self.robot, self.cap = robot, cap
        model = build_spec(robot).compile()
        # Pairs nearer than the cap become contacts with their distance; the rest is never looked at.
        model.geom_margin[:] = cap
        model.geom_gap[:] = 0.0
        self._collides = bool(np.any((model.geom_contype != 0) & (model.geom_conaffinity != 0)))
        self.kinematics = Kinematics(robot, model)

    def look(self, chunk: ActionChunk | None, q: Array, stamp_ns: int, horizon: float,
             base_orientation: Array | None = None) -> Look:
        """From joint positions ``q`` (n,) at ``stamp_ns``. ``chunk`` None: the pose is held. A valid chunk only."""
        time = np.arange(0.0, horizon + 0.5 * STEP, STEP)
        path = np.tile(q, (len(time), 1))
        moved = np.arange(self.robot.n)
        if chunk is not None:
            moved = np.array([self.robot.index(name) for name in chunk.joint_names])
            path[:, moved] = _path(chunk, q[moved], stamp_ns, time)
        margins = np.minimum(path - self.robot.lower, self.robot.upper - path)[:, moved]
        violations = _first_of("LIMIT_POSITION", time, np.asarray(margins.min(axis=1) < 0.0))
        speed = np.abs(np.diff(path, axis=0)) / STEP
        violations += _first_of("LIMIT_RATE", time[1:], np.asarray((speed > self.robot.velocity).any(axis=1)))
        distance, support = float("inf"), float("inf")
        for t, posture in zip(time[::EACH], path[::EACH], strict=True):
            near, margin = self._posture(posture, base_orientation)
            distance, support = min(distance, near), min(support, margin)
            violations += _first_of("SELF_COLLISION", np.array([t]), np.array([bool(near < 0.0)]))
            violations += _first_of("SUPPORT", np.array([t]), np.array([bool(margin < 0.0)]))
        code_time, code = min(violations, default=(float("nan"), ""))
        return Look(time, path, float(margins.min()), distance if self._collides else float("nan"), support, code,
                    code_time)

    def _posture(self, q: Array, base_orientation: Array | None) -> tuple[float, float]:
        """(smallest distance between links, static support margin)."""
        k = self.kinematics
        k.update(q, base_quat=base_orientation)
        mujoco.mj_collision(k.model, k.data)
        near = min(self.cap, float(k.data.contact.dist.min())) if k.data.ncon else self.cap
        if not k.free or not self.robot.feet:
            return near, 0.0
        ground = support_polygon(np.vstack(k.foot_points())[:, :2])
        return near, support_margin(ground, k.com()[:2])


def _path(chunk: ActionChunk, q: Array, stamp_ns: int, time: Array) -> Array:
    """The chunk's joints (t, k) over ``time``. Row i of a chunk is for its stamp + (i + 1) step_dt."""
    start = (chunk.stamp_ns - stamp_ns) / NS
    rows = start + chunk.step_dt * np.arange(1, len(chunk.positions) + 1)
    ahead = rows > 1e-9
    knots = np.concatenate(([0.0], rows[ahead]))
    values = np.vstack((q, chunk.positions[ahead]))
    return np.column_stack([np.interp(time, knots, values[:, j]) for j in range(values.shape[1])])


def _first_of(code: str, time: Array, bad: npt.NDArray[np.bool_]) -> list[tuple[float, str]]:
    return [(float(time[int(np.argmax(bad))]), code)] if bad.any() else []
