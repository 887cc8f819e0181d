"""Where the arm must be to touch a thing or to point at it, and how to get there without hitting anything."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from vla_nodes.core.body import Body, Frame
from vla_nodes.core.clearance import SELF_LEAST, SELF_ROOM, Clearance, World
from vla_nodes.core.ik import ArmIk, Reach, Wish
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.motion import Plan
from vla_nodes.core.postures import arm, rested, vias

#: Largest distance from hand to target that still counts as reached, m.
REACHED = 0.008
#: The hand comes from this far above a thing, and presses this far into its top, m.
ABOVE, PRESS = 0.09, 0.004
#: Slopes of the hand when touching and when pointing, rad below level; the first that works is taken.
TOUCH_SLOPES = (0.75, 0.5, 0.95)
POINT_SLOPES = (0.6, 0.85, 1.1)
#: Distances of the hand point from a thing's centre when pointing, m.
POINT_DISTANCES = (0.17, 0.13)
#: Elbow out, so that the arm passes in front of the body; elbow down; arm high.
STARTS = (
    {"shoulder_pitch": -0.5, "shoulder_roll": 0.6, "shoulder_yaw": -0.9, "elbow": 0.2},
    {"shoulder_pitch": -0.3, "shoulder_roll": 0.3, "elbow": 0.2},
    {"shoulder_pitch": -0.8, "shoulder_roll": 0.5, "shoulder_yaw": -1.2, "elbow": 0.3},
)
#: How much the slope of the hand matters against a comfortable arm.
AXIS_WEIGHT = 0.15
OVERLAPS = (0.35, 0.2, 0.0)


@dataclass(frozen=True)
class Target:
    """A thing in the stance frame: ``top`` and ``centre`` (3,), ``radius``, m."""

    top: Array
    centre: Array
    radius: float


@dataclass(frozen=True)
class Goal:
    """Posture ``q`` (n,) and the ones to pass before it; ``axis`` (3,) of the hand in the stance frame;
    ``point`` (3,) in the hand link's frame that is led to the thing: on the hand, or ahead of it."""

    q: Array
    way: tuple[Array, ...]
    axis: Array
    point: Array


