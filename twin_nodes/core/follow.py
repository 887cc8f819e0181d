"""What the gate will ask of the joints: set-points that follow a chunk within the command limits, or come to rest.

The gate plans with bounded jerk (safety_nodes/core/setpoint.py); half a second ahead speed and acceleration are what
counts, so a set-point p here goes for its reference r with

    v' = clip(r' + sign(e) min(|e| / TAU, sqrt(2 a |e|)), speed limit),  |v' - v| <= a T,  e = r - p

the second term being the speed from which it can still brake in time. Position limits are left out on purpose: the look
ahead is there to say that a chunk leads beyond them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk
from twin_nodes.core.start import TICK_NS, Start, seconds

T = TICK_NS / NS
#: In which a difference to the chunk is made up for, s: as long as the policy fades a seam.
TAU = 0.1


@dataclass(frozen=True)
class Path:
    """Set-points of the joints ``on`` at ``phase`` of each interval of 10 ms: ``position``, ``velocity`` (t + 1, n),
    row 0 the one in effect at the start."""

    on: NDArray[np.bool_]
    phase: float
    position: Array
    velocity: Array


def follow(robot: RobotModel, start: Start, chunk: ActionChunk | None, scale: float, steps: int) -> Path:
    """The next ``steps`` set-points. ``scale``: share of the command speed that is permitted. A valid chunk only."""
    n = robot.n
    moved = np.zeros(n, dtype=bool)
    if chunk is not None:
        moved[[robot.index(name) for name in chunk.joint_names]] = True
    on = start.driven | moved
    newest = start.setpoints[-1] if start.setpoints else None
    ahead_ns = (newest.start_ns - start.stamp_ns) if newest is not None else 0
    phase = (ahead_ns % TICK_NS) / TICK_NS
    p, v = np.empty((steps + 1, n)), np.zeros((steps + 1, n))
    known = _known(start, p, v)
    time: Array = (np.arange(steps + 2, dtype=np.float64) - 1.0 + phase) * T
    reference, speed = _reference(robot, start, chunk, p[known], time)
    a, top = robot.command_acceleration, np.where(moved, robot.command_velocity * scale, 0.0)
    most = a * T
    for k in range(known, steps):
        e = reference[k] - p[k]
        far = np.abs(e)
        want = speed[k + 1] + np.copysign(np.minimum(far / TAU, np.sqrt(2.0 * a * far)), e)
        want = np.minimum(np.maximum(want, -top), top)  # np.clip takes several times as long
        v[k + 1] = v[k] + np.minimum(np.maximum(want - v[k], -most), most)
        p[k + 1] = p[k] + 0.5 * T * (v[k] + v[k + 1])
    return Path(on, phase, p, v)


def _known(start: Start, p: Array, v: Array) -> int:
    """Fill in what is commanded already; the row of the newest one."""
    p[0] = start.q
    if not start.setpoints:
        return 0
    rows = start.setpoints[-len(p):]
    # Row 0 is in effect at the start: the newest of those that begin before it.
    begun = max((i for i, s in enumerate(rows) if s.start_ns <= start.stamp_ns), default=0)
    for k, s in enumerate(rows[begun:]):
        told = start.driven & np.isfinite(s.position)
        p[k], v[k] = np.where(told, s.position, start.q), np.where(told, s.velocity, 0.0)
    return len(rows) - 1 - begun


def _reference(robot: RobotModel, start: Start, chunk: ActionChunk | None, p: Array,
               time: Array) -> tuple[Array, Array]:
    """The chunk (t, n) and its speed at each set-point; elsewhere ``p``. A command shows its delay later."""
    reference = np.tile(p, (len(time), 1))
    if chunk is None:
        return reference[:-1], np.zeros((len(time) - 1, len(p)))
    moved = np.array([robot.index(name) for name in chunk.joint_names])
    rows, values = knots(start, chunk, p[moved])
    for j, i in enumerate(moved):
        reference[:, i] = np.interp(time - start.delay, rows, values[:, j])
    return reference[:-1], np.diff(reference, axis=0) / T


def knots(start: Start, chunk: ActionChunk, p: Array) -> tuple[Array, Array]:
    """(times (r + 1,) s from the start's stamp, positions (r + 1, k)): row i is for the chunk's stamp
    + (i + 1) step_dt, and it begins where the joints' set-points ``p`` (k,) are."""
    rows: Array = seconds(start, chunk.stamp_ns) + chunk.step_dt * np.arange(len(chunk.positions) + 1, dtype=np.float64)
    return rows, np.vstack((p, chunk.positions))
