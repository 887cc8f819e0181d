"""The gate before obstacles, with the robot's real shapes: approach stops before contact, retreat is free."""

from __future__ import annotations

import numpy as np
import pytest
from safety_world import NAMES, ROBOT, UPPER, GateWorld

from humanoid_core.environment import load_environment
from safety_nodes.core.clearance import Clearance

REST = ROBOT.rest
CLEARANCE = Clearance(ROBOT, load_environment("table"), 0.001)

#: What is commanded -> the reason for which it stops.
INTO = {
    "hand into the pelvis": ({"left_shoulder_roll_joint": -0.3, "left_elbow_joint": 1.0}, "SELF_COLLISION"),
    "hand into the hip": ({"left_shoulder_yaw_joint": -1.2, "left_elbow_joint": 0.8}, "SELF_COLLISION"),
    "wrist into the table": ({"left_shoulder_pitch_joint": -0.4}, "ENVIRONMENT"),
}


def goal(joints: dict[str, float]) -> np.ndarray:
    q = REST[UPPER].copy()
    for name, value in joints.items():
        q[NAMES.index(name)] = value
    return q


def smooth(start: np.ndarray, end: np.ndarray, k: int, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """Minimum-jerk motion: position and velocity at tick k."""
    u = min(max(k / ticks, 0.0), 1.0)
    s, ds = u**3 * (10.0 - 15.0 * u + 6.0 * u * u), 30.0 * u * u * (1.0 - u) ** 2 / (ticks * 0.01)
    return start + s * (end - start), ds * (end - start)


def whole(world: GateWorld) -> np.ndarray:
    q = REST.copy()
    q[UPPER] = world.gate.setpoint.position
    return q


def room(q: np.ndarray) -> float:
    """The least distance beyond its margin, m."""
    return min((c.distance - c.margin for c in CLEARANCE.near(q)), default=CLEARANCE.cap)


@pytest.fixture
def world() -> GateWorld:
    ready = GateWorld(REST.copy(), CLEARANCE)
    ready.hold_ticks(5)
    return ready


@pytest.mark.parametrize("what", INTO)
@pytest.mark.parametrize("ticks", [110, 250])
def test_it_stops_before_contact_and_the_same_motion_may_retreat(world: GateWorld, what: str, ticks: int) -> None:
    joints, reason = INTO[what]
    start, end = REST[UPPER].copy(), goal(joints)
    before = room(REST)
    assert before > 0.0
    reasons = set()
    for k in range(1, ticks + 100):
        out = world.tick(world.command(*smooth(start, end, k, ticks)))
        reasons.add(out.reason)
        assert room(whole(world)) >= -2e-4, "the margin is kept, braking included"
    assert reason in reasons
    assert (out.state, out.reason) == ("holding", reason)
    assert world.gate.refused[reason] > 0
    assert not world.gate.setpoint.moving
    for k in range(1, ticks + 30):  # the same epoch goes back
        out = world.tick(world.command(*smooth(end, start, k, ticks)))
    assert out.state == "passing"
    np.testing.assert_allclose(world.gate.setpoint.position, start, atol=1e-2)


def test_one_that_stands_too_near_already_may_leave_and_not_come_nearer(world: GateWorld) -> None:
    joints, _ = INTO["hand into the hip"]
    near = REST.copy()
    for share in np.linspace(0.0, 1.0, 400):
        near[UPPER] = REST[UPPER] + share * (goal(joints) - REST[UPPER])
        if room(near) < -5e-4:
            break
    other = GateWorld(near.copy(), CLEARANCE)
    other.hold_ticks(5)
    deeper, away = goal(joints), REST[UPPER].copy()
    for k in range(1, 40):
        wanted = smooth(near[UPPER], deeper, k, 200)
        out = other.tick(other.command(*wanted))
    assert out.reason == "SELF_COLLISION"
    for k in range(1, 250):
        out = other.tick(other.command(*smooth(wanted[0], away, k, 200)))
    assert out.state == "passing"
    assert room(whole(other)) > 0.0


def test_a_person_who_jogs_is_stopped_too(world: GateWorld) -> None:
    for _ in range(800):
        out = world.tick(overrides=world.override(1, ("left_shoulder_roll_joint",), [-0.5]))
        assert room(whole(world)) >= -2e-4
    assert out.reason == "SELF_COLLISION"
    for _ in range(100):
        out = world.tick(overrides=world.override(1, ("left_shoulder_roll_joint",), [0.5]))
    assert out.state == "jogging"