class Reacher:
    """Plans for one robot. Not for use from two threads at once."""

    def __init__(self, robot: RobotModel) -> None:
        self.robot = robot
        self.body = Body(robot)
        self.ik = ArmIk(robot, self.body.kinematics)
        self.clearance = Clearance(robot)

    # --- goals ----------------------------------------------------------------------------------------------

    def touch(self, side: str, target: Target, world: World, q: Array) -> Goal | Refusal:
        """From above onto the thing's top. ``q`` (n,) the posture to start from, legs as measured."""
        tried = _Tried(side)
        found: list[_Candidate] = []
        for slope in TOUCH_SLOPES:
            axis = self._sloping(side, target.top, world.stance, q, slope)
            for start in self._starts(side, q):
                reach, point = self._lowest_on(side, target.top - [0.0, 0.0, PRESS], axis, world.stance, start)
                if tried.near(reach.error):
                    found.append(_Candidate(_effort(reach.q, start), reach.q, axis, point))
        self.clearance.place(world)
        for c in self._roomiest(found):
            above = self.raised(side, c.q, ABOVE, world.stance)
            self.clearance.place(world)
            if above is None or tried.hit(self._hits(c.q)):
                continue
            self.clearance.place(_with(world, target))
            way = self.clearance.connect(q, above, vias(self.robot, q, side))
            if way is not None:
                return Goal(c.q, tuple(way), c.axis, c.point)
        return tried.refusal()

    def point(self, side: str, target: Target, world: World, q: Array) -> Goal | Refusal:
        """The hand's axis through the thing's centre, from a hand's length away: a point that far ahead of the
        hand is brought to the centre, from whichever side the arm finds comfortable."""
        tried = _Tried(side)
        hand = self.robot.hands[side]
        found: list[_Candidate] = []
        for distance, slope in product(POINT_DISTANCES, POINT_SLOPES):
            axis = self._sloping(side, target.centre, world.stance, q, slope)
            ahead = hand.point + distance * hand.axis
            for start in self._starts(side, q):
                reach = self._solve(side, target.centre, ahead, axis, world.stance, start)
                if tried.near(reach.error):
                    found.append(_Candidate(_effort(reach.q, start), reach.q, axis, ahead))
        self.clearance.place(_with(world, target))
        for c in self._roomiest(found):
            if tried.hit(self._hits(c.q)):
                continue
            way = self.clearance.connect(q, c.q, vias(self.robot, q, side))
            if way is not None:
                return Goal(c.q, tuple(way[:-1]), c.axis, c.point)
        return tried.refusal()

    def refine(self, side: str, goal: Goal, at: Array, world: World, q: Array) -> Array | None:
        """The posture near ``q`` (n,) with the goal's point at ``at`` (3,), stance frame; None when it would
        bring parts together that the goal keeps apart. Spare freedom stays as in the goal, so that many small
        corrections do not creep away from what was planned."""
        wish = Wish(side, world.stance.out(at), goal.point)
        wanted = self.ik.solve(wish, [q], goal.q).q
        self.clearance.place(world)
        new = self.clearance.touching(wanted, SELF_LEAST) - self.clearance.touching(goal.q, SELF_LEAST)
        return None if new else wanted

    def led(self, side: str, q: Array, point: Array, stance: Frame) -> Array:
        """Where a point (3,) of the hand link is in the stance frame at posture ``q`` (n,)."""
        self.body.kinematics.update(q)
        return stance.into(self.body.kinematics.position(self.robot.hands[side].link, point))

    def raised(self, side: str, q: Array, height: float, stance: Frame) -> Array | None:
        """The posture near ``q`` (n,) with the hand ``height`` m higher, or None."""
        hand, axis = self.body.hand(q, side)
        up = stance.rotation[:, 2]
        wish = Wish(side, hand + height * up, self.robot.hands[side].point, axis, 0.1)
        found = self.ik.solve(wish, [q], q)
        return found.q if found.error < 0.02 else None

    def _lowest_on(self, side: str, at: Array, axis: Array, stance: Frame, start: Array) -> tuple[Reach, Array]:
        """The hand with its lowest part, whichever that is when it slopes so, at a point: (reach, that part)."""
        point = self.robot.hands[side].point
        found = self._solve(side, at, point, axis, stance, start)
        for _ in range(2):
            low = self.clearance.lowest(self.robot.hands[side].link, found.q, stance.rotation[:, 2])
            if low is None or found.error > 3 * REACHED:
                break
            point = low
            found = self._solve(side, at, point, axis, stance, start, found.q)
        return found, point

    def _sloping(self, side: str, point: Array, stance: Frame, q: Array, slope: float) -> Array:
        """Direction (3,), stance frame, from the shoulder's side down onto a point."""
        self.body.kinematics.update(q)
        shoulder = stance.into(self.body.kinematics.position(_shoulder(self.robot, side)))
        yaw = 0.8 * float(np.arctan2(point[1] - shoulder[1], max(point[0] - shoulder[0], 0.05)))
        return np.array([np.cos(slope) * np.cos(yaw), np.cos(slope) * np.sin(yaw), -np.sin(slope)])

    def _starts(self, side: str, q: Array) -> list[Array]:
        return [arm(self.robot, q, side, values) for values in STARTS]

    def _solve(
        self, side: str, at: Array, point: Array, axis: Array, stance: Frame, posture: Array, start: Array | None = None
    ) -> Reach:
        wish = Wish(side, stance.out(at), point, stance.rotation @ axis, AXIS_WEIGHT)
        return self.ik.solve(wish, [posture if start is None else start], posture)

    def _roomiest(self, found: list[_Candidate]) -> list[_Candidate]:
        """Least contorted first; those that leave no room for corrections last."""
        return sorted(found, key=lambda c: (bool(self.clearance.touching(c.q, SELF_ROOM)), c.effort))

    def _hits(self, q: Array) -> str:
        new = self.clearance.touching(q)
        return " and ".join(min(new)) if new else ""

    # --- ways -----------------------------------------------------------------------------------------------

    def home(self, side: str, world: World, q: Array, lift: float) -> list[Array] | None:
        """Postures from ``q`` (n,) to one arm at rest, the hand going up by ``lift`` m first."""
        self.clearance.place(world)
        goal = rested(self.robot, q, side)
        above = self.raised(side, q, lift, world.stance) if lift > 0.0 else None
        begin = q if above is None else above
        way = self.clearance.connect(begin, goal, vias(self.robot, begin, side))
        if way is None:
            return None
        return way if above is None else [above, *way]

    def posture(self, side: str, world: World, q: Array, goal: Array) -> list[Array] | None:
        """Postures from ``q`` (n,) to ``goal`` (n,), moving one arm."""
        self.clearance.place(world)
        return self.clearance.connect(q, goal, vias(self.robot, q, side))

    def lay(self, plan: Plan, way: Sequence[Array], now_ns: int, slow: float = 1.0) -> None:
        """Append postures to a plan, rounding the corners as far as the way stays clear."""
        if not way:
            return
        for overlap in OVERLAPS:
            trial = copy.deepcopy(plan)
            for q in way:
                trial.then(q, now_ns, overlap, slow)
            times = np.arange(now_ns, trial.end_ns, 0.04 * NS)
            if overlap == 0.0 or not self.clearance.blocked_path(trial.sample(times)):
                break
        for q in way:
            plan.then(q, now_ns, overlap, slow)


def _with(world: World, target: Target) -> World:
    return World(world.stance, world.table, world.edge, (*world.things, (target.top, target.radius)))


def _shoulder(robot: RobotModel, side: str) -> str:
    """The link that the arm's first joint moves."""
    first = robot.joint_names[robot.groups[f"{side}_arm"][0]]
    for body in robot.bodies:
        if body.joint == first:
            return body.link
    return robot.hands[side].link


def _effort(q: Array, comfortable: Array) -> float:
    """How contorted a posture is: joint angles away from the comfortable one, rad."""
    return float(np.sum(np.abs(q - comfortable)))


@dataclass(frozen=True)
class _Candidate:
    effort: float
    q: Array
    axis: Array
    point: Array


class _Tried:
    """Why none of the candidates for a goal works."""

    def __init__(self, side: str) -> None:
        self.side = side
        self._error, self._why = float("inf"), ""

    def near(self, error: float) -> bool:
        self._error = min(self._error, error)
        return error <= REACHED

    def hit(self, what: str) -> bool:
        self._why = f"{what} would collide" if what else self._why
        return bool(what)

    def refusal(self) -> Refusal:
        if self._error > REACHED:
            return Refusal("UNREACHABLE", f"the {self.side} hand stays {self._error * 100:.1f} cm away")
        why = self._why or "there is no way past table and body"
        return Refusal("UNREACHABLE", f"the {self.side} hand could get there, but {why}")
