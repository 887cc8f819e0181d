"""The set-point's promises: bounded velocity, acceleration and jerk, inside the limits, to rest, without lag."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruckig import RuckigError
from safety_world import ROBOT, UPPER

from safety_nodes.core.setpoint import SetPoint, Step

LOWER, TOP = ROBOT.lower[UPPER], ROBOT.upper[UPPER]
V, A, J = ROBOT.command_velocity[UPPER], ROBOT.command_acceleration[UPPER], ROBOT.command_jerk[UPPER]
N, DT = len(UPPER), 0.01


def made(position: np.ndarray | None = None) -> SetPoint:
    point = SetPoint(LOWER, TOP, V, A, J, DT)
    point.rebase(ROBOT.stand[UPPER] if position is None else position)
    return point


class Watch:
    """Checks every step against the limits, by differences of what left and not by what the set-point believes."""

    def __init__(self, point: SetPoint) -> None:
        self.point = point
        self.p, self.v = point.position.copy(), point.velocity.copy()
        self.a = np.zeros(N)

    def step(self, step: Step) -> None:
        point = self.point
        point.take(step)
        p, v = point.position, point.velocity
        assert np.isfinite(p).all()
        assert np.isfinite(v).all()
        assert (p >= LOWER).all()
        assert (p <= TOP).all()
        assert (np.abs(v) <= V + 1e-9).all()
        assert (np.abs(p - self.p) <= V * DT + 1e-9).all()
        a = (v - self.v) / DT
        assert (np.abs(a) <= A + 1e-6).all()
        assert (np.abs(a - self.a) <= J * DT + 1e-6).all()
        self.p, self.v, self.a = p, v, a

    def rest(self) -> int:
        """Brake until at rest; how many periods that took."""
        end = self.point.brake().rest
        for k in range(200):
            if not self.point.moving:
                np.testing.assert_allclose(self.point.position, end, atol=1e-7)
                return k
            self.step(self.point.brake())
        raise AssertionError("never at rest")


_share = st.floats(0.0, 1.0)
_goal = st.lists(_share, min_size=N, max_size=N).map(lambda x: LOWER + np.array(x) * (TOP - LOWER))
_speed = st.lists(st.floats(-1.2, 1.2), min_size=N, max_size=N).map(lambda x: np.array(x) * V)
_act = st.tuples(st.sampled_from(["toward", "toward", "drive", "brake", "give_way"]), _goal, _speed,
                 st.floats(0.01, 1.0), st.integers(1, 40))


@given(_goal, st.lists(_act, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_output_keeps_every_limit_and_comes_to_rest(start: np.ndarray, story: list) -> None:
    point = made(start)
    watch = Watch(point)
    for act, goal, speed, scale, count in story:
        for _ in range(count):
            watch.step(point.toward(goal, speed, scale) if act == "toward" else point.drive(speed) if act == "drive"
                       else point.brake() if act == "brake" else point.give_way(goal, np.arange(N) % 2 == 0, scale))
    longest = float(np.max(V / A + 2.0 * A / J))
    assert watch.rest() <= longest / DT + 2
    assert point.failures == 0


@given(_goal, _goal)
@settings(max_examples=40, deadline=None)
def test_a_still_target_is_reached_and_never_passed(start: np.ndarray, goal: np.ndarray) -> None:
    point = made(start)
    watch = Watch(point)
    low, high = np.minimum(start, goal) - 1e-6, np.maximum(start, goal) + 1e-6
    for _ in range(900):
        watch.step(point.toward(goal, np.zeros(N), 1.0))
        assert (low <= point.position).all()
        assert (point.position <= high).all()
        if not point.moving:
            break
    np.testing.assert_allclose(point.position, goal, atol=1e-6)


@pytest.mark.parametrize("omega", [0.5, 1.0, 2.0, 3.0])
def test_a_moving_target_is_followed_and_the_lag_does_not_grow(omega: float) -> None:
    """A sine that starts at rest, within velocity and acceleration limits: met, and then kept to for a minute."""
    point = made()
    watch = Watch(point)
    middle = ROBOT.stand[UPPER]
    room = np.minimum(TOP - middle, middle - LOWER)
    size = np.minimum(0.7 * np.minimum(V / omega, np.minimum(A / omega**2, J / omega**3)), 0.95 * room)
    lag = []
    for k in range(1, 6001):
        t = k * DT
        goal, speed = middle + size * np.sin(omega * t), size * omega * np.cos(omega * t)
        watch.step(point.toward(goal, speed, 1.0))
        lag.append(float(np.max(np.abs(point.position - goal))))
    assert max(lag[200:]) < 5e-3, "rad"
    assert max(lag[-1000:]) <= max(lag[200:1200]) + 1e-6


@given(_goal, st.integers(5, 60))
@settings(max_examples=40, deadline=None)
def test_a_target_that_is_caught_up_with_and_brakes_is_hardly_passed(goal: np.ndarray, head_start: int) -> None:
    """The target runs ahead within the limits and brakes as hard as a joint can; the set-point starts later."""
    point, ahead = made(), made()
    watch = Watch(point)
    low, high = np.minimum(point.position, goal), np.maximum(point.position, goal)
    for k in range(1500):
        ahead.take(ahead.toward(goal, np.zeros(N), 0.8))
        if k > head_start:
            watch.step(point.toward(ahead.position, ahead.velocity, 1.0))
            assert (point.position >= low - 0.06).all()
            assert (point.position <= high + 0.06).all()
        if k > head_start and not ahead.moving and not point.moving:
            break
    np.testing.assert_allclose(point.position, goal, atol=1e-6)


def test_scale_limits_the_speed_and_a_falling_scale_slows_within_the_limits() -> None:
    point = made()
    watch = Watch(point)
    goal = np.where(TOP - point.position > point.position - LOWER, TOP, LOWER)
    for k in range(120):
        watch.step(point.toward(goal, np.zeros(N), 1.0 if k < 25 else 0.25))
    assert (np.abs(point.velocity) <= 0.25 * V + 1e-9).all()


def test_driven_into_its_limit_a_joint_stops_at_it() -> None:
    point = made()
    watch = Watch(point)
    for _ in range(1200):
        watch.step(point.drive(V))
    np.testing.assert_allclose(point.position, TOP, atol=2e-2)
    for _ in range(5):
        watch.step(point.drive(V))
    for _ in range(100):
        watch.step(point.drive(-V))
    assert (point.velocity < 0.0).all()


class _NoPlan:
    """A planner that can plan nothing."""

    def calculate(self, ask: object, way: object) -> None:
        raise RuckigError("no plan")


def test_without_a_plan_it_still_comes_to_rest_inside_its_limits_and_counts() -> None:
    point = made()
    for _ in range(40):
        point.take(point.drive(np.full(N, 1.0)))
    assert point.moving
    point._plan = _NoPlan()  # type: ignore[assignment]
    for way in (lambda: point.toward(TOP, np.zeros(N), 1.0), lambda: point.drive(np.full(N, 9.0)), point.brake):
        before = point.velocity
        point.take(way())
        assert (np.abs(point.velocity - before) <= A * DT + 1e-9).all()
    for _ in range(200):
        point.take(point.brake())
        assert (point.position >= LOWER).all()
        assert (point.position <= TOP).all()
    assert not point.moving
    assert point.failures > 0
