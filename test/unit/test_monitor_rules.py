"""What each rule says of a fault, in which level, and that it stays silent when nothing is wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robots import ARM_MJCF, arm_data, write_robot
from safety_world import MONITOR, NAMES, ROBOT, UPPER, MonitorWorld, calm_health, calm_state

from humanoid_core.environment import load_environment
from humanoid_core.kinematics import Kinematics
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import GateStatus, JointCommand, Level, Posture, SourceHealth, TwinPrediction
from safety_nodes.core.clearance import Clearance
from safety_nodes.core.history import Trend
from safety_nodes.core.recovery import Removed
from safety_nodes.core.rules import non_finite, tilt
from safety_nodes.core.types import Inputs, Received, Tick, Verdict


@pytest.fixture
def world() -> MonitorWorld:
    calm = MonitorWorld()
    assert calm.settle().level == Level.SAFE
    return calm


def at_table() -> MonitorWorld:
    calm = MonitorWorld()
    calm.memory.clearance = Clearance(ROBOT, load_environment("table"))
    assert calm.settle().level == Level.SAFE
    return calm


def levels(verdict: Verdict, code: str) -> list[float]:
    return [v.severity for v in verdict.violations if v.code == code]


def posture(**joints: float) -> np.ndarray:
    q = ROBOT.stand.copy()
    for name, value in joints.items():
        q[ROBOT.index(f"{name}_joint")] = value
    return q


def speed(**joints: float) -> np.ndarray:
    dq = np.zeros(ROBOT.n)
    for name, value in joints.items():
        dq[ROBOT.index(f"{name}_joint")] = value
    return dq


# --- distance


def belly_speed(distance: float) -> tuple[np.ndarray, str]:
    """A posture with an arm at about `distance` before the trunk, found by turning the shoulder."""
    clearance, q = Clearance(ROBOT), posture(left_shoulder_roll=-0.05, left_elbow=0.9)
    joint = ROBOT.index("left_shoulder_yaw_joint")
    while True:
        near, _ = clearance.nearest(q)
        trunk = near is not None and {near.first, near.second} & {"torso_link", "pelvis", "waist_yaw_link"}
        if trunk and near is not None and near.distance < distance:
            return q, f"{near.first} and {near.second}"
        q[joint] -= 0.01
        assert q[joint] > -2.6


@pytest.mark.parametrize(("rate", "level"), [(-0.5, Level.CAUTION), (-2.0, Level.WARNING), (-4.0, Level.DANGER),
                                             (0.0, Level.SAFE), (0.5, Level.SAFE)])
def test_an_arm_that_comes_near_the_trunk_is_graded_by_time(world: MonitorWorld, rate: float, level: Level) -> None:
    """Towards it fast: too late to brake. Slowly: some tenths of a second. Still or away: nothing, the way is open."""
    q, _ = belly_speed(0.010)
    verdict = world.ticks(6, state={"position": q, "velocity": speed(left_shoulder_yaw=rate)})
    assert verdict.level == level
    assert bool(levels(verdict, "SELF_COLLISION")) == (level > Level.SAFE)


def test_inside_one_another_and_still_is_caution_so_that_the_way_out_stays_open(world: MonitorWorld) -> None:
    q, pair = belly_speed(-0.002)
    for rate in (0.0, 0.4):
        verdict = world.ticks(6, state={"position": q, "velocity": speed(left_shoulder_yaw=rate)})
        assert verdict.level == Level.CAUTION
        assert any(v.subject == pair for v in verdict.violations)


def test_a_forearm_that_falls_on_the_table_stops_and_is_named() -> None:
    world = at_table()
    q = posture(left_shoulder_pitch=-0.4, left_elbow=0.5)
    clearance = world.memory.clearance
    assert clearance is not None
    joint = ROBOT.index("left_shoulder_pitch_joint")
    while (near := clearance.nearest(q)[1]) is None or near.distance > 0.03:
        q[joint] += 0.01
        assert q[joint] < 1.0
    assert world.ticks(6, state={"position": q}).level == Level.SAFE
    verdict = world.ticks(6, state={"position": q, "velocity": speed(left_shoulder_pitch=1.0)})
    assert verdict.level == Level.DANGER
    assert any(v.code == "ENVIRONMENT" and "table_top" in v.subject for v in verdict.violations)
    away = at_table().ticks(6, state={"position": q, "velocity": speed(left_shoulder_pitch=-1.0)})
    assert away.level == Level.SAFE


# --- acceleration, force


def test_a_joint_that_accelerates_beyond_its_limit_is_noticed_after_three_samples(world: MonitorWorld) -> None:
    index = ROBOT.index("left_elbow_joint")
    step = 3.0 * ROBOT.acceleration[index] * 0.01
    for k in range(4):
        verdict = world.tick(state={"velocity": speed(left_elbow=step * (k % 2))})
    assert levels(verdict, "JOINT_ACCELERATION")


def test_sensor_noise_is_no_acceleration(world: MonitorWorld) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        verdict = world.tick(state={"velocity": rng.normal(0.0, 0.02, ROBOT.n)})
        assert not levels(verdict, "JOINT_ACCELERATION")


@pytest.mark.parametrize(("newton", "level"), [(30.0, Level.SAFE), (70.0, Level.CAUTION), (100.0, Level.WARNING),
                                               (130.0, Level.DANGER)])
def test_a_push_on_the_hand_is_read_from_external_torque(world: MonitorWorld, newton: float, level: Level) -> None:
    """tau = J^T F of a force at the hand comes back as that force, within the damping."""
    kinematics, hand = Kinematics(ROBOT), ROBOT.hands["left"]
    kinematics.update(ROBOT.stand)
    tau = kinematics.jacobian(hand.link, hand.point).T @ np.array([0.0, 0.0, newton])
    verdict = world.ticks(6, twin={"external_torque": tau})
    assert verdict.level == level
    if level > Level.SAFE:
        force = next(v for v in verdict.violations if v.code == "CONTACT_FORCE")
        assert force.subject == "left_hand"
        assert force.value == pytest.approx(newton, rel=0.15)
        assert force.limit == 110.0  # abdomen, the smallest of what a hand may meet


def test_without_external_torque_the_rule_says_that_it_is_blind(world: MonitorWorld) -> None:
    assert world.tick().level == Level.SAFE
    assert "contact_force" not in world.memory.history.blind
    assert world.tick(twin={"external_torque": np.zeros(0)}).level == Level.SAFE
    assert "contact_force" in world.memory.history.blind


def test_a_foot_that_carries_more_than_the_robot_is_noticed(world: MonitorWorld) -> None:
    weight = ROBOT.mass * 9.81
    assert world.ticks(6, state={"foot_force": np.array([[0, 0, weight], [0, 0, 0.1]])}).level == Level.SAFE
    verdict = world.ticks(6, state={"foot_force": np.array([[0, 0, 2.0 * weight], [0, 0, 0.1]])})
    assert verdict.level == Level.CAUTION
    assert levels(verdict, "CONTACT_FORCE")


# --- what the gate sends


def command(world: MonitorWorld, position: Any, names: tuple[str, ...] = NAMES) -> Received[JointCommand]:
    c = JointCommand(world.ros + 10 * MS, 1, 1, "command_gate", names, np.array(position, dtype=float))
    return Received(c, world.mono + 10 * MS)


@pytest.mark.parametrize(("change", "names", "code"), [
    (lambda q: np.where(np.arange(len(q)) == 4, np.nan, q), NAMES, "NON_FINITE"),
    (lambda q: q[:-1], NAMES, "WRONG_LENGTH"),
    (lambda q: q, (*NAMES[:-1], "left_tail_joint"), "WRONG_NAMES"),
    (lambda q: q, (*NAMES[:-1], NAMES[0]), "WRONG_NAMES"),
    (lambda q: q + 1.2, NAMES, "JUMP"),
])
def test_a_bad_command_of_the_gate_takes_the_leave_at_once(
    world: MonitorWorld, change: Any, names: tuple[str, ...], code: str
) -> None:
    good = ROBOT.stand[UPPER]
    assert world.tick(command=command(world, good)).level == Level.SAFE
    verdict = world.tick(command=command(world, change(good), names))
    assert verdict.level == Level.DANGER
    assert levels(verdict, code)


def test_a_command_that_leaps_is_noticed_and_a_fast_one_is_not(world: MonitorWorld) -> None:
    q = ROBOT.stand[UPPER].copy()
    for _ in range(20):  # the arm's own limit, 2.5 rad/s
        q[5] += 0.025
        assert not levels(world.tick(state={"position": _with(q)}, command=command(world, q)), "LIMIT_RATE")
    q[5] += 0.3
    assert levels(world.tick(state={"position": _with(q)}, command=command(world, q)), "LIMIT_RATE")


@pytest.mark.parametrize("other", [0.0, 0.069])
def test_a_slow_joint_that_leaps_is_named_whatever_a_fast_one_does(world: MonitorWorld, other: float) -> None:
    """The shoulder moves more, and within what it may; the waist leaps."""
    q = ROBOT.stand[UPPER].copy()
    world.tick(state={"position": _with(q)}, command=command(world, q))
    q[NAMES.index("waist_roll_joint")] += 0.045
    q[NAMES.index("left_shoulder_pitch_joint")] += other
    verdict = world.tick(state={"position": _with(q)}, command=command(world, q))
    assert verdict.level == Level.DANGER
    assert [v.subject for v in verdict.violations if v.code == "LIMIT_RATE"] == ["waist_roll_joint"]


def test_every_joint_that_leaps_is_named_the_worst_first(world: MonitorWorld) -> None:
    q = ROBOT.stand[UPPER].copy()
    world.tick(state={"position": _with(q)}, command=command(world, q))
    measured = _with(q)
    q[NAMES.index("left_elbow_joint")] += 1.2
    q[NAMES.index("right_elbow_joint")] -= 1.4
    verdict = world.tick(state={"position": measured}, command=command(world, q))
    for code in ("JUMP", "LIMIT_RATE"):
        assert [v.subject for v in verdict.violations if v.code == code] == ["right_elbow_joint", "left_elbow_joint"]


def test_a_removed_joint_that_is_far_from_its_command_hides_no_other(world: MonitorWorld) -> None:
    wrist, elbow = NAMES.index("left_wrist_yaw_joint"), NAMES.index("left_elbow_joint")
    world.memory.recovery.removed[NAMES[wrist]] = Removed("ACTUATOR_FAULT", 1.0, 0.0)
    q = ROBOT.stand[UPPER].copy()
    q[wrist] += 1.5
    assert not levels(world.tick(command=command(world, q)), "JUMP")
    q[elbow] += 1.1
    found = [v.subject for v in world.tick(command=command(world, q)).violations if v.code == "JUMP"]
    assert found == ["left_elbow_joint"]


def _with(upper: np.ndarray) -> np.ndarray:
    q = ROBOT.stand.copy()
    q[UPPER] = upper
    return q


# --- sensors


def source(topic: str, state: str, refusal: str = "") -> SourceHealth:
    return SourceHealth(topic, state, True, "", 10, 5.0, 200.0, 200.0, 0.1, 5.0, 0, (), refusal)


@pytest.mark.parametrize(("sources", "level", "code"), [
    ([source("joint_states", "frozen")], Level.DANGER, "FROZEN"),
    ([source("imu/pelvis", "refusing", "IMU_DISAGREEMENT: does not fit"), source("imu/torso", "ok")],
     Level.CAUTION, "IMU_DISAGREEMENT"),
    ([source("imu/pelvis", "frozen"), source("imu/torso", "frozen")], Level.DANGER, "FROZEN"),
    ([source("camera/head/depth", "frozen")], Level.CAUTION, "FROZEN"),
    ([source("joint_states", "ok")], Level.SAFE, ""),
])
def test_sensors_that_speak_but_are_not_believed(
    world: MonitorWorld, sources: list[SourceHealth], level: Level, code: str
) -> None:
    health = replace(calm_health(world.ros), sources=tuple(sources))
    verdict = world.tick(health=Received(health, world.mono))
    assert verdict.level == level
    assert not code or levels(verdict, code)


# --- heat and battery, ahead of time


def seconds(world: MonitorWorld, count: int, state: Any, level: Level) -> int | None:
    """Tick 10 Hz-like jumps of 100 ms of stamps until `level` is reached; None when it is not."""
    for k in range(count):
        world.mono += 9 * 10 * MS
        world.ros += 9 * 10 * MS
        if world.tick(state=state(k)).raw_level >= level:
            return k
    return None


def slow_world() -> MonitorWorld:
    """One that may tick every 100 ms without being taken for suspended."""
    calm = MonitorWorld()
    calm.config = replace(MONITOR, suspend_gap=0.5, state_timeout=0.5)
    calm.settle()
    return calm


def test_a_motor_that_heats_up_is_announced_in_order_and_with_the_seconds_left() -> None:
    """0.5 K/s from 40 degC: CAUTION two minutes, WARNING half a minute before the limit, DANGER at it."""
    world = slow_world()
    hot = ROBOT.index("left_knee_joint")
    rng = np.random.default_rng(0)

    def state(k: int) -> dict[str, Any]:
        t = 35.0 + rng.normal(0.0, 0.1, ROBOT.n)
        t[hot] += 5.0 + 0.05 * k
        return {"temperature": t}

    at = seconds(world, 1000, state, Level.CAUTION)
    assert at is not None
    first = next(v for v in world.last.violations if v.code == "TEMPERATURE")
    assert "left_knee_joint, seconds to limit" in first.subject
    assert first.value == pytest.approx((85.0 - 40.0 - 0.05 * at) / 0.5, rel=0.3)
    reached = []
    for k in range(at, 1000):
        world.mono += 90 * MS
        world.ros += 90 * MS
        raw = world.tick(state=state(k)).raw_level
        if not reached or raw > reached[-1]:
            reached.append(raw)
        if raw == Level.DANGER:
            break
    assert reached == [Level.CAUTION, Level.WARNING, Level.DANGER]


def test_one_motor_that_tells_no_temperature_hides_no_other() -> None:
    """The seconds to the limit of a knee, while an elbow is silent and a wrist speaks now and then."""
    world = slow_world()
    hot, silent, now_and_then = (ROBOT.index(f"{name}_joint") for name in ("left_knee", "left_elbow",
                                                                         "right_wrist_yaw"))

    def state(k: int) -> dict[str, Any]:
        t = np.full(ROBOT.n, 35.0)
        t[hot] += 5.0 + 0.05 * k
        t[silent] = math.nan
        if k % 7:
            t[now_and_then] = math.nan
        return {"temperature": t}

    for k in range(300):
        seconds(world, 1, lambda _, k=k: state(k), Level.EMERGENCY)  # type: ignore[misc]
    left = [v for v in world.last.violations if "seconds to limit" in v.subject]
    assert [v.subject for v in left] == ["left_knee_joint, seconds to limit"]
    assert left[0].value == pytest.approx((85.0 - 40.0 - 0.05 * 299) / 0.5, rel=0.1)


def test_a_motor_that_told_no_temperature_for_a_moment_is_announced_all_the_same() -> None:
    world = slow_world()
    hot = ROBOT.index("left_knee_joint")

    def state(k: int) -> dict[str, Any]:
        t = np.full(ROBOT.n, 35.0)
        t[hot] = math.nan if k % 40 == 20 else 40.0 + 0.05 * k
        return {"temperature": t}

    for k in range(200):
        seconds(world, 1, lambda _, k=k: state(k), Level.EMERGENCY)  # type: ignore[misc]
    assert any(v.subject == "left_knee_joint, seconds to limit" for v in world.last.violations)


def test_the_noise_of_steady_motors_is_no_trend() -> None:
    world = slow_world()
    rng = np.random.default_rng(0)
    assert seconds(world, 600, lambda _k: {"temperature": 35.0 + rng.normal(0.0, 0.1, ROBOT.n)}, Level.CAUTION) is None


def test_a_battery_that_drains_fast_is_announced_before_it_browns_out() -> None:
    world = slow_world()
    at = seconds(world, 1500, lambda k: {"battery_voltage": 50.0 - 0.005 * k}, Level.CAUTION)
    assert at is not None
    assert 50.0 - 0.005 * at > ROBOT.battery.warn_v, "before the voltage itself is low"
    for k in range(at, at + 600):  # until the window holds nothing but the drain
        world.mono += 90 * MS
        world.ros += 90 * MS
        world.tick(state={"battery_voltage": 50.0 - 0.005 * k})
    left = next(v for v in world.last.violations if v.code == "BATTERY" and "seconds to brown-out" in v.subject)
    assert left.value == pytest.approx((50.0 - 0.005 * (at + 600) - 39.0) / 0.05, rel=0.1)


def test_a_voltage_that_sags_under_load_is_no_drain() -> None:
    """More current, less voltage by R |I|: at rest the pack is where it was. Negative is discharging."""
    world, r = slow_world(), ROBOT.battery.resistance
    assert seconds(world, 700, lambda k: {"battery_voltage": 50.0 - r * 0.02 * k, "battery_current": -3.0 - 0.02 * k},
                   Level.CAUTION) is None


def test_a_drain_that_a_falling_load_hides_is_announced() -> None:
    """1 A less each second lifts the voltage by as much as the pack loses: it looks steady and is not."""
    world, r = slow_world(), ROBOT.battery.resistance

    def state(k: int) -> dict[str, Any]:
        return {"battery_voltage": 45.0, "battery_current": -68.0 + 0.1 * k}

    at = seconds(world, 300, state, Level.CAUTION)
    assert at is not None
    seconds(world, 300, lambda k: state(k + at + 1), Level.DANGER)
    left = next(v for v in world.last.violations if "seconds to brown-out" in v.subject)
    assert left.value == pytest.approx((45.0 - ROBOT.battery.min_v) / (r * 1.0), rel=0.2)


def test_a_slope_starts_anew_when_time_jumps() -> None:
    trend = Trend(20.0, 0.5)
    for k in range(20):
        trend.add(k * NS, np.array([float(k)]))
    slope = trend.slope()
    assert slope is not None
    assert slope[0] == pytest.approx(1.0)
    trend.add(5 * NS, np.array([100.0]))
    assert trend.slope() is None


# --- twin


@pytest.mark.parametrize(("twin", "level"), [
    ({"nis": np.full(ROBOT.n, 1.0)}, Level.SAFE),
    ({"nis": np.full(ROBOT.n, 40.0)}, Level.CAUTION),
    ({"nis": np.full(ROBOT.n, 1e4)}, Level.WARNING),
    ({"nis": speed(left_ankle_roll=1e4)}, Level.CAUTION),
    ({"nis": speed(left_elbow=1e4)}, Level.WARNING),
    ({"anomalies": ("CONTACT left arm 2 N",)}, Level.SAFE),
    ({"anomalies": ("ACTUATOR left_elbow_joint gives 60 %",)}, Level.CAUTION),
    ({"anomalies": ("STALE camera/head/depth",)}, Level.SAFE),
])
def test_a_robot_that_does_not_do_what_its_model_says(world: MonitorWorld, twin: Any, level: Level) -> None:
    verdict = world.ticks(12, twin=twin)
    assert verdict.level == level
    assert bool(levels(verdict, "TWIN_RESIDUAL")) == (level > Level.SAFE)


def prediction(world: MonitorWorld, left: float, age: float = 0.05, code: str = "SELF_COLLISION") -> Received[Any]:
    p = TwinPrediction(world.ros + 10 * MS - round(age * NS), 3, 1.0, 0.1, 0.05, 0.1, code, left + age,
                       first_violation_subject="left_rubber_hand and torso_link")
    return Received(p, world.mono)


@pytest.mark.parametrize(("left", "level"), [(0.8, Level.WARNING), (0.1, Level.DANGER), (-0.02, Level.DANGER),
                                             (math.nan, Level.DANGER)])
def test_an_expected_violation_is_acted_on_before_it_happens(world: MonitorWorld, left: float, level: Level) -> None:
    verdict = world.tick(prediction=prediction(world, left))
    assert verdict.level == level
    assert not verdict.accept_new
    found = next(v for v in verdict.violations if v.code == "SELF_COLLISION")
    assert "left_rubber_hand" in found.subject
    assert math.isnan(left) or found.value == pytest.approx(left, abs=1e-6)


def test_an_old_prediction_means_nothing(world: MonitorWorld) -> None:
    assert world.tick(prediction=prediction(world, 0.1, age=0.6)).level == Level.SAFE
    old = prediction(world, 0.1)
    assert world.tick(prediction=Received(old.value, world.mono - NS)).level == Level.SAFE
    assert world.tick(prediction=prediction(world, math.nan, code="")).level == Level.SAFE


def test_what_the_twin_expects_of_balance_never_stops_and_without_a_chunk_means_nothing(world: MonitorWorld) -> None:
    expected = prediction(world, 0.05, code="SUPPORT")
    alone = Received(replace(expected.value, chunk_seq=0), expected.mono_ns)
    assert world.tick(prediction=alone).level == Level.SAFE
    assert world.tick(prediction=prediction(world, 0.05, code="SUPPORT")).level == Level.WARNING


# --- communication


@pytest.mark.parametrize(("states", "commands", "level"), [(2, 1, Level.SAFE), (1, 1, Level.CAUTION),
                                                           (2, 3, Level.CAUTION), (2, 8, Level.WARNING)])
def test_rates_that_are_too_low_or_too_high(world: MonitorWorld, states: int, commands: int, level: Level) -> None:
    heard = (("ingest/robot_state", states), ("vla/joint_command", commands))
    verdict = world.ticks(130, heard=heard)
    assert verdict.level == level
    assert bool(levels(verdict, "RATE")) == (level > Level.SAFE)


def test_a_gate_that_does_not_hear_this_monitor(world: MonitorWorld) -> None:
    status = GateStatus(world.ros, "holding", "NO_PERMIT", 0, 0, (), 1, 0, 0.0, 0.5)
    verdict = world.tick(gate=Received(status, world.mono))
    assert verdict.level == Level.WARNING
    assert levels(verdict, "NO_PERMIT")
    fine = replace(status, reason="NO_COMMAND", permit_age=0.012)
    assert MonitorWorld().tick(gate=Received(fine, 100 * NS)).violations is not None
    assert not levels(world.tick(gate=Received(fine, world.mono)), "NO_PERMIT")


def heard(states: int) -> tuple[tuple[str, int], ...]:
    return (("ingest/robot_state", states), ("vla/joint_command", 1))


def test_robot_states_that_are_lost_on_the_way_are_counted(world: MonitorWorld) -> None:
    """Two are sent in a tick; of these every eighth is lost, wherever in the tick: 25 in a second, 10 are too many."""
    seq = 0
    for _ in range(100):
        came = [n for n in (seq + 1, seq + 2) if n % 8]
        seq += 2
        verdict = world.tick(state={"seq": came[-1]}, heard=heard(len(came)))
        assert bool(levels(verdict, "LOST")) == (came[-1] // 8 >= 10), "as soon as a later one comes"
    assert verdict.level == Level.CAUTION
    found = next(v for v in verdict.violations if v.code == "LOST")
    assert (found.subject, found.value) == ("ingest/robot_state", pytest.approx(25.0, abs=1.0))
    for _ in range(120):
        seq += 2
        verdict = world.tick(state={"seq": seq}, heard=heard(2))
    assert not levels(verdict, "LOST")


def test_what_is_not_opened_not_sent_or_begins_anew_is_not_lost(world: MonitorWorld) -> None:
    """One to three come in a tick and the newest is looked at; ingest is restarted; a message cannot be read; ingest is
    silent for a while, though it counts on."""
    seq = 0
    for k in range(200):
        came = (2, 1, 3, 2)[k % 4]
        seq += came
        state = world.inputs(state={"seq": seq}).state
        assert not levels(world.tick(state={"seq": seq}, heard=heard(came)), "LOST")
        if k == 50:
            assert not levels(world.tick(state={"seq": seq}, heard=heard(0)), "LOST")
        if k == 100:
            seq = 0
        if k == 120:
            seq += 2
            unreadable = Received(None, world.mono + 8 * MS)
            assert not levels(world.without(state=unreadable, heard=heard(2)), "LOST")
        if k == 150:
            assert state is not None
            last = Received(state.value, world.mono)
            for _ in range(6):
                world.without(state=last, heard=heard(0))
            seq += 900


def test_a_gate_that_misses_periods_is_named_with_how_many(world: MonitorWorld) -> None:
    def status(overruns: int) -> Received[GateStatus]:
        return Received(GateStatus(world.ros, "passing", "", 0, 0, (), 1, overruns, 0.0, 0.012), world.mono)

    assert all(world.tick(gate=status(70)).level == Level.SAFE for _ in range(20)), "long ago"
    assert world.ticks(20, gate=status(74)).level == Level.SAFE
    verdict = world.ticks(20, gate=status(77))
    assert verdict.level == Level.CAUTION
    found = next(v for v in verdict.violations if v.code == "OVERRUN")
    assert (found.value, found.limit) == (7.0, 5.0)
    assert "safety/gate" in found.subject
    assert not levels(world.ticks(110, gate=status(77)), "OVERRUN"), "a second ago"
    assert world.ticks(20, gate=status(0)).level == Level.SAFE, "a gate that was started anew"


# --- posture


def pressed(world: MonitorWorld) -> Any:
    return world.beat("panel", True, 1)


def test_an_emergency_crouches_while_the_robot_stands(world: MonitorWorld) -> None:
    assert world.tick().posture == Posture.HOLD
    assert world.tick(estops=pressed(world)).posture == Posture.CROUCH
    assert world.tick(twin={"support_margin": -0.03}).posture == Posture.HOLD, "not sure: nothing is lowered"
    assert world.tick(twin={"support_margin": 0.05}).posture == Posture.CROUCH


def test_a_fall_that_cannot_be_avoided_is_an_emergency_with_the_fall_posture(world: MonitorWorld) -> None:
    out = [world.tick(twin={"support_margin": 0.08 - 0.03 * k}) for k in range(24)]
    assert out[-1].level == Level.EMERGENCY
    assert out[-1].posture == Posture.FALL
    assert out[3].level < Level.EMERGENCY, "still inside"
    verdict = world.ticks(5, twin={"support_margin": 0.08})
    assert verdict.posture == Posture.FALL, "nobody gets up half-way down"


def test_a_capture_point_that_comes_back_is_no_fall(world: MonitorWorld) -> None:
    """Outside by more than the threshold, but each tick nearer: a robot that is caught, or an estimate that settles."""
    for k in range(24):
        assert world.tick(twin={"support_margin": -0.4 + 0.012 * k}).raw_level <= Level.DANGER
    assert world.last.raw_level == Level.DANGER


def test_a_foot_that_is_unloaded_for_a_moment_is_no_loss_of_balance(world: MonitorWorld) -> None:
    """The polygon is one sole meanwhile: the margin dips far, and comes back within 0.14 s."""
    for _ in range(3):
        assert all(world.tick(twin={"support_margin": -0.3}).level == Level.SAFE for _ in range(11))
        assert world.ticks(10).level == Level.SAFE


WEIGHT = ROBOT.mass * 9.81
LEFT_ALONE = {"foot_force": np.array([[0.0, 0.0, WEIGHT], [0.0, 0.0, 0.0]])}


def test_a_centre_of_mass_beside_the_one_foot_that_stands_is_dangerous(world: MonitorWorld) -> None:
    """Midway between the feet is inside while both stand. Where the robot stands, and how it is turned, is the same."""
    both = {"foot_force": np.array([[0.0, 0.0, WEIGHT / 2], [0.0, 0.0, WEIGHT / 2]])}
    away, turn = np.array([3.0, -2.0, 0.0]), np.array([math.cos(0.7), 0.0, 0.0, math.sin(0.7)])
    for place in ({}, {"base_position": np.array([3.0, -2.0, 0.75]), "base_orientation": turn,
                       "com": away + [0.03 * math.cos(1.4), 0.03 * math.sin(1.4), 0.6], "capture_point": away}):
        assert world.ticks(40, state=both, twin=place).level == Level.SAFE
        twin = {**place, "support_margin": 0.001}
        verdict = world.ticks(20, state=LEFT_ALONE, twin=twin)
        assert verdict.level == Level.DANGER
        found = next(v for v in verdict.violations if v.subject == "centre_of_mass")
        assert found.value == pytest.approx(-0.09, abs=0.01)
        world.settle()


def test_a_centre_of_mass_that_is_outside_for_a_moment_is_no_loss_of_balance(world: MonitorWorld) -> None:
    for _ in range(3):
        outside = {"com": np.array([0.25, 0.0, 0.6]), "support_margin": 0.01}
        assert all(world.tick(twin=outside).level == Level.SAFE for _ in range(11))
        assert world.ticks(10).level == Level.SAFE


def test_a_capture_point_that_runs_ahead_of_a_centre_of_mass_well_inside_is_for_support_alone(
    world: MonitorWorld
) -> None:
    """A push that the robot catches: 0.1 m ahead and 1 cm inside."""
    verdict = world.ticks(40, twin={"capture_point": np.array([0.109, 0.0, 0.0]), "support_margin": 0.01})
    assert [v.subject for v in verdict.violations] == ["capture_point"]
    assert verdict.level == Level.CAUTION


def test_a_robot_that_lies_falls_and_without_a_twin_nothing_is_lowered(world: MonitorWorld) -> None:
    lean = np.array([math.cos(0.6), 0.0, math.sin(0.6), 0.0])
    assert world.ticks(3, state={"orientation": lean}).posture == Posture.FALL
    blind = MonitorWorld()
    blind.settle()
    silent = Received(blind.inputs().twin.value, blind.mono - NS)  # type: ignore[union-attr]
    assert blind.without(estops=pressed(blind), twin=silent).posture == Posture.HOLD


def test_one_wild_sample_does_not_choose_the_fall(world: MonitorWorld) -> None:
    world.tick(estops=pressed(world))
    assert world.tick(twin={"support_margin": -0.5}).posture == Posture.HOLD
    assert world.tick().posture == Posture.CROUCH


def test_calm_inputs_with_everything_connected_stay_safe() -> None:
    world = at_table()
    for k in range(300):
        status = GateStatus(world.ros, "passing", "", k, 0, (), k, 0, 0.0, 0.012)
        verdict = world.tick(
            state={"foot_force": np.array([[0, 0, 160.0], [0, 0, 160.0]])}, gate=Received(status, world.mono),
            command=command(world, ROBOT.stand[UPPER]), prediction=prediction(world, math.nan, code=""),
            heard=(("ingest/robot_state", 2), ("vla/joint_command", 1)))
        assert verdict.level == Level.SAFE, verdict.cause


def test_what_a_robot_has_no_sensor_for_is_not_missed(world: MonitorWorld, tmp_path: Path) -> None:
    """An arm on a table has no feet and no IMU; a humanoid without one cannot be judged."""
    arm = load_robot(write_robot(tmp_path, arm_data("mjcf", "arm.xml"), ARM_MJCF))
    state = replace(calm_state(0), position=np.zeros(arm.n), velocity=np.zeros(arm.n), effort=np.zeros(arm.n),
                    temperature=np.full(arm.n, np.nan), orientation=np.full(4, np.nan),
                    angular_velocity=np.full(3, np.nan), linear_acceleration=np.full(3, np.nan),
                    foot_force=np.full((2, 3), np.nan), battery_voltage=math.nan, battery_current=math.nan)
    arm_tick = Tick(Inputs(0), 0, arm, MONITOR, world.memory, state)
    assert non_finite.check(arm_tick) == tilt.check(arm_tick) == []
    without = replace(ROBOT, sources={t: s for t, s in ROBOT.sources.items() if s.kind != "imu"}, imus=())
    humanoid = replace(calm_state(0), orientation=np.full(4, np.nan))
    found = non_finite.check(Tick(Inputs(0), 0, without, MONITOR, world.memory, humanoid))
    assert [(f.subject, f.severity) for f in found] == [("orientation", 0.75)]
