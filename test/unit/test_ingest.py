"""The ingest core: every fault told apart and counted, backups, alignment, and a clock that jumps."""

from __future__ import annotations

import dataclasses
import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_world import LATE, PERIOD, ROBOT, START, IngestWorld, lost
from robots import ARM_MJCF, arm_data, write_robot

from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import matrix_quat
from humanoid_core.robot import SourceSpec, load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import ImuSample, JointSample
from twin_nodes.core.imu_transfer import ImuTransfer
from twin_nodes.core.ingest import IngestCore
from twin_nodes.core.other_checks import PictureStamp

N = ROBOT.n


def names_with(change: Any) -> tuple[str, ...]:
    names = list(ROBOT.joint_names)
    change(names)
    return tuple(names)


def with_value(values: np.ndarray, i: int, value: float) -> np.ndarray:
    out = values.copy()
    out[i] = value
    return out


BAD_JOINTS = {
    "zero stamp": (dict(stamp_ns=0), "ZERO_STAMP"),
    "stale": (dict(stamp_ns=START - 500 * MS), "STALE"),
    "future": (dict(stamp_ns=START + 500 * MS), "FUTURE"),
    "NaN position": (dict(position=np.full(N, np.nan)), "NON_FINITE"),
    "infinite velocity": (dict(velocity=with_value(np.zeros(N), 3, np.inf)), "NON_FINITE"),
    "NaN effort": (dict(effort=with_value(np.zeros(N), 28, np.nan)), "NON_FINITE"),
    "short position": (dict(position=np.zeros(N - 1)), "WRONG_LENGTH"),
    "no velocity": (dict(velocity=np.zeros(0)), "WRONG_LENGTH"),
    "long effort": (dict(effort=np.zeros(N + 1)), "WRONG_LENGTH"),
    "missing name": (dict(names=ROBOT.joint_names[1:], position=np.zeros(N - 1), velocity=np.zeros(N - 1),
                          effort=np.zeros(N - 1)), "WRONG_NAMES"),
    "unknown name": (dict(names=names_with(lambda x: x.__setitem__(0, "left_hip_pich_joint"))), "WRONG_NAMES"),
    "name twice": (dict(names=names_with(lambda x: x.__setitem__(0, x[1]))), "WRONG_NAMES"),
    "no names": (dict(names=()), "WRONG_NAMES"),
    "degrees": (dict(position=np.degrees(ROBOT.stand)), "OUT_OF_RANGE"),
    "far outside": (dict(position=with_value(ROBOT.stand, 0, 5.0)), "OUT_OF_RANGE"),
    "impossible velocity": (dict(velocity=np.full(N, 500.0)), "OUT_OF_RANGE"),
}
BAD_IMUS = {
    "NaN orientation": (dict(orientation=np.array([np.nan, 0.0, 0.0, 0.0])), "NON_FINITE"),
    "infinite rate": (dict(angular_velocity=np.array([0.0, -np.inf, 0.0])), "NON_FINITE"),
    "NaN acceleration": (dict(linear_acceleration=np.array([0.0, 0.0, np.nan])), "NON_FINITE"),
    "no orientation": (dict(orientation=np.zeros(4)), "NON_UNIT_QUATERNION"),
    "long quaternion": (dict(orientation=np.array([1.1, 0.0, 0.0, 0.0])), "NON_UNIT_QUATERNION"),
    "impossible rate": (dict(angular_velocity=np.array([0.0, 0.0, 500.0])), "OUT_OF_RANGE"),
    "stale": (dict(stamp_ns=START - 500 * MS), "STALE"),
    "zero stamp": (dict(stamp_ns=0), "ZERO_STAMP"),
}


@pytest.mark.parametrize("case", BAD_JOINTS)
def test_a_bad_joint_sample_is_refused_whole_with_its_reason(case: str) -> None:
    world = IngestWorld().run(100)
    made, accepted = len(world.states), world.health("joint_states").accepted
    values, code = BAD_JOINTS[case]
    world.now += PERIOD
    output = world.give("joint_states", world.joints(**values))
    assert output.state is None
    assert output.refusal is not None
    assert (output.refusal.topic, output.refusal.code) == ("joint_states", code)
    assert world.count("joint_states", code) == 1
    assert world.health("joint_states").accepted == accepted
    world.run(5)
    assert len(world.states) == made + 1, "the next good sample makes a state again"
    assert np.abs(world.states[-1].position - ROBOT.stand).max() < 0.01


