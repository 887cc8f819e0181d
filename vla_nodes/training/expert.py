"""The expert that demonstrates: inverse kinematics gives the postures, a small tree of postures gives the ways.

rest - ready - {above(p) - touch(p), point(p), wave, raised}. ``ready`` has the elbow back and the forearm folded, so
that an arm gets past the table's edge; p is the top of a thing. Whatever an arm does, it is on an edge of this tree,
and what it should do next follows from where it is: the demonstrations need no memory. Positions in m in the base
frame, angles in rad; an arm is its 7 joints in the order of the robot file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from vla_nodes.core import postures
from vla_nodes.core.body import Body
from vla_nodes.core.clearance import Clearance
from vla_nodes.core.ik import ArmIk, Wish
from vla_nodes.core.reach import ABOVE, AXIS_WEIGHT, POINT_DISTANCES, STARTS, TOUCH_SLOPES

#: Where tops of things are demonstrated (low, high), m: the reachable part of a table, with a margin all round.
REGION = np.array([[0.27, -0.15, 0.06], [0.385, 0.15, 0.11]])
#: A thing's middle is about this far below its top; the hand presses this far into the top, m.
HALF_HEIGHT, PRESS = 0.03, 0.006
#: Elbow back, forearm folded: from here every goal is reached in a straight line of joint space.
READY = {"shoulder_pitch": 0.5, "shoulder_roll": 0.25, "elbow": -0.4}
#: Slope of a pointing hand, rad below level.
POINT_SLOPE = 0.85
#: The best fit may miss by this much and still be shown, m.
GOOD = 0.01
#: Further than this from the smooth fit a solution is another branch of the inverse kinematics, rad.
BRANCH = 0.25
SIDES = ("left", "right")


class ExpertError(ValueError):
    """A robot or region for which no demonstrations can be made."""


@dataclass(frozen=True)
class Postures:
    """Arm postures for ``tops`` (m, 3): ``above``, ``touch`` and ``point`` (2, m, 7), the left arm first; the fixed
    ones ``rest``, ``ready``, ``wave`` and ``raised`` (2, 7); ``swing`` index of the joint that swings in waving."""

    tops: Array
    above: Array
    touch: Array
    point: Array
    rest: Array
    ready: Array
    wave: Array
    raised: Array
    swing: int


class Expert:
    """Inverse kinematics of one robot with one start and one slope, so that near goals have near postures."""

    def __init__(self, robot: RobotModel) -> None:
        postures.check(robot)
        if set(robot.hands) != set(SIDES):
            raise ExpertError(
                f"robot '{robot.name}' has hands {sorted(robot.hands)}; a left and a right one are needed"
            )
        self.robot = robot
        self.body = Body(robot)
        self.ik = ArmIk(robot, self.body.kinematics, waist=False)
        self._clearance = Clearance(robot)
        self._arm = {side: np.array(robot.groups[f"{side}_arm"], dtype=np.intp) for side in SIDES}
        self._shoulder = {side: self._shoulder_of(side) for side in SIDES}

    def postures(self, tops: Array, progress: Callable[[int], None] = lambda k: None) -> Postures:
        """Solve for tops (m, 3); those that one of the hands does not reach are left out."""
        kept: list[Array] = []
        solved: list[list[list[Array]]] = []
        for k, top in enumerate(tops):
            both = [self._at(side, top) for side in SIDES]
            if all(found is not None for found in both):
                kept.append(top)
                solved.append([list(found) for found in both if found is not None])
            progress(k + 1)
        if not kept:
            raise ExpertError("none of the places can be reached by both hands")
        tops, found = np.array(kept), np.array(solved)
        whole = _on_one_branch(tops, found.reshape(len(tops), -1))
        tops, (above, touch, point) = tops[whole], found[whole].transpose(2, 1, 0, 3)
        return Postures(tops, above, touch, point, self._fixed({}, rest=True), self._fixed(READY),
                        self._fixed(postures.WAVE), self._fixed(postures.RAISED), self._swing())  # fmt: skip

    def _at(self, side: str, top: Array) -> tuple[Array, Array, Array] | None:
        """(above, touch, point) of one arm, or None where the hand does not get there."""
        robot, hand = self.robot, self.robot.hands[side]
        start = postures.arm(robot, robot.rest, side, STARTS[0])
        axis = self._sloping(side, top, TOUCH_SLOPES[0])
        point, q = hand.point, start
        at = top - [0.0, 0.0, PRESS]
        for _ in range(3):
            touch = self.ik.solve(Wish(side, at, point, axis, AXIS_WEIGHT), [q], start)
            q = touch.q
            low = self._clearance.lowest(hand.link, q, np.array([0.0, 0.0, 1.0]))
            if low is None:
                break
            point = low
        where, direction = self.body.hand(touch.q, side)
        above = self.ik.solve(Wish(side, where + [0.0, 0.0, ABOVE], hand.point, direction, 0.1), [touch.q], touch.q)
        # from where it would touch, backwards along the hand: folded further, it would come near the body
        ahead = hand.point + POINT_DISTANCES[-1] * hand.axis
        middle = top - [0.0, 0.0, HALF_HEIGHT]
        wish = Wish(side, middle, ahead, self._sloping(side, middle, POINT_SLOPE), AXIS_WEIGHT)
        pointing = self.ik.solve(wish, [above.q], above.q)
        if max(touch.error, pointing.error) > GOOD or above.error > 0.03:
            return None
        arm = self._arm[side]
        return above.q[arm], touch.q[arm], pointing.q[arm]

    def _fixed(self, values: dict[str, float], rest: bool = False) -> Array:
        q = self.robot.rest
        return np.array([(q if rest else postures.arm(self.robot, q, side, values))[self._arm[side]] for side in SIDES])

    def _swing(self) -> int:
        return list(self._arm["left"]).index(self.robot.index("left_shoulder_yaw_joint"))

    def _sloping(self, side: str, at: Array, slope: float) -> Array:
        """Direction (3,) of the hand, from the shoulder's side down onto a point, as the classical policy has it."""
        shoulder = self._shoulder[side]
        yaw = 0.8 * float(np.arctan2(at[1] - shoulder[1], max(at[0] - shoulder[0], 0.05)))
        return np.array([np.cos(slope) * np.cos(yaw), np.cos(slope) * np.sin(yaw), -np.sin(slope)])

    def _shoulder_of(self, side: str) -> Array:
        robot = self.robot
        first = robot.joint_names[robot.groups[f"{side}_arm"][0]]
        link = next((b.link for b in robot.bodies if b.joint == first), robot.hands[side].link)
        self.body.kinematics.update(robot.rest)
        return self.body.kinematics.position(link).copy()


def _on_one_branch(tops: Array, solved: Array) -> np.ndarray:
    """Which solutions (m,) belong to the same branch as most: near to a cubic fit of all, found twice."""
    x = (tops - tops.mean(axis=0)) / (np.ptp(tops, axis=0) / 2.0 + 1e-9)
    powers = [(i, j, k) for i in range(4) for j in range(4) for k in range(4) if i + j + k <= 3]
    basis = np.stack([x[:, 0] ** i * x[:, 1] ** j * x[:, 2] ** k for i, j, k in powers], axis=1)
    whole = np.ones(len(tops), dtype=bool)
    if len(tops) < 4 * len(powers):
        return whole
    for _ in range(2):
        fit = np.linalg.lstsq(basis[whole], solved[whole], rcond=None)[0]
        whole = np.max(np.abs(basis @ fit - solved), axis=1) < BRANCH
    return whole


def places(count: int, rng: np.random.Generator) -> Array:
    """Tops (count, 3) spread over the region, with its corners."""
    corners = np.array(np.meshgrid(*REGION.T)).reshape(3, -1).T
    return np.vstack([corners, rng.uniform(REGION[0], REGION[1], (max(count - len(corners), 0), 3))])[:count]
