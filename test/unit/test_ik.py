"""Inverse kinematics and the way there: reached means reached, limits hold, tables are not crossed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_core.robot import load_robot
from vla_nodes.core.clearance import Clearance, World
from vla_nodes.core.ik import LIMIT_MARGIN, ArmIk, Wish
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.motion import Plan
from vla_nodes.core.postures import arm, vias
from vla_nodes.core.reach import Reacher, Target

ROBOT = load_robot("g1")
IK = ArmIk(ROBOT)
REACHER = Reacher(ROBOT)
STANCE = REACHER.body.stance(ROBOT.rest)
TABLE = 0.78
WORLD = World(STANCE, TABLE, 0.2)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["left", "right"]), st.floats(0.22, 0.36), st.floats(-0.05, 0.25), st.floats(-0.05, 0.3))
def test_the_hand_gets_where_the_arm_can_reach(side: str, x: float, y: float, z: float) -> None:
    target = np.array([x, y if side == "left" else -y, z])
    wish = Wish(side, target, ROBOT.hands[side].point)
    start = arm(ROBOT, ROBOT.rest, side, {"shoulder_pitch": -0.5, "shoulder_roll": 0.4, "elbow": 0.2})
    reach = IK.solve(wish, [start], start)
    IK.kinematics.update(reach.q)
    assert np.linalg.norm(IK.kinematics.hand(side)[0] - target) == pytest.approx(reach.error, abs=1e-9)
    assert reach.error < 0.002
    upper = list(ROBOT.groups["upper_body"])
    assert np.all(reach.q[upper] >= ROBOT.lower[upper] + LIMIT_MARGIN - 1e-9)
    assert np.all(reach.q[upper] <= ROBOT.upper[upper] - LIMIT_MARGIN + 1e-9)
    others = [i for i in range(ROBOT.n) if i not in (*ROBOT.groups[f"{side}_arm"], *ROBOT.groups["waist"])]
    assert np.array_equal(reach.q[others], start[others]), "nothing but this arm and the waist moves"


def test_out_of_reach_is_said_by_how_much() -> None:
    wish = Wish("left", np.array([1.2, 0.1, 0.2]), ROBOT.hands["left"].point)
    reach = IK.solve(wish, [ROBOT.rest], ROBOT.rest)
    assert reach.error > 0.4


def test_the_hand_points_where_it_shall() -> None:
    axis = np.array([0.8, 0.0, -0.6])
    start = arm(ROBOT, ROBOT.rest, "left", {"shoulder_pitch": -0.5, "elbow": 0.2})
    wish = Wish("left", np.array([0.28, 0.15, 0.1]), ROBOT.hands["left"].point, axis, 3.0)
    reach = IK.solve(wish, [start], start)
    assert reach.error < 0.005
    assert reach.axis_error < 0.12


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("y", [-0.13, 0.0, 0.13])
@pytest.mark.parametrize("verb", ["touch", "point"])
def test_both_hands_reach_all_of_the_table_without_touching_it(side: str, y: float, verb: str) -> None:
    top = np.array([0.29, y, TABLE + 0.06])
    target = Target(top, top - [0.0, 0.0, 0.03], 0.027)
    goal = getattr(REACHER, verb)(side, target, WORLD, ROBOT.rest.copy())
    assert not isinstance(goal, Refusal), goal.detail
    plan = Plan(ROBOT, ROBOT.rest, 0)
    REACHER.clearance.place(WORLD)
    REACHER.lay(plan, [*goal.way, goal.q], 0)
    path = plan.sample(np.arange(0, plan.end_ns, 2e7))
    assert REACHER.clearance.blocked_path(path) == "", "table and body stay clear all the way"
    led = REACHER.led(side, goal.q, goal.point, STANCE)
    wanted = target.top if verb == "touch" else target.centre
    assert np.linalg.norm(led - wanted) < 0.012


def test_a_thing_too_far_away_is_refused_with_the_distance() -> None:
    top = np.array([0.9, 0.1, TABLE + 0.06])
    refusal = REACHER.touch("left", Target(top, top, 0.03), WORLD, ROBOT.rest.copy())
    assert isinstance(refusal, Refusal)
    assert refusal.code == "UNREACHABLE"
    assert "cm away" in refusal.detail


def test_the_straight_way_through_the_table_is_seen_and_gone_around() -> None:
    clearance = Clearance(ROBOT)
    clearance.place(WORLD)
    start = arm(ROBOT, ROBOT.rest, "left", {"shoulder_pitch": 0.0, "elbow": 1.2})
    over = arm(ROBOT, ROBOT.rest, "left", {"shoulder_pitch": -0.7, "shoulder_roll": 0.2, "elbow": 0.3})
    assert "table" in clearance.blocked(start, over)
    way = clearance.connect(start, over, vias(ROBOT, start, "left"))
    assert way is not None
    assert len(way) > 1
    legs = [start, *way]
    assert all(clearance.blocked(a, b) == "" for a, b in itertools.pairwise(legs))
    clearance.place(World(STANCE, float("nan"), float("nan")))
    assert clearance.blocked(start, over) == "", "without a table there is nothing in the way"


def test_a_neighbouring_thing_and_the_own_body_are_in_the_way() -> None:
    clearance = Clearance(ROBOT)
    top = np.array([0.29, 0.1, TABLE + 0.06])
    goal = REACHER.touch("left", Target(top, top - [0, 0, 0.03], 0.027), WORLD, ROBOT.rest.copy())
    assert not isinstance(goal, Refusal)
    clearance.place(World(STANCE, TABLE, 0.2, ((top, 0.027),)))
    assert any("thing" in a + b for a, b in clearance.touching(goal.q))
    into = arm(ROBOT, ROBOT.rest, "left", {"shoulder_pitch": -0.2, "shoulder_roll": -0.9, "elbow": 0.4})
    assert clearance.blocked(ROBOT.rest, into), "the arm does not pass through the body"