@pytest.mark.parametrize("case", BAD_IMUS)
def test_a_bad_imu_sample_is_refused_with_its_reason(case: str) -> None:
    world = IngestWorld().run(100)
    values, code = BAD_IMUS[case]
    world.now += PERIOD
    output = world.give("imu/pelvis", world.imu(**values))
    assert output.refusal is not None
    assert output.refusal.code == code
    assert world.count("imu/pelvis", code) == 1
    assert world.count("imu/torso", code) == 0, "each source counts for itself"
    state = world.give("joint_states", world.joints()).state
    assert state is not None
    assert np.isfinite(state.orientation).all()


def test_names_in_the_refusal_are_the_offending_ones() -> None:
    world = IngestWorld().run(10)
    world.now += PERIOD
    names = names_with(lambda x: x.__setitem__(4, "left_ankel"))
    refusal = world.give("joint_states", world.joints(names=names)).refusal
    assert refusal is not None
    assert "left_ankel" in refusal.detail
    assert ROBOT.joint_names[4] in refusal.detail


def test_degrees_are_called_degrees() -> None:
    world = IngestWorld().run(10)
    world.now += PERIOD
    refusal = world.give("joint_states", world.joints(position=np.degrees(ROBOT.stand))).refusal
    assert refusal is not None
    assert "degrees" in refusal.detail


