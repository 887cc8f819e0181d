"""Sums of minimum-jerk moves: they arrive, stay smooth and inside the limits, and can be corrected in flight."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from vla_nodes.core.motion import SHARE, Plan

ROBOT = load_robot("g1")
T0 = 5 * NS


def posture(**joints: float) -> np.ndarray:
    q = ROBOT.rest.copy()
    for name, value in joints.items():
        q[ROBOT.index(f"{name}_joint")] = value
    return q


def test_it_arrives_at_rest_within_the_share_of_the_limits() -> None:
    plan = Plan(ROBOT, ROBOT.rest, T0)
    goal = posture(left_elbow=-0.5, left_shoulder_pitch=-1.5)
    end = plan.then(goal, T0)
    times = np.arange(T0, end + NS, 0.01 * NS)
    q = plan.sample(times)
    v = np.diff(q, axis=0) / 0.01
    assert np.array_equal(q[0], ROBOT.rest)
    assert np.allclose(q[-1], goal)
    assert np.allclose(plan.goal, goal)
    assert np.all(np.abs(v) <= ROBOT.command_velocity * SHARE * 1.001)
    assert np.all(np.abs(np.diff(v, axis=0) / 0.01) <= ROBOT.command_acceleration * SHARE * 1.01)


def test_a_via_point_is_passed_without_stopping_when_moves_overlap() -> None:
    plan, halting = Plan(ROBOT, ROBOT.rest, T0), Plan(ROBOT, ROBOT.rest, T0)
    for p, overlap in ((plan, 0.35), (halting, 0.0)):
        p.then(posture(left_elbow=0.0), T0, overlap)
        p.then(posture(left_elbow=-0.9), T0, overlap)
    assert plan.end_ns < halting.end_ns
    middle = np.arange(T0 + 0.4 * NS, plan.end_ns - 0.4 * NS, 0.01 * NS)
    speed = np.abs(np.diff(plan.sample(middle)[:, ROBOT.index("left_elbow_joint")])) / 0.01
    assert speed.min() > 0.1


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-0.1, 0.1), st.integers(0, 2000)), max_size=5))
def test_corrections_change_the_goal_but_never_jump(corrections: list[tuple[float, int]]) -> None:
    plan = Plan(ROBOT, ROBOT.rest, T0)
    goal = posture(right_shoulder_pitch=-1.0)
    plan.then(goal, T0)
    total = 0.0
    for amount, at_ms in corrections:
        delta = np.zeros(ROBOT.n)
        delta[ROBOT.index("right_elbow_joint")] = amount
        plan.shift(delta, T0 + at_ms * 1_000_000)
        total += amount
    q = plan.sample(np.arange(T0, T0 + 10 * NS, 0.01 * NS))
    assert np.allclose(q[-1][ROBOT.index("right_elbow_joint")], goal[ROBOT.index("right_elbow_joint")] + total)
    assert np.all(np.abs(np.diff(q, axis=0)) <= ROBOT.command_velocity * 0.01)


def test_forgetting_the_past_and_dropping_the_future() -> None:
    plan = Plan(ROBOT, ROBOT.rest, T0)
    first = plan.then(posture(left_elbow=0.2), T0)
    plan.then(posture(left_elbow=-0.4), T0)
    later = np.arange(first + 0.1 * NS, first + 2 * NS, 0.02 * NS)
    before = plan.sample(later)
    plan.forget_before(first + 1)
    assert np.allclose(plan.sample(later), before)
    plan.then(posture(left_elbow=1.0), T0)
    plan.cancel_after(first + 100)
    assert np.allclose(plan.goal, posture(left_elbow=-0.4)), "only what has not begun is dropped"


def test_rows_are_anchored_at_the_stamp() -> None:
    plan = Plan(ROBOT, ROBOT.rest, T0)
    plan.then(posture(left_elbow=0.0), T0)
    rows = plan.rows(T0, 0.02, 50)
    assert rows.shape == (50, ROBOT.n)
    assert np.array_equal(rows[0], plan.sample(np.array([T0 + 0.02 * NS]))[0])
