"""The judge: what counts as done, what does not, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS
from humanoid_core.types import ObjectTruth, SimTruth
from sim_nodes.core.judge import Judge, JudgeError, Verdict
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.truth import Truth

ROBOT = load_robot("g1")
BASE = np.array([0.0, 0.0, 0.75])
CUBE = np.array([0.33, 0.0, 0.81])
REST_LEFT = np.array([0.1, 0.25, 0.65])


def truth(k: int, **changes: object) -> SimTruth:
    """Sample k of 20 per second; the left hand is at ``left``, ``left_gap`` from the red cube."""
    left = np.asarray(changes.pop("left", REST_LEFT), dtype=float)
    axis = np.asarray(changes.pop("axis", (1.0, 0.0, 0.0)), dtype=float)
    cube = np.asarray(changes.pop("cube", CUBE), dtype=float)
    gap = float(changes.pop("left_gap", 0.4))  # type: ignore[arg-type]
    objects = (ObjectTruth("blue ball", CUBE + [0, 0.1, 0], np.array([1.0, 0, 0, 0]), 0.3, 0.3),
               ObjectTruth("red cube", cube, np.array([1.0, 0, 0, 0]), gap, 0.5))
    sample = SimTruth(1 + k * 50 * MS, BASE, np.array([1.0, 0, 0, 0]), left, np.array([0.1, -0.25, 0.65]), axis,
                      np.array([1.0, 0, 0]), objects)
    return replace(sample, **changes)  # type: ignore[arg-type]


def judged(verb: str, samples: int, at: Callable[[int], SimTruth], thing: str = "red cube",
           side: str = "left") -> Verdict:
    judge = Judge(ROBOT, verb, thing, side)
    for k in range(samples):
        judge.feed(at(k))
    return judge.verdict()


def test_a_touch_is_within_15_mm_for_a_tenth_of_a_second() -> None:
    done = judged("touch", 20, lambda k: truth(k, left_gap=0.2 if k < 10 else 0.01))
    assert done.success
    assert done.distance == pytest.approx(0.01)
    assert done.side == "left"
    brief = judged("touch", 20, lambda k: truth(k, left_gap=0.01 if k == 10 else 0.2))
    assert not brief.success
    far = judged("touch", 20, lambda k: truth(k, left_gap=0.02))
    assert not far.success
    assert "no nearer to the red cube than 2.0 cm" in far.reason


def test_the_other_hand_and_the_other_thing_do_not_count() -> None:
    near = [truth(k, left_gap=0.0) for k in range(20)]
    assert not judged("touch", 20, lambda k: near[k], side="right").success
    assert judged("touch", 20, lambda k: near[k], side="either").side == "left"
    assert not judged("touch", 20, lambda k: near[k], thing="blue ball").success
    assert judged("touch", 20, lambda k: near[k], thing="red object").success
    assert "no green ball on the table" in judged("touch", 20, lambda k: near[k], thing="green ball").reason


def test_pushing_it_off_the_table_or_falling_spoils_everything() -> None:
    off = judged("touch", 20, lambda k: truth(k, left_gap=0.0, cube=CUBE - [0, 0, 0.3 * (k > 15)]))
    assert not off.success
    assert "pushed off" in off.reason
    fell = judged("touch", 20, lambda k: truth(k, left_gap=0.0, fallen=k == 3))
    assert (fell.success, fell.reason) == (False, "the robot fell")


def test_pointing_is_a_ray_from_close_by_without_contact() -> None:
    hand = CUBE - [0.25, 0.0, 0.0]

    def pointing(miss: float, gap: float = 0.2, back: bool = False) -> Verdict:
        axis = (-1.0, 0, 0) if back else (1.0, 0, 0)
        return judged("point", 20, lambda k: truth(k, left=hand + [0, miss, 0], axis=axis, left_gap=gap))

    assert pointing(0.05).success
    assert pointing(0.05).distance == pytest.approx(0.05)
    assert not pointing(0.10).success
    assert not pointing(0.0, gap=0.0).success, "touching is not pointing"
    assert not pointing(0.0, gap=0.5).success, "too far away"
    assert not pointing(0.0, back=True).success
    assert not judged("point", 5, lambda k: truth(k, left=hand, left_gap=0.2)).success, "too short"


def wave(amplitude: float, height: float, periods: float) -> Verdict:
    def at(k: int) -> SimTruth:
        y = 0.3 + amplitude / 2 * math.sin(2 * math.pi * k / 20)
        return truth(k, left=np.array([0.2, y, height]))

    return judged("wave", round(20 * periods), at, thing="")


def test_a_wave_is_above_the_shoulder_and_wide_and_twice() -> None:
    assert wave(0.2, 1.3, 3.0).success
    assert wave(0.2, 1.3, 3.0).distance == pytest.approx(0.2, abs=0.01)
    assert not wave(0.2, 0.8, 3.0).success, "too low"
    assert not wave(0.05, 1.3, 6.0).success, "too small"
    assert not wave(0.2, 1.3, 1.2).success, "once"


def test_raise_and_rest_have_to_last() -> None:
    up = np.array([0.1, 0.3, 1.3])
    assert judged("raise", 30, lambda k: truth(k, left=up), thing="").success
    assert not judged("raise", 15, lambda k: truth(k, left=up), thing="").success
    assert not judged("raise", 30, lambda k: truth(k), thing="").success
    plant = Plant(ROBOT, PlantParams(objects=""))
    sample = Truth(plant).read()

    def hanging(k: int) -> SimTruth:
        return replace(sample, stamp_ns=1 + k * 50 * MS)

    assert judged("rest", 30, hanging, thing="").success, "the rest posture as the plant holds it"
    lifted = judged("rest", 40, lambda k: hanging(k) if k < 30 else replace(hanging(k), left_hand=up), thing="")
    assert not lifted.success, "it did not stay"


def test_no_samples_is_no_success() -> None:
    verdict = Judge(ROBOT, "wave", side="left").verdict()
    assert not verdict.success
    assert "nothing was seen" in verdict.reason


@pytest.mark.parametrize(
    ("verb", "thing", "side", "words"),
    [("tuoch", "red cube", "left", "did you mean 'touch'?"), ("touch", "", "left", "name an object"),
     ("wave", "", "middle", "unknown hand 'middle'")],
)
def test_a_task_that_cannot_be_judged_is_refused(verb: str, thing: str, side: str, words: str) -> None:
    with pytest.raises(JudgeError) as caught:
        Judge(ROBOT, verb, thing, side)
    assert words in str(caught.value)