def test_copies_and_late_samples_are_told_apart() -> None:
    world = IngestWorld().run(50)
    good = world.samples()["joint_states"]
    assert world.give("joint_states", replace(good, stamp_ns=world.now)).refusal.code == "DUPLICATE"  # type: ignore
    late = replace(good, stamp_ns=world.now - PERIOD // 2)
    assert world.give("joint_states", late).refusal.code == "OUT_OF_ORDER"  # type: ignore
    assert world.health("joint_states").state == "ok", "a copy does no harm"


@pytest.mark.parametrize("topic", ["battery_state", "motor_status", "foot_contacts/left"])
def test_the_slow_sources_are_judged_too(topic: str) -> None:
    spoil = {"battery_state": dict(voltage=math.nan), "motor_status": dict(temperature=np.full(N, np.inf)),
             "foot_contacts/left": dict(force=np.array([0.0, math.nan, 0.0]))}
    world = IngestWorld().run(50)
    world.now += PERIOD
    assert world.give(topic, replace(world.samples()[topic], **spoil[topic])).refusal.code == "NON_FINITE"  # type: ignore
    assert world.give(topic, world.samples()[topic]).refusal is None


def test_motor_status_of_other_joints_or_in_another_order() -> None:
    world = IngestWorld().run(10)
    world.now += PERIOD
    sample = replace(world.samples()["motor_status"], temperature=np.arange(N, dtype=float))
    turned = replace(sample, names=sample.names[::-1], temperature=sample.temperature[::-1])
    assert world.give("motor_status", turned).refusal is None
    state = world.give("joint_states", world.joints()).state
    assert state is not None
    assert np.array_equal(state.temperature, np.arange(N))
    world.now += PERIOD
    foreign = replace(sample, stamp_ns=world.now, names=("a", *sample.names[1:]))
    assert world.give("motor_status", foreign).refusal.code == "WRONG_NAMES"  # type: ignore


def test_nothing_is_published_before_every_required_source_was_seen() -> None:
    world = IngestWorld()
    world.changes["imu/pelvis"] = lost
    world.run(300)
    assert world.states == []
    assert world.core.waiting_for() == ("imu/pelvis",)
    health = world.health("imu/pelvis")
    assert (health.state, health.last_refusal) == ("waiting", "NEVER_SEEN")
    assert not world.core.health(world.now).all_required_ok
    world.changes.clear()
    world.run(5)
    assert len(world.states) == 1


def test_what_was_never_measured_is_nan_and_named() -> None:
    world = IngestWorld()
    world.changes |= {"battery_state": lost, "foot_contacts/right": lost}
    state = world.run(20).states[-1]
    assert math.isnan(state.battery_voltage)
    assert np.isnan(state.foot_force[1]).all()
    assert np.array_equal(state.foot_force[0], [0.0, 0.0, 160.0])
    assert state.stale_sources == ("battery_state", "foot_contacts/right")


def test_the_backup_takes_over_and_hands_back_after_the_dwell() -> None:
    world = IngestWorld().run(100)
    world.changes["imu/pelvis"] = lost
    world.run(60)
    state = world.states[-1]
    assert state.imu_source == "imu/torso"
    assert state.stale_sources == ()
    assert any(e.startswith("BACKUP_ACTIVE") for e in world.events)
    row = world.health("imu/pelvis")
    assert (row.state, row.active, row.backup) == ("stale", False, "imu/torso")
    assert world.core.health(world.now).all_required_ok, "a backup counts as well"
    world.changes.clear()
    world.run(400)
    assert world.states[-1].imu_source == "imu/torso", "not before it has been good for the dwell time"
    world.run(200)
    assert world.states[-1].imu_source == "imu/pelvis"
    assert world.health("imu/pelvis").active


@pytest.mark.parametrize("case", ["frozen", "refusing"])
def test_the_backup_takes_over_from_a_source_that_talks_nonsense(case: str) -> None:
    world = IngestWorld().run(100)
    fixed = world.imu()
    if case == "frozen":
        world.changes["imu/pelvis"] = lambda s: replace(fixed, stamp_ns=s.stamp_ns)
    else:
        world.changes["imu/pelvis"] = lambda s: replace(s, orientation=np.full(4, np.nan))
    world.run(300)
    assert world.health("imu/pelvis").state == case
    assert world.states[-1].imu_source == "imu/torso"
    assert world.states[-1].stale_sources == ()


def test_without_any_imu_the_last_good_one_is_held_and_named_stale() -> None:
    world = IngestWorld().run(100)
    last = world.states[-1].orientation
    world.changes |= {"imu/pelvis": lost, "imu/torso": lost}
    world.run(100)
    state = world.states[-1]
    assert state.stale_sources == ("imu/pelvis",)
    assert np.allclose(state.orientation, last, atol=1e-3)
    assert not world.core.health(world.now).all_required_ok


def test_imus_that_stop_are_stale_with_the_fourth_joint_sample_after_them() -> None:
    world = IngestWorld().run(100)
    world.changes.update({"imu/pelvis": lost, "imu/torso": lost})
    world.run(15)
    assert world.states[-1].stale_sources == ()
    world.run(5)
    assert world.states[-1].stale_sources == ("imu/pelvis",)


def test_an_imu_that_lags_behind_leaves_for_the_whole_dwell() -> None:
    """Its backup speaks at once and without a break, also while the lag is shorter than what counts as silence."""
    world = IngestWorld().run(100)
    count = len(world.states)
    world.changes["imu/pelvis"] = lost
    world.run(35)
    world.changes.clear()
    world.run(400)
    assert [s.stale_sources for s in world.states[count:]] == [()] * len(world.states[count:])
    assert [s.imu_source for s in world.states[count + 3:]] == ["imu/torso"] * len(world.states[count + 3:])
    assert len([e for e in world.events if e.startswith("BACKUP_ACTIVE")]) == 1
    world.run(200)
    assert world.states[-1].imu_source == "imu/pelvis"


def test_a_clock_that_begins_anew_ends_the_time_of_the_backup() -> None:
    world = IngestWorld().run(100)
    world.changes["imu/pelvis"] = lost
    world.run(60)
    assert world.states[-1].imu_source == "imu/torso"
    world.changes.clear()
    world.now -= 900 * NS
    world.run(50)
    assert world.states[-1].imu_source == "imu/pelvis"


def test_what_comes_late_altogether_still_belongs_together() -> None:
    """A busy machine delays joints and IMUs alike: their stamps say that they are of one instant."""
    world = IngestWorld().run(100)
    count = len(world.states)
    waiting: list[tuple[str, Any]] = []
    for _ in range(7):
        world.now += PERIOD
        waiting += world.samples().items()
    for topic, sample in sorted(waiting, key=lambda w: w[0] == "joint_states"):
        world.give(topic, sample)
    assert [s.stale_sources for s in world.states[count:]] == [()] * 7
    assert {s.imu_source for s in world.states} == {"imu/pelvis"}
    assert world.events == []


def test_a_stopped_sensor_is_stale_when_its_limit_has_passed() -> None:
    world = IngestWorld().run(100)
    world.changes["foot_contacts/left"] = lost
    world.run(55)
    assert world.states[-1].stale_sources == ()
    world.run(15)
    assert world.states[-1].stale_sources == ("foot_contacts/left",)


def test_frozen_values_are_refused_while_stamps_advance_and_accepted_when_they_move() -> None:
    world = IngestWorld().run(100)
    fixed = world.joints()
    world.changes["joint_states"] = lambda s: replace(fixed, stamp_ns=s.stamp_ns)
    world.run(300)
    assert world.count("joint_states", "FROZEN") > 10
    assert world.health("joint_states").state == "frozen"
    made = len(world.states)
    world.changes.clear()
    world.run(5)
    assert len(world.states) == made + 1
    assert world.health("joint_states").state == "ok"


def test_a_foot_in_the_air_is_not_frozen() -> None:
    world = IngestWorld()
    world.changes["foot_contacts/left"] = lambda s: replace(s, force=np.zeros(3))
    world.run(2000)
    assert world.health("foot_contacts/left").state == "ok"


def test_a_frozen_picture_is_noticed() -> None:
    world = IngestWorld()
    for _ in range(40):
        world.now += 66 * MS
        world.give("camera/head/image_raw", PictureStamp(world.now, 1000, 77))
    assert world.health("camera/head/image_raw").state == "frozen"
    world.now += 66 * MS
    assert world.give("camera/head/image_raw", PictureStamp(world.now, 1000, 78)).refusal is None


def test_an_imu_that_leans_against_its_own_gravity_is_dropped_and_returns() -> None:
    world = IngestWorld().run(200)
    lean = np.array([math.cos(0.1), math.sin(0.1), 0.0, 0.0])
    world.changes["imu/pelvis"] = lambda s: replace(s, orientation=lean)
    world.run(600)
    assert world.count("imu/pelvis", "IMU_DISAGREEMENT") == 1
    assert world.count("imu/torso", "IMU_DISAGREEMENT") == 0
    assert world.states[-1].imu_source == "imu/torso"
    world.changes.clear()
    world.run(700)
    assert world.states[-1].imu_source == "imu/pelvis"


def test_a_worse_backup_is_dropped_and_the_primary_stays() -> None:
    world = IngestWorld().run(200)
    lean = np.array([math.cos(0.1), 0.0, math.sin(0.1), 0.0])
    world.changes["imu/torso"] = lambda s: replace(s, orientation=lean)
    world.run(600)
    assert world.health("imu/torso").state == "refusing"
    assert world.states[-1].imu_source == "imu/pelvis"


def test_the_orientation_is_brought_to_the_joints_time() -> None:
    world = IngestWorld().run(20)
    world.now += PERIOD
    rate = 2.0
    early = world.now - 4 * MS
    world.give("imu/pelvis", world.imu(stamp_ns=early, angular_velocity=np.array([0.0, 0.0, rate])))
    state = world.give("joint_states", world.joints()).state
    assert state is not None
    assert 2.0 * math.asin(state.orientation[3]) == pytest.approx(rate * 4e-3, rel=1e-6)
    assert np.linalg.norm(state.orientation) == pytest.approx(1.0)


def test_a_clock_that_jumps_back_starts_anew_and_says_so() -> None:
    world = IngestWorld().run(300)
    before = world.health("joint_states").accepted
    world.now = START - 10_000 * MS
    world.run(300)
    assert world.core.resets["CLOCK_RESET"] == 1
    assert any(e.startswith("CLOCK_RESET") for e in world.events)
    assert world.states[-1].stamp_ns == world.now
    assert world.states[-1].stale_sources == ()
    assert world.health("joint_states").accepted > before, "counters go on"
    assert world.health("joint_states").rate_hz == pytest.approx(200.0, rel=0.01)


@pytest.mark.parametrize("first", ["joint_states", "imu/pelvis"])
def test_a_wall_clock_that_is_set_ahead_ages_no_sensor(first: str) -> None:
    """Whoever speaks first after it; the slow ones speak again only half a second later."""
    world = IngestWorld().run(300)
    count, gaps = len(world.states), world.health("battery_state").gaps
    world.changes.update({"battery_state": lost, "motor_status": lost})
    world.set_clock(5 * NS)
    world.now += PERIOD
    world.give(first, world.samples()[first])
    health = world.core.health(world.now + LATE, world.now + LATE - world.set_by)
    assert health.all_required_ok
    assert [s.state for s in health.sources if s.topic == "battery_state"] == ["ok"]
    world.run(400)
    assert len(world.states) - count == 80 + (first == "joint_states")
    assert {s.stale_sources for s in world.states[count:]} == {()}
    assert {s.imu_source for s in world.states[count:]} == {"imu/pelvis"}
    assert (world.refusals, world.events) == ([], [])
    assert world.health("battery_state").gaps == gaps


def test_what_was_stale_stays_so_when_the_wall_clock_is_set() -> None:
    world = IngestWorld().run(300)
    world.changes["imu/torso"] = lost
    world.changes["imu/pelvis"] = lost
    world.run(50)
    assert world.states[-1].stale_sources == ("imu/pelvis",)
    world.set_clock(5 * NS)
    world.run(5)
    assert world.states[-1].stale_sources == ("imu/pelvis",)


def test_the_way_of_a_sample_is_told_however_old_it_is_by_now() -> None:
    world = IngestWorld()
    world.run(100)
    for topic in ("joint_states", "imu/pelvis"):
        assert world.health(topic).delay_ms == pytest.approx(LATE / MS)
    world.changes["imu/pelvis"] = lost
    world.run(100)
    silent = world.health("imu/pelvis")
    assert silent.age_ms > 90.0
    assert silent.delay_ms == pytest.approx(LATE / MS)


def test_health_measures_rate_jitter_and_gaps() -> None:
    world = IngestWorld()
    gap = iter(range(10_000))
    world.changes["imu/torso"] = lambda s: None if 50 <= next(gap) % 100 < 55 else s
    world.run(1500)
    steady, holed = world.health("joint_states"), world.health("imu/torso")
    assert steady.rate_hz == pytest.approx(200.0, rel=1e-6)
    assert steady.jitter_ms == pytest.approx(0.0, abs=1e-6)
    assert (steady.gaps, steady.age_ms) == (0, pytest.approx(LATE / MS))
    assert holed.gaps == 3
    assert holed.gap_ms == pytest.approx(30.0)
    assert holed.rate_hz == pytest.approx(190.0, rel=0.01)


def test_a_robot_without_imu_or_feet_makes_states(tmp_path: Any) -> None:
    data = arm_data("mjcf", "arm.xml")
    data["sources"] = {"joint_states": {"kind": "joints", "rate": 100.0, "max_age_ms": 50.0, "required": True}}
    robot = load_robot(str(write_robot(tmp_path, data, ARM_MJCF)))
    core = IngestCore.for_robot(robot)
    sample = JointSample(START, ("bend", "lift"), np.array([0.2, -0.1]), np.zeros(2))
    state = core.on_sample("joint_states", sample, START + MS).state
    assert state is not None
    assert dict(zip(robot.joint_names, state.position, strict=True)) == {"lift": -0.1, "bend": 0.2}
    assert np.isnan(state.effort).all(), "what was not given is not made up"


def test_a_recording_of_an_unknown_robot_takes_its_names_from_the_first_sample() -> None:
    core = IngestCore({"wheels": SourceSpec("wheels", "joints", 30.0, 200.0, 0.0, False, None)})
    first = JointSample(START, ("right", "left"), np.array([1.0, 2.0]))
    assert core.on_sample("wheels", first, START).state is not None
    swapped = JointSample(START + 33 * MS, ("left", "right"), np.array([2.5, 1.5]))
    state = core.on_sample("wheels", swapped, START + 33 * MS).state
    assert core.joint_names == ("right", "left")
    assert state is not None
    assert np.array_equal(state.position, [1.5, 2.5])
    other = JointSample(START + 66 * MS, ("left", "top"), np.array([2.5, 1.5]))
    assert core.on_sample("wheels", other, START + 66 * MS).refusal.code == "WRONG_NAMES"  # type: ignore


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_torso_reading_is_the_pelvis_reading_through_the_waist(seed: int) -> None:
    """Truth: one rigid base turning in the world, joints moving; both readings computed from it."""
    rng = np.random.default_rng(seed)
    kinematics = Kinematics(ROBOT)
    pelvis, torso = ROBOT.imus
    q, dq = rng.uniform(ROBOT.lower, ROBOT.upper), rng.normal(0.0, 1.0, N)
    base = rng.normal(size=4)
    base /= np.linalg.norm(base)
    turn = rng.normal(size=3)
    kinematics.update(q, base_quat=base, dq=dq, base_angular=turn)
    r_p, r_t = kinematics.rotation(pelvis.link), kinematics.rotation(torso.link)
    waist = (kinematics.rotation_jacobian(torso.link) - kinematics.rotation_jacobian(pelvis.link)) @ dq
    reading = ImuSample(START, matrix_quat(r_t), r_t.T @ (r_p @ turn + waist), r_t.T @ np.array([0.0, 0.0, 9.81]))
    moved = ImuTransfer(ROBOT, Kinematics(ROBOT), pelvis, torso)(reading, q, dq)
    assert abs(moved.orientation @ base) == pytest.approx(1.0, abs=1e-9)
    assert np.allclose(moved.angular_velocity, turn, atol=1e-9)
    assert np.allclose(moved.linear_acceleration, r_p.T @ np.array([0.0, 0.0, 9.81]), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(N)))
