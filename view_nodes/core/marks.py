"""What is drawn over the robot: the pending plan as a fading trail, balance, what comes near, the safety level.

World frame, metres; colours r g b a, 0..1. Knows no message: `scene_markers` makes markers of it, and the pictures in
docs/ are drawn from the same marks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humanoid_core.distance import Distances
from humanoid_core.environment import Obstacle
from humanoid_core.kinematics import Kinematics, support_polygon
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk, Level, RobotState, SafetyStatus, TwinState

Rgba = tuple[float, float, float, float]
LINE, BALL, TEXT = "line", "ball", "text"
COLOURS: dict[Level, Rgba] = {Level.SAFE: (0.2, 0.7, 0.25, 1.0), Level.CAUTION: (0.85, 0.75, 0.1, 1.0),
                              Level.WARNING: (0.95, 0.5, 0.05, 1.0), Level.DANGER: (0.9, 0.15, 0.15, 1.0),
                              Level.EMERGENCY: (0.6, 0.0, 0.0, 1.0)}
HANDS: dict[str, Rgba] = {"left": (0.1, 0.6, 1.0, 1.0), "right": (1.0, 0.45, 0.1, 1.0)}
GROUND: Rgba = (0.2, 0.7, 0.25, 0.9)
COM: Rgba = (1.0, 0.76, 0.03, 1.0)
OUTSIDE: Rgba = (0.9, 0.15, 0.15, 1.0)
#: s ahead after which a trail has faded away.
FADE = 1.5
#: Share of the robot's weight on a foot that counts as standing on it.
STANDS = 0.05
GRAVITY = 9.81
MOST_NEAR = 8
ABOVE = 0.72  # m from the base up to the text


@dataclass(frozen=True)
class Mark:
    """``points`` (k, 3) of a line, (1, 3) of a ball or a text; ``colours`` one, or one per point. ``size``: width of a
    line, diameter of a ball, height of a letter, m."""

    group: str
    kind: str
    points: Array
    colours: tuple[Rgba, ...]
    size: float
    text: str = ""


class Marks:
    """For one robot. Keeps scratch data: not for two threads at once."""

    def __init__(self, robot: RobotModel, environment: tuple[Obstacle, ...] = (), near: float = 0.05) -> None:
        self._robot, self._kinematics = robot, Kinematics(robot)
        self._distances = Distances(robot, environment, cap=near)
        self._chunk: ActionChunk | None = None
        self._trails: dict[str, Array] = {}
        self._weight = GRAVITY * float(self._kinematics.model.body_subtreemass[0])

    def draw(self, twin: TwinState, state: RobotState | None, status: SafetyStatus | None,
             chunk: ActionChunk | None, now_ns: int) -> tuple[Mark, ...]:
        """Everything at once. ``state`` and ``status`` None: silent. ``now_ns``: the time that stamps are in."""
        q = state.position if state is not None else twin.position
        if not (np.isfinite(q).all() and np.isfinite(twin.base_position).all()):
            return ()
        marks = [*self.trail(twin, q, chunk, now_ns), *self.balance(twin, q, state), *self.near(twin, q)]
        return (*marks, self.level(twin, status))

    def trail(self, twin: TwinState, q: Array, chunk: ActionChunk | None, now_ns: int) -> list[Mark]:
        """Where the hands go under the rest of the pending chunk; nearer in time is stronger."""
        if chunk is None or not set(chunk.joint_names) <= set(self._robot.joint_names):
            return []
        if chunk is not self._chunk:
            self._chunk, self._trails = chunk, self._ways(twin, q, chunk)
        due = (chunk.stamp_ns - now_ns) / NS + chunk.step_dt * np.arange(1, len(chunk.positions) + 1)
        ahead = due > 0.0
        marks = []
        for side, way in self._trails.items():
            points, late = way[ahead], due[ahead]
            if len(points) < 2:
                continue
            r, g, b, _ = HANDS[side]
            fading = tuple((r, g, b, float(max(0.05, 1.0 - t / FADE))) for t in late)
            marks.append(Mark(f"plan {side}", LINE, points, fading, 0.012))
            marks.append(Mark(f"goal {side}", BALL, points[-1:], ((r, g, b, 0.6),), 0.03))
        return marks

    def _ways(self, twin: TwinState, q: Array, chunk: ActionChunk) -> dict[str, Array]:
        columns = [self._robot.index(name) for name in chunk.joint_names]
        ways: dict[str, list[Array]] = {side: [] for side in self._robot.hands}
        posture = q.copy()
        for row in chunk.positions:
            posture[columns] = row
            self._kinematics.update(posture, twin.base_position, twin.base_orientation)
            for side, way in ways.items():
                way.append(self._kinematics.hand(side)[0])
        return {side: np.array(way).reshape(-1, 3) for side, way in ways.items()}

    def balance(self, twin: TwinState, q: Array, state: RobotState | None) -> list[Mark]:
        """Support polygon of the feet that carry, centre of mass above it, capture point."""
        self._kinematics.update(q, twin.base_position, twin.base_orientation)
        feet = self._kinematics.foot_points()
        carries = [True] * len(feet) if state is None else (state.foot_force[:, 2] > STANDS * self._weight).tolist()
        standing = [points for points, one in zip(feet, carries, strict=False) if one]
        marks = []
        ground = min((float(p[:, 2].min()) for p in feet), default=0.0) - self._robot.foot_radius
        if standing:
            corners = support_polygon(np.vstack(standing))
            ring = np.column_stack((np.vstack((corners, corners[:1])), np.full(len(corners) + 1, ground + 0.003)))
            inside = twin.support_margin > 0.0
            marks.append(Mark("support", LINE, ring, (GROUND if inside else OUTSIDE,), 0.008))
        if np.isfinite(twin.com).all():
            below = np.array([twin.com[0], twin.com[1], ground])
            marks += [Mark("com", BALL, twin.com[None], (COM,), 0.05),
                      Mark("com above", LINE, np.array([twin.com, below]), (COM,), 0.004)]
        if np.isfinite(twin.capture_point).all():
            point = np.array([[twin.capture_point[0], twin.capture_point[1], ground + 0.003]])
            marks.append(Mark("capture point", BALL, point, (GROUND if twin.support_margin > 0.0 else OUTSIDE,), 0.035))
        return marks

    def near(self, twin: TwinState, q: Array) -> list[Mark]:
        """The nearest points of links, and of links and obstacles, within the cap: a line and centimetres."""
        stand = self._distances.stand_on_soles(q)
        self._distances.pairs(q, base=stand)
        contact = self._distances.kinematics.data.contact
        order = np.argsort(contact.dist)[:MOST_NEAR]
        turn, shift = _between(stand, (twin.base_position, twin.base_orientation))
        marks = []
        for k in order.tolist():
            apart = float(contact.dist[k])
            if apart >= self._distances.cap:
                break
            half = 0.5 * apart * contact.frame[k, :3]
            ends = np.array([contact.pos[k] - half, contact.pos[k] + half]) @ turn.T + shift
            colour = OUTSIDE if apart <= 0.0 else (0.95, 0.5, 0.05, 1.0 - 0.8 * apart / self._distances.cap)
            marks += [Mark("near", LINE, ends, (colour,), 0.006),
                      Mark("near", TEXT, ends[:1] + [0.0, 0.0, 0.03], (colour,), 0.03, f"{100.0 * apart:.1f} cm")]
        return marks

    def level(self, twin: TwinState, status: SafetyStatus | None) -> Mark:
        """The safety level over the robot's head, with what holds it there."""
        point = (twin.base_position + [0.0, 0.0, ABOVE])[None]
        if status is None:
            return Mark("level", TEXT, point, ((0.4, 0.4, 0.4, 1.0),), 0.08, "NO MONITOR")
        words = status.level.name + (", stop latched" if status.estop_latched else "")
        if status.violations:
            worst = max(status.violations, key=lambda v: v.severity)
            words += f"\n{worst.code} {worst.subject}"
        return Mark("level", TEXT, point, (COLOURS[status.level],), 0.08, words.strip())


def _between(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
    """(rotation, shift) from the frame in which the base is at ``one`` to that in which it is at ``other``."""
    turn = _matrix(other[1]) @ _matrix(one[1]).T
    return turn, other[0] - turn @ one[0]


def _matrix(q: Array) -> Array:
    w, x, y, z = (q / np.linalg.norm(q)).tolist()
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])
