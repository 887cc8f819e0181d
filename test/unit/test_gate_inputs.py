"""What the gate makes of states, permits and a person's orders that are malformed, late, or of another time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safety_world import NAMES, PERIOD, ROBOT, GateWorld, calm_state
from test_gate import ELBOW, check_history, speed

from humanoid_core.timing import MS, NS
from humanoid_core.types import Level, Mode, RobotState
from safety_nodes.core.types import Received

N = ROBOT.n
LATCHED = {"level": Level.EMERGENCY, "estop_latched": True, "scale": 0.0}
BAD_STATES: list[tuple[str, dict[str, Any]]] = [
    ("WRONG_LENGTH", {"position": np.zeros(3)}),
    ("WRONG_LENGTH", {"velocity": np.zeros(0)}),
    ("WRONG_LENGTH", {"velocity": np.zeros(3)}),
    ("WRONG_LENGTH", {"orientation": np.zeros(3)}),
    ("WRONG_LENGTH", {"angular_velocity": np.zeros(0)}),
    ("NON_FINITE", {"position": np.full(N, np.nan)}),
    ("NON_FINITE", {"velocity": np.full(N, np.nan)}),
    ("NON_FINITE", {"velocity": np.full(N, np.inf)}),
    ("NON_FINITE", {"orientation": np.full(4, np.nan)}),
    ("NON_FINITE", {"angular_velocity": np.array([0.0, np.inf, 0.0])}),
    ("NON_FINITE", {"orientation": np.full(4, np.nan), "imu_source": ""}),  # half known
    ("NON_UNIT_QUATERNION", {"orientation": np.array([0.0, 10.0, 0.0, 0.0])}),
]


@pytest.fixture
def world() -> GateWorld:
    ready = GateWorld()
    ready.hold_ticks(5)
    return ready


def state(world: GateWorld, **changes: Any) -> Received[RobotState]:
    """What comes in the next tick."""
    made = calm_state(world.ros + PERIOD - 3 * MS, position=world.q)
    return Received(replace(made, **changes), world.mono + PERIOD - MS)


def stamped(received: Any, stamp_ns: int) -> Any:
    return tuple(replace(r, value=replace(r.value, stamp_ns=stamp_ns)) for r in received)


# --- states


@pytest.mark.parametrize(("code", "changes"), BAD_STATES)
def test_a_bad_state_is_refused_and_as_good_as_none(world: GateWorld, code: str, changes: dict[str, Any]) -> None:
    world.swing(60)
    for k in range(60, 120):
        out = world.tick(world.command(*world.elbow(k)), state=state(world, **changes))
    assert (out.state, out.reason) == ("holding", "NO_STATE")
    assert world.gate.refused[code] == 60
    assert world.swing(5, epoch=2).state == "passing", "it comes back with the next good one"
    check_history(world.history)


@pytest.mark.parametrize(("code", "changes"), BAD_STATES)
def test_a_bad_state_in_an_emergency_ends_nothing_and_takes_no_torque(world: GateWorld, code: str,
                                                                      changes: dict[str, Any]) -> None:
    world.permit = LATCHED
    world.hold_ticks(10)
    for _ in range(200):
        out = world.tick(state=state(world, **changes))
    assert (out.state, out.mode) == ("latched", Mode.HOLD)
    assert world.gate.refused[code] == 200


def test_one_bad_state_among_good_ones_does_not_stop_the_work(world: GateWorld) -> None:
    for k in range(60):
        bad = {"velocity": np.zeros(0)} if k % 10 == 5 else {}
        out = world.tick(world.command(*world.elbow(k)), state=state(world, **bad))
        assert out.state == "passing"
    assert world.gate.refused["WRONG_LENGTH"] == 6


def test_an_unreadable_state_is_counted(world: GateWorld) -> None:
    world.tick(state=Received(None, world.mono + PERIOD))
    assert world.gate.refused["OUT_OF_RANGE"] == 1


def test_a_robot_that_knows_no_imu_works_and_is_never_let_go_of(world: GateWorld) -> None:
    blind = {"orientation": np.full(4, np.nan), "angular_velocity": np.full(3, np.nan), "imu_source": ""}
    for k in range(30):
        out = world.tick(world.command(*world.elbow(k)), state=state(world, **blind))
    assert out.state == "passing"
    world.permit = LATCHED
    modes = {world.tick(state=state(world, **blind)).mode for _ in range(300)}
    assert modes == {Mode.RUN, Mode.HOLD}
    assert world.gate.refused.total == 0


# --- permits


@pytest.mark.parametrize(("code", "stamp"), [("STALE", -3600 * NS), ("FUTURE", 3600 * NS), ("STALE", -60 * MS),
                                             ("FUTURE", 60 * MS), ("ZERO_STAMP", None)])
def test_a_permit_of_another_time_is_no_leave(world: GateWorld, code: str, stamp: int | None) -> None:
    world.swing(40)
    for k in range(40, 100):
        told = 0 if stamp is None else world.ros + PERIOD + stamp
        out = world.tick(world.command(*world.elbow(k)), permits=stamped(world.permits(), told))
    assert (out.state, out.reason) == ("holding", "NO_PERMIT")
    assert world.gate.refused[code] == 60
    check_history(world.history)


def test_a_permit_that_came_late_holds_no_longer_than_from_its_stamp(world: GateWorld) -> None:
    world.swing(60)
    said = world.ros
    late = stamped(world.permits(), said)
    for k in range(60, 64):
        world.tick(world.command(*world.elbow(k)), permits=())
    late = tuple(replace(p, mono_ns=world.mono + PERIOD) for p in late)
    out = world.tick(world.command(*world.elbow(64), epoch=2), permits=late)
    assert out.state == "passing", "50 ms after it was said"
    out = world.tick(world.command(*world.elbow(65), epoch=2), permits=())
    assert out.reason == "NO_PERMIT"


@pytest.mark.parametrize("step", [5 * NS, -5 * NS])
@pytest.mark.parametrize("late", [0, 1, 3])
def test_a_step_of_the_clock_makes_no_permit_longer_or_shorter(world: GateWorld, step: int, late: int) -> None:
    world.swing(60)
    world.ros += step
    for k in range(60, 100):
        old = step if k < 60 + late else 0
        out = world.tick(world.command(*world.elbow(k)), permits=stamped(world.permits(), world.ros - old))
        assert out.state == "passing", (k, out.reason)
    world.ros += step
    reasons = [world.tick(world.command(*world.elbow(100 + k)), permits=()).reason for k in range(5)]
    assert reasons[:2] == ["", ""]
    assert reasons[3] == "NO_PERMIT"
    assert world.gate.refused["STALE"] == world.gate.refused["FUTURE"] == 0


@pytest.mark.parametrize("bad", [{"scale": math.nan}, {"scale": 7.0}, {"validity": -1.0}, {"stamp_ns": 0}])
def test_a_latch_counts_whatever_else_is_wrong_with_the_permit(world: GateWorld, bad: dict[str, Any]) -> None:
    world.swing(40)
    world.tick(permits=world.permits(**{**LATCHED, **bad}))
    out = world.hold_ticks(60)
    assert (out.state, out.reason) == ("latched", "ESTOP"), "good permits do not lift it"
    out = world.hold_ticks(5, permits=None)
    world.permit = {"reset_count": 1}
    assert world.hold_ticks(60).state == "holding", "a counted reset does"
    check_history(world.history)


def test_an_old_permit_is_old_also_after_one_that_could_not_be_read(world: GateWorld) -> None:
    old = world.permits()
    world.hold_ticks(20)
    world.tick(permits=(Received(None, world.mono + PERIOD, b"monitor"),))
    out = world.tick(permits=tuple(replace(p, mono_ns=world.mono + PERIOD) for p in stamped(old, world.ros)))
    assert out.reason == "NO_PERMIT"
    assert world.gate.refused["OLD_SEQUENCE"] == 1


# --- a person


def jog(world: GateWorld, seconds_off: float = 0.0, **more: Any) -> Any:
    said = world.ros + PERIOD + round(seconds_off * NS)
    return stamped(world.override(1, ("left_elbow_joint",), [0.3], **more), said)


@pytest.mark.parametrize(("code", "off"), [("STALE", -3600.0), ("STALE", -0.5), ("FUTURE", 0.5)])
def test_a_jog_of_another_time_moves_nothing_and_holds(world: GateWorld, code: str, off: float) -> None:
    for k in range(60):
        out = world.tick(world.command(*world.elbow(k)), overrides=jog(world, off))
        assert speed(out) == 0.0
    assert (out.state, out.reason) == ("holding", "OVERRIDE")
    assert world.gate.refused[code] == 60
    world.tick(overrides=stamped(world.override(active=False), world.ros - 3600 * NS))
    assert not world.gate.override.active, "whoever lets go has let go"


@pytest.mark.parametrize("step", [5 * NS, -5 * NS])
def test_a_step_of_the_clock_does_not_end_a_jog(world: GateWorld, step: int) -> None:
    for k in range(60):
        world.ros += step if k == 20 else 0
        out = world.tick(overrides=jog(world))
        assert out.state == "jogging"
    assert world.gate.refused.total == 0


def asleep(world: GateWorld, seconds: float) -> None:
    world.mono += round(seconds * NS)
    world.ros += round(seconds * NS)


@pytest.mark.parametrize("seconds", [0.1, 2.0])
def test_speeds_that_waited_while_the_gate_was_suspended_are_no_orders(world: GateWorld, seconds: float) -> None:
    for _ in range(30):
        world.tick(overrides=jog(world))
    before = world.gate.setpoint.position[ELBOW]
    asleep(world, seconds)
    queued = stamped(world.override(1, ("left_elbow_joint",), [0.3]), world.ros - round(seconds * NS))
    states = {world.tick(overrides=queued).state} | {world.tick().state for _ in range(40)}
    assert "jogging" not in states
    assert world.gate.setpoint.position[ELBOW] <= before, "not a step further"
    assert world.gate.override.active
    assert world.gate.refused["STALE"] == 1
    assert world.tick(overrides=jog(world)).state == "jogging", "what is said afresh counts"


def test_a_release_that_waited_while_the_gate_was_suspended_counts(world: GateWorld) -> None:
    world.tick(overrides=world.override(0))
    asleep(world, 2.0)
    world.tick(overrides=stamped(world.override(active=False), world.ros - 2 * NS))
    assert not world.gate.override.active


# --- what is bounded is counted


def test_a_jog_that_asks_for_too_much_is_slowed_and_counted(world: GateWorld) -> None:
    for _ in range(20):
        world.tick(overrides=world.override(1, ("left_elbow_joint",), [0.1]))
    assert world.gate.motion.slowed == 0
    for _ in range(20):
        world.tick(overrides=world.override(1, ("left_elbow_joint",), [50.0]))
    assert world.gate.motion.slowed == 20


def test_a_pose_outside_the_limits_is_started_from_at_the_limit_and_counted() -> None:
    pose = ROBOT.stand.copy()
    joint = ROBOT.index(NAMES[ELBOW])
    pose[joint] = ROBOT.lower[joint] - 0.02
    world = GateWorld(pose)
    out = world.hold_ticks(5)
    assert out.command is not None
    assert out.command.position[ELBOW] == ROBOT.lower[joint]
    assert world.gate.setpoint.outside == 1