def test_the_order_of_names_changes_nothing(order: list[int]) -> None:
    plain, turned = IngestWorld().run(20), IngestWorld().run(20)
    idx = np.array(order)
    for world in (plain, turned):
        world.now += PERIOD
    sample = plain.joints()
    mixed = JointSample(sample.stamp_ns, tuple(sample.names[i] for i in order), sample.position[idx],
                        sample.velocity[idx], sample.effort[idx])
    a, b = plain.give("joint_states", sample).state, turned.give("joint_states", mixed).state
    assert a is not None
    assert b is not None
    for field in ("position", "velocity", "effort"):
        assert getattr(a, field).tobytes() == getattr(b, field).tobytes()


ARRAYS = [("joint_states", f, N) for f in ("position", "velocity", "effort")] + [
    (t, f, k) for t in ("imu/pelvis", "imu/torso")
    for f, k in (("orientation", 4), ("angular_velocity", 3), ("linear_acceleration", 3))] + [
    (t, f, 3) for t in ("foot_contacts/left", "foot_contacts/right") for f in ("force", "torque")] + [
    ("motor_status", f, N) for f in ("temperature", "current", "voltage")] + [
    ("battery_state", f, 0) for f in ("voltage", "current", "percentage")]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(ARRAYS), st.integers(0, 1000), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_no_number_that_is_none_gets_through_anywhere(where: tuple[str, str, int], at: int, bad: float) -> None:
    world = IngestWorld().run(20)
    topic, field, size = where
    world.now += PERIOD
    sample = world.samples()[topic]
    value = with_value(getattr(sample, field), at % size, bad) if size else bad
    refusal = world.give(topic, replace(sample, **{field: value})).refusal
    assert refusal is not None
    assert refusal.code == "NON_FINITE"
    state = world.run(5).states[-1]
    for f in dataclasses.fields(state):
        held = getattr(state, f.name)
        if isinstance(held, np.ndarray | float):
            assert np.isfinite(held).all(), f.name


