"""What leaves the gate, whatever goes in."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_world import GATE, NAMES, PERIOD, ROBOT, UPPER, GateWorld, calm_state, cases

from humanoid_core.timing import MS, NS
from humanoid_core.types import Level, Mode
from safety_nodes.core.config import ConfigError
from safety_nodes.core.gate import GateOutput
from safety_nodes.core.types import Received

ELBOW = NAMES.index("left_elbow_joint")
LOWER, TOP = ROBOT.lower[UPPER], ROBOT.upper[UPPER]
SPEED, ACCELERATION = ROBOT.command_velocity[UPPER], ROBOT.command_acceleration[UPPER]
JERK = ROBOT.command_jerk[UPPER]
DT = PERIOD / NS


@pytest.fixture
def world() -> GateWorld:
    ready = GateWorld()
    ready.hold_ticks(5)
    assert ready.out is not None
    assert ready.out.state == "holding"
    return ready


def speed(out: GateOutput) -> float:
    assert out.command is not None
    return float(np.abs(out.command.velocity).max())


def check_history(history: list[GateOutput]) -> None:
    """Every command finite, inside the limits, its changes per period inside velocity, acceleration and jerk
    limits."""
    last, acceleration = None, np.zeros(len(UPPER))
    for out in history:
        if out.command is None:
            continue
        q, v = out.command.position, out.command.velocity
        if last is None:
            acceleration = v / DT
        assert np.isfinite(q).all()
        assert np.isfinite(v).all()
        assert (q >= LOWER).all()
        assert (q <= TOP).all()
        assert (np.abs(v) <= SPEED + 1e-9).all()
        if last is not None:
            assert (np.abs(q - last.position) <= SPEED * DT + 1e-9).all()
            change = (v - last.velocity) / DT
            assert (np.abs(change) <= ACCELERATION + 1e-6).all()
            assert (np.abs(change - acceleration) <= JERK * DT + 1e-6).all()
            acceleration = change
        last = out.command


def test_nothing_leaves_before_a_measured_pose_is_known() -> None:
    world = GateWorld()
    out = world.tick(world.command(ROBOT.stand[UPPER]), state=None)
    assert out.command is None
    assert out.mode == Mode.HOLD
    assert (out.state, out.reason) == ("starting", "NO_STATE")


def test_without_a_policy_it_holds_the_measured_pose(world: GateWorld) -> None:
    out = world.hold_ticks(10)
    assert out.command is not None
    assert out.command.joint_names == NAMES
    np.testing.assert_allclose(out.command.position, ROBOT.stand[UPPER])
    assert (out.state, out.reason, out.mode) == ("holding", "NO_COMMAND", Mode.RUN)


def test_a_good_motion_passes_unchanged(world: GateWorld) -> None:
    for k in range(120):
        q, v = world.elbow(k)
        out = world.tick(world.command(q, v))
        assert out.state == "passing"
        assert out.command is not None
        np.testing.assert_allclose(out.command.position, q, atol=2e-3)
    assert world.gate.refused.total == 0
    check_history(world.history)


def test_a_subset_of_the_joints_moves_only_those(world: GateWorld) -> None:
    names = ("left_elbow_joint", "waist_yaw_joint")
    for k in range(1, 60):
        out = world.tick(world.command([1.0 + 0.002 * k, 0.001 * k], [0.2, 0.1], names=names))
    assert out.command is not None
    moved = np.flatnonzero(np.abs(out.command.position - ROBOT.stand[UPPER]) > 1e-6)
    assert {NAMES[i] for i in moved} == set(names)


def test_a_first_command_far_away_is_blended_from_the_measured_pose(world: GateWorld) -> None:
    far = ROBOT.stand[UPPER].copy()
    far[ELBOW] -= 1.0
    first = world.tick(world.command(far))
    assert first.command is not None
    assert abs(first.command.position[ELBOW] - ROBOT.stand[UPPER][ELBOW]) < 0.01
    for _ in range(150):
        out = world.tick(world.command(far))
    assert out.command is not None
    np.testing.assert_allclose(out.command.position, far, atol=1e-3)
    check_history(world.history)


def test_scale_slows_the_motion(world: GateWorld) -> None:
    world.permit = {"scale": 0.5, "level": Level.CAUTION}
    far = ROBOT.stand[UPPER].copy()
    far[ELBOW] -= 1.5
    top = max(speed(world.tick(world.command(far))) for _ in range(80))
    assert top <= 0.5 * SPEED[ELBOW] + 1e-9
    assert top > 0.4 * SPEED[ELBOW]


def test_a_gate_that_is_not_active_brakes_holds_and_asks_for_hold(world: GateWorld) -> None:
    for k in range(60):
        q, v = world.elbow(k)
        world.tick(world.command(q, v))
    assert world.out.state == "passing"
    world.active = False
    for k in range(60, 160):
        q, v = world.elbow(k)
        world.tick(world.command(q, v))
    assert (world.out.state, world.out.reason, world.out.mode) == ("inactive", "INACTIVE", Mode.HOLD)
    assert world.out.command is not None, "who is not active goes on publishing a safe command"
    np.testing.assert_allclose(world.out.command.velocity, 0.0, atol=1e-9)
    check_history(world.history)
    world.active = True
    for k in range(160, 200):  # the epoch that was interrupted is over
        q, v = world.elbow(k)
        world.tick(world.command(q, v))
    assert (world.out.state, world.out.mode) == ("holding", Mode.RUN)


def test_a_latched_stop_rules_a_gate_that_is_not_active_too(world: GateWorld) -> None:
    world.active = False
    world.permit = {"level": Level.EMERGENCY, "estop_latched": True, "scale": 0.0}
    assert world.tick().state == "latched"


# --- permits


@pytest.mark.parametrize("permit", [
    {"level": Level.DANGER}, {"level": Level.EMERGENCY, "estop_latched": True}, {"scale": 0.0}, {"scale": math.nan},
    {"scale": 2.0}, {"validity": 1.0}, {"validity": math.nan}, {"validity": -0.01},
])
def test_a_permit_that_gives_no_leave_stops_the_motion(world: GateWorld, permit: dict[str, Any]) -> None:
    assert speed(world.swing(60)) > 0.1
    world.permit = permit
    outs = [world.tick(world.command(*world.elbow(60 + k))) for k in range(40)]
    assert outs[0].state in ("halting", "latched")
    assert outs[-1].state in ("holding", "latched")
    assert speed(outs[-1]) == 0.0
    check_history(world.history)


def test_silence_is_no_leave_after_thirty_milliseconds(world: GateWorld) -> None:
    world.swing(60)
    states = [world.tick(world.command(*world.elbow(60 + k)), permits=()).state for k in range(6)]
    assert states[:3] == ["passing"] * 3  # 10, 20, 30 ms old
    assert states[3] == "halting"
    world.hold_ticks(40, permits=())
    assert world.out is not None
    assert world.out.reason == "NO_PERMIT"
    assert not world.gate.setpoint.moving


def test_a_repeated_permit_is_no_fresh_one(world: GateWorld) -> None:
    old = world.permits()
    world.tick(permits=old)
    for _ in range(5):
        world.tick(permits=(replace(old[0], mono_ns=world.mono + PERIOD),))
    assert world.out is not None
    assert world.out.reason == "NO_PERMIT"
    assert world.gate.refused["OLD_SEQUENCE"] == 5


def test_after_a_permit_loss_motion_starts_only_under_a_new_epoch(world: GateWorld) -> None:
    world.swing(60, epoch=1)
    for k in range(30):
        world.tick(world.command(*world.elbow(60 + k), epoch=1), permits=world.permits(level=Level.DANGER))
    held = world.out
    again = [world.tick(world.command(*world.elbow(90 + k), epoch=1)) for k in range(20)]
    assert held is not None
    assert held.command is not None
    assert {o.state for o in again} == {"holding"}
    assert again[-1].reason == "OLD_EPOCH"
    np.testing.assert_array_equal(again[-1].command.position, held.command.position)  # type: ignore[union-attr]
    assert world.swing(20, epoch=2).state == "passing"
    check_history(world.history)


def test_at_warning_a_running_motion_goes_on_and_no_new_one_starts(world: GateWorld) -> None:
    world.swing(50, epoch=1)
    world.permit = {"level": Level.WARNING, "scale": 0.25, "accept_new": False}
    assert world.tick(world.command(*world.elbow(50), epoch=1)).state == "passing"
    assert world.tick(world.command(*world.elbow(51), epoch=2)).state == "passing"
    assert world.gate.refused["NO_PERMIT"] == 1
    out = world.hold_ticks(30)
    assert out.state == "holding"
    assert world.tick(world.command(*world.elbow(0), epoch=3)).state == "holding"


# --- refusals

_Q = ROBOT.stand[UPPER]


def _with(value: float, array: np.ndarray = _Q) -> np.ndarray:
    out = array.copy()
    out[ELBOW] = value
    return out


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("NON_FINITE", {"position": _with(math.nan)}),
    ("NON_FINITE", {"position": _with(math.inf)}),
    ("NON_FINITE", {"position": _Q, "velocity": _with(math.nan)}),
    ("NON_FINITE", {"position": _Q, "kp": np.full(17, math.nan)}),
    ("WRONG_LENGTH", {"position": _Q[:5]}),
    ("WRONG_LENGTH", {"position": _Q, "velocity": np.zeros(3)}),
    ("WRONG_NAMES", {"position": _Q, "names": (*NAMES[:-1], "tail_joint")}),
    ("WRONG_NAMES", {"position": _Q, "names": (*NAMES[:-1], NAMES[0])}),
    ("WRONG_NAMES", {"position": [], "names": ()}),
    ("NOT_CONTROLLED", {"position": [0.1], "names": ("left_knee_joint",)}),
    ("LIMIT_POSITION", {"position": _with(3.0)}),
    ("LIMIT_POSITION", {"position": np.degrees(_Q)}),
    ("LIMIT_RATE", {"position": _Q, "velocity": _with(9.0, np.zeros(17))}),
    ("LIMIT_RATE", {"position": _with(0.2)}),
    ("JOINT_ACCELERATION", {"velocity": _with(-2.0, np.zeros(17))}),
    ("PUBLISHER", {"position": _Q, "sender": b"stranger"}),
]


@pytest.mark.parametrize(("code", "what"), REFUSED)
def test_a_bad_command_is_refused_counted_and_stops_the_motion(
    world: GateWorld, code: str, what: dict[str, Any]
) -> None:
    for k in range(40):
        world.tick(world.command(*world.elbow(k, omega=4.0)))
    out = world.tick(world.command(**{"position": world.elbow(40, omega=4.0)[0], **what}))
    assert out.reason == code
    assert out.state == "halting"
    assert world.gate.refused[code] == 1
    for k in range(40):  # the sender goes on as if nothing had happened
        out = world.tick(world.command(*world.elbow(41 + k)))
    assert out.state == "holding"
    assert world.swing(5, epoch=2).state == "passing"
    check_history(world.history)


@pytest.mark.parametrize(("code", "what"), [
    ("STALE", {"stamp": -70 * MS}), ("FUTURE", {"stamp": 60 * MS}), ("OLD_SEQUENCE", {"seq": 3}),
])
def test_a_late_early_or_repeated_command_is_left_out_and_the_motion_goes_on(
    world: GateWorld, code: str, what: dict[str, Any]
) -> None:
    world.swing(30)
    if "stamp" in what:
        what = {"stamp": world.ros + PERIOD + what["stamp"]}
    out = world.tick(world.command(*world.elbow(5), **what))
    assert out.state == "passing"
    assert world.gate.refused[code] == 1


def test_a_command_without_a_stamp_never_moves_anything(world: GateWorld) -> None:
    out = world.tick(world.command(_Q, stamp=0))
    assert (out.state, out.reason) == ("holding", "ZERO_STAMP")


def test_an_unreadable_message_is_refused(world: GateWorld) -> None:
    out = world.tick(Received(None, world.mono, b"policy"))
    assert out.reason == "OUT_OF_RANGE"


def test_a_flood_is_judged_whole_and_the_newest_wins(world: GateWorld) -> None:
    flood = []
    for k in range(500):
        q = _Q.copy()
        q[ELBOW] += 1e-6 * k
        flood.append(world.command(q, np.zeros(17), stamp=world.ros + k * 10_000))
    assert world.tick(*flood).state == "passing"
    for _ in range(5):
        out = world.tick()
    assert out.command is not None
    assert out.command.position[ELBOW] == pytest.approx(_Q[ELBOW] + 1e-6 * 499, abs=1e-7)


def test_when_the_policy_stops_the_arm_brakes_and_stands(world: GateWorld) -> None:
    world.swing(70)
    outs = [world.tick() for _ in range(60)]
    assert outs[10].state in ("halting", "holding")
    assert (outs[-1].state, outs[-1].reason) == ("holding", "NO_COMMAND")
    assert speed(outs[-1]) == 0.0
    check_history(world.history)


def test_a_restarted_policy_may_count_from_the_beginning_again(world: GateWorld) -> None:
    world.swing(20, epoch=7)
    world.hold_ticks(80)
    world.command_seq = 0
    out = [world.tick(world.command(*world.elbow(k), epoch=7, sender=b"policy2")) for k in range(5)][-1]
    assert out.state == "passing"


def test_a_second_monitor_is_refused_and_stops_the_motion(world: GateWorld) -> None:
    world.swing(40)
    forged = replace(world.permits()[0], sender=b"forger")
    out = world.tick(world.command(*world.elbow(40)), permits=(*world.permits(), forged))
    assert out.reason == "PUBLISHER"
    assert out.state == "halting"


# --- robot state


def test_without_fresh_joint_measurements_it_holds(world: GateWorld) -> None:
    world.swing(60)
    states = [world.tick(world.command(*world.elbow(60 + k)), state=None).state for k in range(6)]
    assert "halting" in states[:5]
    out = world.hold_ticks(30, state=None)
    assert (out.state, out.reason) == ("holding", "NO_STATE")


@pytest.mark.parametrize("bad", [{"position": np.full(ROBOT.n, math.nan)}, {"position": np.zeros(3)},
                                 {"stamp_ns": 0}])
def test_a_bad_robot_state_is_no_state(world: GateWorld, bad: dict[str, Any]) -> None:
    world.swing(60)
    for _ in range(40):
        state = Received(calm_state(world.ros, **bad), world.mono + PERIOD)
        out = world.tick(world.command(*world.elbow(60)), state=state)
    assert (out.state, out.reason) == ("holding", "NO_STATE")
    check_history(world.history)


def test_a_held_joint_that_meets_an_obstacle_gives_way(world: GateWorld) -> None:
    """The arm was sent into something: holding must not mean pressing with all it has."""
    stuck = world.q.copy()
    for k in range(120):
        q = _Q.copy()
        q[ELBOW] -= min(0.008 * k, 0.8)
        world.tick(world.command(q, np.zeros(17)), state=Received(calm_state(world.ros + PERIOD, position=stuck),
                                                                  world.mono + PERIOD))
    for _ in range(200):
        out = world.tick(permits=(), state=Received(calm_state(world.ros + PERIOD, position=stuck),
                                                    world.mono + PERIOD))
    assert out.command is not None
    assert abs(out.command.position[ELBOW] - stuck[UPPER][ELBOW]) == pytest.approx(GATE.yield_error, abs=0.02)
    assert out.state == "holding"
    check_history(world.history)


# --- emergency


def test_an_emergency_brakes_then_asks_for_hold_never_for_torque_off(world: GateWorld) -> None:
    world.swing(70)
    world.permit = {"level": Level.EMERGENCY, "scale": 0.0, "estop_latched": True}
    outs = [world.tick(world.command(*world.elbow(70 + k))) for k in range(60)]
    assert {o.state for o in outs} == {"latched"}
    assert outs[0].mode == Mode.RUN, "the arms brake under control first"
    assert outs[-1].mode == Mode.HOLD
    assert Mode.DAMP not in {o.mode for o in outs}
    assert all(o.command is not None for o in outs), "commands go on"


def test_the_emergency_mode_is_a_choice(world: GateWorld) -> None:
    other = GateWorld(emergency_mode="CROUCH")
    other.hold_ticks(5)
    other.permit = {"level": Level.EMERGENCY, "estop_latched": True}
    assert other.hold_ticks(5).mode == Mode.CROUCH


def test_the_latch_outlives_the_monitor_that_set_it(world: GateWorld) -> None:
    world.permit = {"level": Level.EMERGENCY, "estop_latched": True, "reset_count": 3}
    world.hold_ticks(10)
    world.hold_ticks(80, permits=())
    world.permit, world.permit_seq = {"reset_count": 0}, 0
    for _ in range(20):
        out = world.tick(permits=tuple(replace(p, sender=b"monitor2") for p in world.permits()))
    assert out.state == "latched"
    world.permit = {"reset_count": 1}
    for _ in range(20):
        out = world.tick(permits=tuple(replace(p, sender=b"monitor2") for p in world.permits()))
    assert out.state == "holding"


def test_after_a_reset_queued_commands_are_flushed_and_the_measured_pose_rules(world: GateWorld) -> None:
    world.swing(70)
    world.permit = {"level": Level.EMERGENCY, "estop_latched": True}
    world.hold_ticks(40)
    world.q = world.q.copy()
    world.q[UPPER[ELBOW]] += 0.4  # somebody moved the arm while it was held
    world.hold_ticks(20)
    world.permit = {"reset_count": 1}
    queued = [world.command(*world.elbow(70 + k)) for k in range(5)]
    out = world.tick(*queued)
    assert out.mode == Mode.HOLD
    outs = [world.tick() for _ in range(100)]
    assert outs[-1].state == "holding"
    assert outs[-1].mode == Mode.RUN
    assert outs[-1].command is not None
    assert outs[-1].command.position[ELBOW] == pytest.approx(world.q[UPPER[ELBOW]], abs=0.06)
    check_history(world.history)


def test_a_suspended_gate_first_distrusts_everything(world: GateWorld) -> None:
    world.swing(70)
    waiting = [world.command(*world.elbow(70 + k)) for k in range(5)]
    permits = world.permits()
    world.mono += 2 * NS
    world.ros += 2 * NS
    out = world.tick(*waiting, permits=permits)
    assert out.state == "starting"
    assert out.mode == Mode.HOLD
    assert speed(out) <= ACCELERATION.max() * DT, "starts from rest"
    assert world.tick(world.command(*world.elbow(76))).state != "passing"


# --- properties

_number = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-3.5, 3.5)
_joints = st.lists(_number, min_size=17, max_size=17) | st.just(list(_Q)) | st.lists(_number, max_size=20)
_names = st.just(NAMES) | st.lists(st.sampled_from([*ROBOT.joint_names, "x", ""]), max_size=20).map(tuple)
_command = st.fixed_dictionaries({
    "position": _joints, "velocity": st.just([]) | _joints, "names": _names, "epoch": st.integers(0, 3),
    "seq": st.none() | st.integers(0, 50), "late": st.integers(-200, 200),
    "sender": st.sampled_from([b"policy", b"policy", b"policy", b"stranger"])})
_permit = st.fixed_dictionaries({
    "level": st.sampled_from(list(Level)), "scale": _number | st.floats(0.0, 1.0),
    "validity": st.just(0.03) | _number, "accept_new": st.booleans(), "estop_latched": st.booleans(),
    "reset_count": st.integers(0, 3)})
_tick = st.tuples(st.lists(_command, max_size=3), st.none() | st.just({}) | st.just({}) | _permit,
                  st.sampled_from(["follow", "follow", "none", "nan", "far"]))


@given(st.lists(_tick, min_size=1, max_size=60))
@settings(max_examples=cases(150), deadline=None)
def test_whatever_comes_in_what_leaves_is_finite_inside_limits_and_rate_limited(story: list[Any]) -> None:
    world = GateWorld()
    for commands, permit, state in story:
        sent = [world.command(c["position"], c["velocity"], c["names"], c["epoch"], c["seq"],
                              world.ros + PERIOD + c["late"] * MS, c["sender"]) for c in commands]
        permits = () if permit is None else world.permits(**permit)
        measured: Any = {"follow": "follow", "none": None}.get(state)
        if state == "nan":
            measured = Received(calm_state(world.ros, position=np.full(ROBOT.n, np.nan)), world.mono)
        elif state == "far":
            measured = Received(calm_state(world.ros, position=ROBOT.upper + 0.3), world.mono)
        world.tick(*sent, permits=permits, state=measured)
    check_history(world.history)


@given(st.lists(st.tuples(st.floats(-4, 4), st.integers(0, 16)), min_size=5, max_size=80))
@settings(max_examples=cases(60), deadline=None)
def test_without_a_permit_the_robot_comes_to_rest(goals: list[tuple[float, int]]) -> None:
    world = GateWorld()
    world.hold_ticks(3)
    target = _Q.copy()
    for goal, i in goals:
        target = target.copy()
        target[i] = np.clip(goal, LOWER[i], TOP[i])
        world.tick(world.command(target, epoch=world.command_seq))
    ticks = math.ceil(float((SPEED / ACCELERATION + 2.0 * ACCELERATION / JERK).max()) / DT) + 5
    out = world.hold_ticks(ticks, permits=())
    assert speed(out) == 0.0
    stopped = out.command
    out = world.hold_ticks(20, permits=())
    np.testing.assert_array_equal(out.command.position, stopped.position)  # type: ignore[union-attr]
    check_history(world.history)


def test_the_same_inputs_give_the_same_bytes() -> None:
    def run() -> bytes:
        world = GateWorld()
        world.hold_ticks(3)
        world.swing(50)
        world.tick(world.command(_with(math.nan)))
        world.swing(50, epoch=2)
        return b"".join(o.command.position.tobytes() for o in world.history if o.command is not None)

    assert len({run() for _ in range(20)}) == 1


@pytest.mark.parametrize(("key", "value"), [("command_max_age", -0.1), ("state_timeout", 0.0),
                                            ("rate", math.nan), ("emergency_mode", "FALL")])
def test_bad_settings_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        replace(GATE, **{key: value})
