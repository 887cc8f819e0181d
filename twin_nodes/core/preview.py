"""What a chunk would do: the joints' way from the estimated state, and how near that comes to limits.

The gate's set-points follow the chunk within the command limits (follow), the joints follow these under their drives
(rollout). Postures on the way are looked at for distances and balance. A violation is what comes below its margin and
is worse than it was at the start: a way out is none.

Balance is quasi-static: the base stays as it is turned, the feet that stand stay where they are, and the centre of
mass of each posture goes with the speed that the joints above give it and the speed that the base has now. From there
the capture point of the linear inverted pendulum (humanoid_core/kinematics.py). What the onboard balance controller
does about it is not foreseen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from humanoid_core.distance import Distances, Near
from humanoid_core.environment import Obstacle
from humanoid_core.kinematics import Kinematics, capture_point, support_margin, support_polygon
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.types import ActionChunk
from twin_nodes.core.follow import Path, T, follow, knots
from twin_nodes.core.revision import Revision
from twin_nodes.core.rollout import Rollout
from twin_nodes.core.start import Start

#: Postures are looked at for distances and balance once in so many steps of 10 ms.
EACH = 5
#: Beyond a limit by less than this is on it: rounding of what was sent, noise of what was measured; rad and m.
SLACK, SAME = 2e-3, 1e-4

#: Feet that moved by less than this, m, stand where they stood.
STOOD = 1e-4

#: (time s, code, subject)
Found = tuple[float, str, str]


@dataclass(frozen=True)
class Look:
    """``time`` (t,) s from the start, ``trajectory`` (t, n) rad in robot order.

    joint_margin: smallest distance of a moved joint, or of what is asked of it, to its limits, negative outside (rad).
    self_distance, environment_distance: smallest distance between links, and between a link and an obstacle, m; the cap
    where nothing comes nearer, NaN without collision shapes or obstacles. support_margin: capture point to the edge of
    the polygon of the standing feet, m; 0 for a fixed base. code: first violation, '' for none, with its time and what
    it is about.
    """

    time: Array
    trajectory: Array
    joint_margin: float
    self_distance: float
    environment_distance: float
    support_margin: float
    code: str
    code_time: float
    subject: str


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
    """Has its own copies of the model, so that it can run beside the twin. Not for two threads at once."""

    def __init__(self, robot: RobotModel, cap: float, environment: tuple[Obstacle, ...] = (),
                 self_margin: float = 0.001) -> None:
        self.robot, self.cap, self._surrounded = robot, cap, bool(environment)
        self.rollout = Rollout(robot)
        self.distances = Distances(robot, environment, cap, self_margin)
        self.kinematics = Kinematics(robot)
        self._revision: Revision | None = None
        model = self.kinematics.model
        self._collides = bool(np.any((model.geom_contype != 0) & (model.geom_conaffinity != 0)))

    def look(self, start: Start, chunk: ActionChunk | None, horizon: float, scale: float = 1.0) -> Look:
        """``chunk`` None: the set-points come to rest. ``scale``: share of the command speed. A valid chunk only."""
        robot = self.robot
        if start.revision is not self._revision:
            self._follow(start.revision)
        chunk = self._obeyed(chunk)
        steps = max(1, round(horizon / T))
        time: Array = T * np.arange(steps + 1, dtype=np.float64)
        path = follow(robot, start, chunk, scale, steps)
        q, v = self.rollout.run(start, path)
        moved = path.on if chunk is None else np.isin(robot.joint_names, chunk.joint_names)
        margin, found = self._limits(q, path, moved if moved.any() else np.ones(robot.n, dtype=bool), time)
        if chunk is not None:
            found += self._rates(start, chunk, path, horizon)
        near, around, distances = self._distances(q[::EACH], time[::EACH])
        support, falls = self._balance(start, path, q[::EACH], v[::EACH], time[::EACH])
        code_time, code, subject = min(found + distances + falls, default=(float("nan"), "", ""))
        return Look(time, q, margin, near, around, support, code, code_time, subject)

    # --- what is looked at

    def _follow(self, revision: Revision | None) -> None:
        self._revision = revision
        known = revision or Revision.of(self.robot)
        self.rollout.follow(known)
        self.kinematics.carry(known.payload)

    def _obeyed(self, chunk: ActionChunk | None) -> ActionChunk | None:
        """The chunk as the joints will go: it is commanded, and a drive obeys its encoder (see drives.py)."""
        if chunk is None or self._revision is None or not self._revision.encoder_offset.any():
            return chunk
        index = [self.robot.index(name) for name in chunk.joint_names]
        return replace(chunk, positions=chunk.positions - self._revision.encoder_offset[index])

    def _limits(self, q: Array, path: Path, moved: npt.NDArray[np.bool_], time: Array) -> tuple[float, list[Found]]:
        """Where the joints go and where they are asked to go."""
        robot = self.robot
        there = np.minimum(q - robot.lower, robot.upper - q)
        asked = np.minimum(path.position - robot.lower, robot.upper - path.position)
        worst = np.minimum(there, np.where(path.on, asked, np.inf))[:, moved]
        bad = worst < np.minimum(0.0, worst[0]) - SLACK
        names = [name for name, m in zip(robot.joint_names, moved, strict=True) if m]
        return float(worst.min()), _first("LIMIT_POSITION", time, bad, names)

    def _rates(self, start: Start, chunk: ActionChunk, path: Path, horizon: float) -> list[Found]:
        """Rows that ask for more than a joint can do."""
        index = [self.robot.index(name) for name in chunk.joint_names]
        rows, values = knots(start, chunk, path.position[0, index])
        speed = np.abs(np.diff(values, axis=0)) / chunk.step_dt
        bad = (speed > self.robot.velocity[index]) & ((rows[1:] >= 0.0) & (rows[1:] <= horizon))[:, None]
        return _first("LIMIT_RATE", rows[1:], bad, list(chunk.joint_names))

    def _distances(self, q: Array, time: Array) -> tuple[float, float, list[Found]]:
        """Of each posture; when a margin is crossed is interpolated."""
        found: list[Found] = []
        near, around = self.cap, self.cap
        first: dict[tuple[str, str], Near] = {}
        before: dict[tuple[str, str], Near] = {}
        for k, posture in enumerate(q):
            pairs = self.distances.pairs(posture)
            first = pairs if k == 0 else first
            for key, now in pairs.items():
                if now.obstacle:
                    around = min(around, now.distance)
                else:
                    near = min(near, now.distance)
                at_first = first[key].distance if key in first else self.cap
                if k and now.distance < now.margin and now.distance < at_first - SAME:
                    was = before[key].distance if key in before else self.cap
                    share = min(max((was - now.margin) / max(was - now.distance, 1e-9), 0.0), 1.0)
                    when = float(time[k - 1] + share * (time[k] - time[k - 1]))
                    found.append((when, "ENVIRONMENT" if now.obstacle else "SELF_COLLISION",
                                  f"{now.first} and {now.second}"))
            before = pairs
        return near if self._collides else float("nan"), around if self._surrounded else float("nan"), found

    def _balance(self, start: Start, path: Path, q: Array, v: Array, time: Array) -> tuple[float, list[Found]]:
        k, robot = self.kinematics, self.robot
        if not k.free or not robot.feet:
            return 0.0, []
        feet = [i for i, on in enumerate(start.feet) if on] or list(range(len(robot.feet)))
        margins, speeds = [], np.where(path.on, v, 0.0)
        stood: Array = np.full((1, 3), np.inf)
        for posture, speed in zip(q, speeds, strict=True):
            k.update(posture, base_quat=start.base, dq=speed, base_linear=start.linear, base_angular=start.turning)
            points = k.foot_points()
            ground = np.vstack([points[i] for i in feet])
            if len(ground) != len(stood) or float(np.abs(ground - stood).max()) > STOOD:
                stood, polygon, low = ground, support_polygon(ground[:, :2]), float(ground[:, 2].min())
            com = k.com()
            margins.append(support_margin(polygon, capture_point(com, k.com_velocity(), float(com[2]) - low)))
        worst = np.array(margins)
        return float(worst.min()), _first("SUPPORT", time, (worst < 0.0)[:, None], ["balance"])


def _first(code: str, time: Array, bad: npt.NDArray[np.bool_], names: list[str]) -> list[Found]:
    """The first row of ``bad`` (t, k) in which something is, and what."""
    rows = bad.any(axis=1)
    if not rows.any():
        return []
    k = int(np.argmax(rows))
    return [(float(time[k]), code, names[int(np.argmax(bad[k]))])]
