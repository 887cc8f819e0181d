"""The twin's core: where the base is, how sure it is, what it refuses, and what it expects of a chunk."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robots import ARM_MJCF, arm_data, write_robot

from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import build_model, matrix_quat, standing_height
from humanoid_core.robot import RobotError, load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, RobotState, TwinState, TwinStatus
from twin_nodes.core.joint_dynamics import JointDynamics
from twin_nodes.core.prediction import Predictor
from twin_nodes.core.start import start_of
from twin_nodes.core.twin import TwinCore

ROBOT = load_robot("g1")
N = ROBOT.n
START = 1_000_000_000_000
PERIOD = 10 * MS
HEIGHT = standing_height(ROBOT, build_model(ROBOT), ROBOT.stand)
#: Torque that holds the arms against gravity.
HOLDING = JointDynamics(ROBOT).at(ROBOT.stand, np.zeros(N)).bias
LEGS = [ROBOT.index(f"{s}_{j}_joint") for s in ("left", "right") for j in ("hip_pitch", "knee", "ankle_pitch")]


def state(stamp_ns: int, **values: Any) -> RobotState:
    base = RobotState(stamp_ns, 1, ROBOT.stand, np.zeros(N), HOLDING, np.full(N, 40.0),
                      np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3), np.array([0.0, 0.0, 9.81]),
                      np.array([[0.0, 0.0, 160.0], [0.0, 0.0, 160.0]]), 50.0, -2.0, (), "imu/pelvis")
    return replace(base, **values)


def feed(core: TwinCore, count: int = 1, **values: Any) -> TwinState:
    stamp = core.latest.stamp_ns if core.latest is not None else START
    for _ in range(count):
        stamp += PERIOD
        twin = core.on_state(state(stamp, **values), stamp + MS)
        assert twin is not None
    return twin


def crouched(depth: float) -> np.ndarray:
    """The stand with both legs bent further, the soles flat: hip - a, knee + 2a, ankle - a."""
    q = ROBOT.stand.copy()
    q[LEGS] += depth * np.array([-1.0, 2.0, -1.0, -1.0, 2.0, -1.0])
    return q


def bending(speed: float) -> np.ndarray:
    """Joint velocities of ``crouched`` when its depth grows so fast."""
    dq = np.zeros(N)
    dq[LEGS] = speed * np.array([-1.0, 2.0, -1.0, -1.0, 2.0, -1.0])
    return dq


def test_standing_still() -> None:
    twin = feed(TwinCore(ROBOT), 5)
    assert twin.status == TwinStatus.OK
    assert twin.base_position == pytest.approx([0.0, 0.0, HEIGHT], abs=1e-9)
    assert twin.base_linear == pytest.approx(np.zeros(3), abs=1e-9)
    assert twin.model_hash == ROBOT.hash
    assert 0.03 < twin.support_margin < 0.2
    assert twin.capture_point == pytest.approx([twin.com[0], twin.com[1], 0.0])
    assert twin.sync_quality == pytest.approx(1.0)
    assert twin.latency == pytest.approx(1e-3)
    assert np.all(twin.position_stddev > 0.0)


def test_the_feet_stay_where_they_are_when_the_legs_bend() -> None:
    core, kinematics = TwinCore(ROBOT), Kinematics(ROBOT)

    def soles(twin: TwinState) -> np.ndarray:
        kinematics.update(twin.position, twin.base_position, twin.base_orientation)
        return np.vstack(kinematics.foot_points())

    before = soles(feed(core, velocity=bending(0.5)))
    for k in range(1, 60):
        twin = feed(core, position=crouched(0.005 * k), velocity=bending(0.5))
    assert twin.base_position[2] < HEIGHT - 0.02
    assert np.abs(soles(twin) - before).max() < 0.004
    assert soles(twin)[:, 2].min() == pytest.approx(ROBOT.foot_radius)


def test_the_velocity_of_the_base_is_the_change_of_its_position() -> None:
    core, dt = TwinCore(ROBOT), PERIOD / NS
    speed = 0.4
    feed(core, position=crouched(0.0), velocity=bending(speed))
    for k in range(1, 20):
        before = core.state
        twin = feed(core, position=crouched(speed * k * dt), velocity=bending(speed))
        assert before is not None
        moved = (twin.base_position - before.base_position) / dt
        assert twin.base_linear == pytest.approx(moved, abs=0.01)
    assert twin.base_linear[2] < -0.05


def test_a_moving_centre_of_mass_moves_the_capture_point_ahead() -> None:
    still = feed(TwinCore(ROBOT))
    dq = np.zeros(N)
    dq[[ROBOT.index("left_ankle_pitch_joint"), ROBOT.index("right_ankle_pitch_joint")]] = -0.3
    # Both ankles turn the whole body about the soles; the pelvis IMU feels it.
    falling = feed(TwinCore(ROBOT), velocity=dq, angular_velocity=np.array([0.0, 0.3, 0.0]))
    assert falling.base_linear[0] > 0.1
    assert falling.capture_point[0] > still.capture_point[0] + 0.02
    assert falling.support_margin < still.support_margin


def test_one_foot_alone_carries_less_far() -> None:
    both = feed(TwinCore(ROBOT))
    one = feed(TwinCore(ROBOT), foot_force=np.array([[0.0, 0.0, 320.0], [0.0, 0.0, 0.0]]))
    assert one.support_margin < 0.0 < both.support_margin
    assert one.anomalies == ()


def test_a_foot_that_is_not_felt_still_carries() -> None:
    """Half the weight is felt and nothing falls: the other foot stands, its sensor is at fault."""
    half = 0.5 * 9.81 * float(TwinCore(ROBOT).track.kinematics.model.body_subtreemass[1])
    core = TwinCore(ROBOT)
    feed(core)
    one = feed(core, 10, foot_force=np.array([[0.0, 0.0, half], [0.0, 0.0, 0.0]]))
    assert one.anomalies == ("FOOT_FORCE",)
    assert one.support_margin == pytest.approx(feed(TwinCore(ROBOT)).support_margin, abs=1e-3)


def test_no_foot_on_the_ground_is_said() -> None:
    core = TwinCore(ROBOT)
    feed(core)
    air = feed(core, 10, foot_force=np.zeros((2, 3)), linear_acceleration=np.zeros(3))
    assert "NO_CONTACT" in air.anomalies
    assert air.base_linear[2] == pytest.approx(-9.81 * 10 * PERIOD / NS, rel=1e-6)
    assert math.isfinite(air.support_margin)


def test_without_foot_sensors_the_lowest_foot_stands() -> None:
    twin = feed(TwinCore(ROBOT), foot_force=np.full((2, 3), np.nan))
    assert twin.base_position[2] == pytest.approx(HEIGHT)
    assert twin.support_margin > 0.0
    assert twin.sync_quality < 1.0


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.4, 0.4), st.floats(-0.2, 0.2), st.floats(-0.5, 0.5), st.integers(0, 1000))
def test_the_base_is_the_same_whichever_imu_speaks(roll: float, pitch: float, waist: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, dq = ROBOT.stand.copy(), rng.normal(0.0, 0.5, N)
    q[ROBOT.index("waist_yaw_joint")], q[ROBOT.index("waist_pitch_joint")] = waist, 0.5 * waist
    k = Kinematics(ROBOT)
    base = np.array([math.cos(roll / 2), math.sin(roll / 2), 0.0, 0.0])
    base = np.array([base[0] * math.cos(pitch / 2), base[1] * math.cos(pitch / 2), base[0] * math.sin(pitch / 2),
                     base[1] * math.sin(pitch / 2)])
    turn = rng.normal(size=3)
    k.update(q, base_quat=base)
    torso = ROBOT.imus[1]
    r_p, r_t = k.rotation(ROBOT.base_link), k.rotation(torso.link)
    rate = r_t.T @ (r_p @ turn + k.rotation_jacobian(torso.link) @ dq)
    direct = feed(TwinCore(ROBOT), position=q, velocity=dq, orientation=base, angular_velocity=turn)
    around = feed(TwinCore(ROBOT), position=q, velocity=dq, orientation=matrix_quat(r_t), angular_velocity=rate,
                  imu_source="imu/torso")
    assert abs(direct.base_orientation @ around.base_orientation) == pytest.approx(1.0, abs=1e-9)
    assert around.base_angular == pytest.approx(direct.base_angular, abs=1e-9)
    assert around.base_position == pytest.approx(direct.base_position, abs=1e-9)


@pytest.mark.parametrize(("values", "code"), [
    (dict(position=np.full(N, np.nan)), "NON_FINITE"), (dict(velocity=np.full(N, np.inf)), "NON_FINITE"),
    (dict(position=np.zeros(3)), "WRONG_LENGTH"), (dict(velocity=np.zeros(0)), "WRONG_LENGTH")])
def test_what_cannot_be_used_is_refused_and_counted(values: dict[str, Any], code: str) -> None:
    core = TwinCore(ROBOT)
    kept = feed(core)
    stamp = kept.stamp_ns + PERIOD
    assert core.on_state(state(stamp, **values), stamp) is None
    assert core.refusals[code] == 1
    assert core.state is kept


def test_a_state_that_cannot_be_used_does_not_set_the_clock_back() -> None:
    core = TwinCore(ROBOT)
    kept = feed(core, 30)
    stamp = START - 5 * NS
    assert core.on_state(state(stamp, position=np.full(N, np.nan)), stamp) is None
    assert core.resets.total == 0
    assert core.snapshot(kept.stamp_ns)[0] is not None


def test_a_command_from_far_ahead_is_refused_and_is_not_what_is_asked_for() -> None:
    core = TwinCore(ROBOT)
    now = feed(core, 30).stamp_ns
    names = ROBOT.joint_names

    def told(seq: int, stamp_ns: int, q: float) -> str:
        return core.on_command(JointCommand(stamp_ns, seq, 1, "gate", names, np.full(N, q), np.zeros(N)))

    assert told(1, now, 0.1) == ""
    assert told(2, now + 30 * NS, 0.9) == "FUTURE"
    assert told(3, now + 10 * MS, 0.2) == ""
    assert core.command_refusals["FUTURE"] == 1
    after = core.on_state(state(now + PERIOD), now + PERIOD + MS)
    assert after is not None
    np.testing.assert_array_equal(after.desired_position, np.full(N, 0.2))


def test_what_is_known_now_is_said_to_be_stale_when_it_is() -> None:
    core = TwinCore(ROBOT)
    now = feed(core, 30).stamp_ns
    assert core.on_silence(now + NS) is not None
    found, why = core.snapshot(0)
    assert found is not None, why
    assert (found.status, found.sync_quality) == (TwinStatus.STALE, 0.0)
    for seconds in range(2, 600):
        core.on_silence(now + seconds * NS)
    found, _ = core.snapshot(0)
    assert found is not None
    assert (found.position_stddev <= ROBOT.upper - ROBOT.lower).all(), "it is somewhere in its range"
    assert (found.velocity_stddev <= ROBOT.velocity).all()


def test_quality_is_said_to_fall_when_it_gets_quiet() -> None:
    core = TwinCore(ROBOT)
    now = feed(core, 300).stamp_ns
    for k in range(5, 50):
        core.on_silence(now + k * PERIOD)
    assert core.state is not None
    assert core.state.quality_trend < -0.1


def test_numbers_that_failed_are_named() -> None:
    core = TwinCore(ROBOT)
    now = feed(core, 30).stamp_ns
    core.ring.newest.joints.cov[3] = np.nan
    said = core.on_state(state(now + 2 * PERIOD), now + 2 * PERIOD + MS)
    assert said is not None
    assert f"REPAIRED {ROBOT.joint_names[3]}" in said.anomalies
    assert np.isfinite(said.position_stddev).all()


def test_copies_and_states_that_come_too_late_are_refused() -> None:
    core = TwinCore(ROBOT)
    now = feed(core, 3).stamp_ns
    assert core.on_state(state(now), now) is None
    assert core.on_state(state(now - 500 * MS), now) is None
    assert core.refusals.items() == (("DUPLICATE", 1), ("TOO_LATE", 1))


def test_an_unknown_attitude_does_not_spread() -> None:
    twin = feed(TwinCore(ROBOT), orientation=np.full(4, np.nan), angular_velocity=np.full(3, np.nan))
    for field in ("position", "base_position", "base_linear", "com", "capture_point"):
        assert np.isfinite(getattr(twin, field)).all(), field


def test_silence_makes_it_stale_and_less_sure() -> None:
    core = TwinCore(ROBOT)
    last = feed(core, 3)
    assert core.on_silence(last.stamp_ns + 20 * MS) is None
    early = core.on_silence(last.stamp_ns + 50 * MS)
    late = core.on_silence(last.stamp_ns + 200 * MS)
    assert early is not None
    assert late is not None
    assert (early.status, early.sync_quality) == (TwinStatus.STALE, 0.0)
    assert "STALE" in late.anomalies
    assert np.all(late.position_stddev > early.position_stddev)
    assert np.array_equal(late.position, last.position)
    assert last.revision < early.revision < late.revision
    assert feed(core).status == TwinStatus.OK


def test_a_ros_clock_that_stands_still_hides_no_silence() -> None:
    core = TwinCore(ROBOT)
    last = feed(core)
    twin = core.on_silence(last.stamp_ns + MS, silent_ns=100 * MS)
    assert twin is not None
    assert twin.status == TwinStatus.STALE


def test_before_the_first_state_it_waits_with_no_pose() -> None:
    twin = TwinCore(ROBOT).on_silence(START)
    assert twin is not None
    assert (twin.status, twin.position.size, twin.sync_quality) == (TwinStatus.WAITING, 0, 0.0)


def test_a_clock_that_jumps_back_starts_anew() -> None:
    core = TwinCore(ROBOT)
    before = feed(core, 30, position=crouched(0.2))
    stamp = START - 5 * NS
    after = core.on_state(state(stamp), stamp + MS)
    assert after is not None
    assert core.resets["CLOCK_RESET"] == 1
    assert after.revision == before.revision + 1
    assert after.base_position == pytest.approx([0.0, 0.0, HEIGHT])
    assert core.snapshot(before.stamp_ns)[0] is None


def test_stale_sources_lower_the_quality_and_are_named() -> None:
    twin = feed(TwinCore(ROBOT), stale_sources=("imu/pelvis",))
    assert "STALE imu/pelvis" in twin.anomalies
    assert twin.sync_quality < 0.5


def test_measurements_that_do_not_fit_lower_the_quality() -> None:
    core, rng = TwinCore(ROBOT), np.random.default_rng(0)
    feed(core, 50)
    for _ in range(50):
        twin = feed(core, position=ROBOT.stand + rng.normal(0.0, 0.05, N))
    assert twin.nis.max() > 10.0
    assert twin.sync_quality < 0.5


def test_snapshots_of_the_last_second() -> None:
    core = TwinCore(ROBOT)
    assert core.snapshot(0)[0] is None
    feed(core, 300)
    now = core.latest.stamp_ns  # type: ignore[union-attr]
    newest, _ = core.snapshot(0)
    half, _ = core.snapshot(now - 500 * MS + 3 * MS)
    assert newest is not None
    assert half is not None
    assert newest.stamp_ns == now
    assert half.stamp_ns == now - 500 * MS
    for stamp, code in ((now - 2 * NS, "EXPIRED"), (now + NS, "FUTURE")):
        twin, reason = core.snapshot(stamp)
        assert twin is None
        assert reason.startswith(code)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(0, 1000))
def test_revisions_only_rise_and_replay_gives_the_same_bytes(steps: list[int], seed: int) -> None:
    def play() -> bytes:
        core, rng, stamp, out = TwinCore(ROBOT), np.random.default_rng(seed), START, []
        for kind in steps:
            stamp += {4: -3 * PERIOD, 5: -100 * PERIOD}.get(kind, PERIOD)
            q = ROBOT.stand + rng.normal(0.0, 1e-3, N)
            values = {1: dict(position=q * np.nan), 2: dict(foot_force=rng.normal(0.0, 200.0, (2, 3)))}.get(kind, {})
            twin = core.on_silence(stamp + 90 * MS) if kind == 6 else core.on_state(
                state(stamp, **{"position": q, **values}), stamp + MS)
            out.append(twin)
        revisions = [t.revision for t in out if t is not None]
        assert revisions == sorted(set(revisions))
        return pickle.dumps(out)

    assert play() == play()


def test_a_fixed_arm_has_a_twin_too(tmp_path: Any) -> None:
    robot = load_robot(str(write_robot(tmp_path, arm_data("mjcf", "arm.xml"), ARM_MJCF)))
    core = TwinCore(robot)
    nan = np.full(3, np.nan)
    sample = RobotState(START, 1, np.array([0.1, 0.2]), np.zeros(2), np.zeros(2), np.zeros(2), np.full(4, np.nan), nan,
                        nan, np.full((2, 3), np.nan), math.nan, math.nan)
    twin = core.on_state(sample, START + MS)
    assert twin is not None
    assert twin.base_position[2] == pytest.approx(0.5)
    assert twin.support_margin == 0.0
    start = start_of(core)
    assert start is not None
    prediction, _ = Predictor(robot, 0.5, 0.05).predict(start)
    assert prediction.min_joint_margin == pytest.approx(1.4)


def test_a_model_file_of_another_mass_is_refused_at_start(tmp_path: Path) -> None:
    data = arm_data("mjcf", "arm.xml")
    data["model"]["mass"] = 3.3
    TwinCore(load_robot(write_robot(tmp_path, data, ARM_MJCF)))
    heavy = ARM_MJCF.replace('mass="0.8"', 'mass="8"')
    with pytest.raises(RobotError, match=r"model.mass = 3.3: kg; the model has 10.5 kg"):
        TwinCore(load_robot(write_robot(tmp_path, data, heavy)))