def spoilt(sample: Any, kind: int) -> Any:
    """One of several ways to spoil a sample, or none."""
    if kind == 1:
        return None
    if kind in (2, 3, 4):
        return replace(sample, stamp_ns={2: 0, 3: sample.stamp_ns - 400 * MS, 4: sample.stamp_ns + 100 * MS}[kind])
    if kind == 5 and isinstance(sample, JointSample):
        return replace(sample, position=sample.position[:-1])
    if kind == 6 and isinstance(sample, ImuSample):
        return replace(sample, orientation=sample.orientation * 2.0)
    return sample


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=5, max_size=60), st.integers(0, 60))
def test_counters_never_go_back_and_the_same_input_gives_the_same_bytes(
        kinds: list[tuple[int, int]], jump: int) -> None:
    def play() -> tuple[bytes, list[Any]]:
        world = IngestWorld(seed=4)
        counts, before = [], (0, 0)
        for step, (imu, joints) in enumerate(kinds):
            if step == jump:
                world.now -= 3000 * MS
            world.changes = {"imu/pelvis": lambda s, k=imu: spoilt(s, k),
                             "joint_states": lambda s, k=joints: spoilt(s, k)}
            world.run(5)
            health = world.core.health(world.now + LATE)
            now = (sum(s.accepted for s in health.sources), sum(c for s in health.sources for _, c in s.refusals))
            assert now[0] >= before[0]
            assert now[1] >= before[1]
            before = now
            counts.append(health)
        assert [s.seq for s in world.states] == list(range(1, len(world.states) + 1))
        return pickle.dumps(world.states), counts

    first, second = play(), play()
    assert first[0] == second[0]
    assert repr(first[1]) == repr(second[1])
