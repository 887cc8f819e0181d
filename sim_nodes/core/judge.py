"""Did the robot do what it was told? Judged from the simulator's truth, which no policy sees.

| verb  | success |
|---|---|
| touch | hand surface within 15 mm of the object's surface for 0.1 s; the object stays on the table |
| point | for 0.5 s: ray along the hand within 8 cm of the object's centre, surfaces at most 35 cm apart, no contact |
| wave  | hand above the shoulder, there and back at least twice, each way at least 8 cm |
| raise | hand at least 10 cm above the shoulder for 1 s |
| rest  | hand within 10 cm of where it hangs in the rest posture, for 1 s |

and the robot never falls. 15 mm is what camera depth and joint noise leave of a hand that means to touch; times
are those of the truth's stamps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from humanoid_core.kinematics import Kinematics
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ObjectTruth, SimTruth
from sim_nodes.core.fault_list import nearest

VERBS = ("touch", "point", "wave", "raise", "rest")
SIDES = ("left", "right", "either")
TOUCH_DISTANCE, TOUCH_TIME, DROP = 0.015, 0.1, 0.10
POINT_MISS, POINT_DISTANCE, POINT_TIME, CONTACT = 0.08, 0.35, 0.5, 0.002
SWING, SWINGS = 0.08, 2
RAISE, RAISE_TIME = 0.10, 1.0
REST, REST_TIME = 0.10, 1.0


class JudgeError(ValueError):
    """A task that cannot be judged; the message names the word and the valid ones."""


@dataclass(frozen=True)
class Verdict:
    """``distance`` in m: nearest approach (touch), miss of the ray (point), longest swing (wave), height over the
    shoulder (raise), distance from rest (rest); NaN: never measured."""

    success: bool
    reason: str
    distance: float
    side: str = ""


@dataclass
class _Hand:
    """What was seen of one hand."""

    side: str
    done: bool = False
    best: float = math.nan
    since_ns: int | None = None  # when the condition became true
    turn: float = math.nan  # sideways position of the last turning point
    far: float = math.nan  # furthest since
    travels: int = 0


class Judge:
    """Feed it every truth sample in order, then ask for the verdict."""

    def __init__(self, robot: RobotModel, verb: str, thing: str = "", side: str = "either") -> None:
        if verb not in VERBS:
            raise JudgeError(f"unknown verb '{verb}'; {nearest(verb, VERBS)}")
        if side not in SIDES:
            raise JudgeError(f"unknown hand '{side}'; {nearest(side, SIDES)}")
        if verb in ("touch", "point") and not thing:
            raise JudgeError(f"{verb}: name an object, for example 'red cube'")
        self.verb, self.thing, self.side = verb, thing, side
        self._words = [w for w in thing.lower().split() if w not in ("object", "thing")]
        sides = ("left", "right") if side == "either" else (side,)
        self._hands = {s: _Hand(s) for s in sides if s in robot.hands}
        if not self._hands:
            raise JudgeError(f"{robot.name} has no {side} hand")
        self._shoulder, self._rest = _postures(robot)
        self._fallen = self._dropped = False
        self._seen_thing = False
        self._height: dict[str, float] = {}
        self._samples = 0
        self._steps: dict[str, Callable[[SimTruth, _Hand], None]] = {
            "touch": self._touch, "point": self._point, "wave": self._wave, "raise": self._raise, "rest": self._at_rest}

    def feed(self, truth: SimTruth) -> None:
        """One sample."""
        self._samples += 1
        self._fallen |= truth.fallen
        for hand in self._hands.values():
            self._steps[self.verb](truth, hand)

    def verdict(self) -> Verdict:
        """What is known now."""
        # the hand that did it, else the one that came nearest
        hands = sorted(self._hands.values(), key=lambda h: (not h.done, self._rank(h.best)))
        hand = hands[0]
        reason = self._failure(hand)
        return Verdict(not reason, reason or self._success(hand), hand.best, hand.side)

    def _rank(self, best: float) -> float:
        if math.isnan(best):
            return math.inf
        return -best if self.verb in ("wave", "raise") else best

    def _failure(self, hand: _Hand) -> str:
        if not self._samples:
            return "nothing was seen of the simulation (sim/truth)"
        if self._fallen:
            return "the robot fell"
        if self.verb in ("touch", "point") and not self._seen_thing:
            return f"there is no {self.thing} on the table"
        if self._dropped:
            return f"the {self.thing} was pushed off the table"
        if hand.done:
            return ""
        got = f"{hand.best * 100:.1f} cm"
        return {
            "touch": f"the {hand.side} hand came no nearer to the {self.thing} than {got}",
            "point": f"the {hand.side} hand did not point at the {self.thing} from close by; nearest miss {got}",
            "wave": f"the {hand.side} hand made {hand.travels // 2} of {SWINGS} swings; the longest {got}",
            "raise": f"the {hand.side} hand was not held up; highest {got} over the shoulder",
            "rest": f"the {hand.side} hand did not come to rest; nearest {got}",
        }[self.verb]

    def _success(self, hand: _Hand) -> str:
        return {
            "touch": f"the {hand.side} hand touched the {self.thing}",
            "point": f"the {hand.side} hand pointed at the {self.thing}",
            "wave": f"the {hand.side} hand waved {hand.travels // 2} times",
            "raise": f"the {hand.side} hand was raised",
            "rest": f"the {hand.side} hand came to rest",
        }[self.verb]

    # --- one sample of one hand

    def _held(self, truth: SimTruth, hand: _Hand, condition: bool, seconds: float) -> None:
        """Done once the condition has been true at every sample for a while."""
        if not condition:
            hand.since_ns = None
            return
        if hand.since_ns is None:
            hand.since_ns = truth.stamp_ns
        hand.done |= truth.stamp_ns - hand.since_ns >= round(seconds * NS)

    def _object(self, truth: SimTruth) -> ObjectTruth | None:
        for item in truth.objects:
            if all(word in item.name.lower().split() for word in self._words):
                self._seen_thing = True
                height = self._height.setdefault(item.name, float(item.position[2]))
                self._dropped |= bool(item.position[2] < height - DROP)
                return item
        return None

    def _touch(self, truth: SimTruth, hand: _Hand) -> None:
        item = self._object(truth)
        if item is None:
            return
        distance = _distance(item, hand.side)
        hand.best = _less(hand.best, distance)
        self._held(truth, hand, distance <= TOUCH_DISTANCE, TOUCH_TIME)

    def _point(self, truth: SimTruth, hand: _Hand) -> None:
        item = self._object(truth)
        if item is None:
            return
        position, axis = _hand_of(truth, hand.side)
        ahead = item.position - position
        along = float(ahead @ axis)
        miss = float(np.linalg.norm(ahead - along * axis)) if along > 0.0 else math.inf
        distance = _distance(item, hand.side)
        near = CONTACT < distance <= POINT_DISTANCE
        if near and math.isfinite(miss):
            hand.best = _less(hand.best, miss)
        self._held(truth, hand, near and miss <= POINT_MISS, POINT_TIME)

    def _wave(self, truth: SimTruth, hand: _Hand) -> None:
        position, _ = _hand_of(truth, hand.side)
        if not position[2] > self._over(truth, hand.side):
            hand.turn = hand.far = math.nan
            return
        y = _in_base(truth, position)[1]
        if math.isnan(hand.turn):
            hand.turn = hand.far = y
        # A way ends where the hand has come back from its far point by a quarter of a swing.
        if abs(y - hand.turn) >= abs(hand.far - hand.turn):
            hand.far = y
        way = abs(hand.far - hand.turn)
        hand.best = way if math.isnan(hand.best) else max(hand.best, way)
        if abs(y - hand.far) >= SWING / 4:
            hand.travels += way >= SWING
            hand.turn, hand.far = hand.far, y
        hand.done |= hand.travels >= 2 * SWINGS

    def _raise(self, truth: SimTruth, hand: _Hand) -> None:
        position, _ = _hand_of(truth, hand.side)
        over = float(position[2] - self._over(truth, hand.side))
        hand.best = over if math.isnan(hand.best) else max(hand.best, over)
        self._held(truth, hand, over >= RAISE, RAISE_TIME)

    def _at_rest(self, truth: SimTruth, hand: _Hand) -> None:
        position, _ = _hand_of(truth, hand.side)
        distance = float(np.linalg.norm(_in_base(truth, position) - self._rest[hand.side]))
        hand.best = distance  # where it is now counts, not where it was
        self._held(truth, hand, distance <= REST, REST_TIME)
        if distance > REST:
            hand.done = False

    def _over(self, truth: SimTruth, side: str) -> float:
        """Height of the shoulder above the floor, m (the base upright)."""
        return float(truth.base_position[2]) + self._shoulder[side]


def _postures(robot: RobotModel) -> tuple[dict[str, float], dict[str, Array]]:
    """Per side: height of the shoulder over the base, and where the hand rests in the base frame, m."""
    kinematics = Kinematics(robot)
    shoulder: dict[str, float] = {}
    rest: dict[str, Array] = {}
    kinematics.update(robot.rest)
    base = kinematics.position(robot.base_link)
    turn = kinematics.rotation(robot.base_link)
    for side in robot.hands:
        arm = robot.groups.get(f"{side}_arm") or robot.groups["upper_body"]
        joint = kinematics.model.joint(robot.joint_names[arm[0]]).id
        shoulder[side] = float(kinematics.data.xanchor[joint][2] - base[2])
        rest[side] = turn.T @ (kinematics.hand(side)[0] - base)
    return shoulder, rest


def _hand_of(truth: SimTruth, side: str) -> tuple[Array, Array]:
    if side == "left":
        return truth.left_hand, truth.left_axis
    return truth.right_hand, truth.right_axis


def _distance(item: ObjectTruth, side: str) -> float:
    return item.left_hand_distance if side == "left" else item.right_hand_distance


def _in_base(truth: SimTruth, point: Array) -> Array:
    """A point of the world in the base's frame."""
    w, x, y, z = truth.base_orientation
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])
    return np.asarray(rotation.T @ (point - truth.base_position), dtype=np.float64)


def _less(best: float, value: float) -> float:
    if math.isnan(value):
        return best
    return value if math.isnan(best) else min(best, value)
