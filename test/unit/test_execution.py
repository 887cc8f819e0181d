"""The 100 Hz end: what leaves it is smooth and inside the limits, whatever chunks come in."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import ActionChunk, JointCommand
from vla_nodes.core.execution import Execution, ExecutionParams
from vla_nodes.core.motion import Plan

ROBOT = load_robot("g1")
UPPER = list(ROBOT.groups["upper_body"])
NAMES = tuple(ROBOT.joint_names[i] for i in UPPER)
REST = ROBOT.rest[UPPER]
T0 = 1000 * NS
TICK = 10 * MS


def chunk(rows: np.ndarray, stamp_ns: int = T0, seq: int = 1, epoch: int = 1, names: tuple[str, ...] = NAMES,
          dt: float = 0.02) -> ActionChunk:
    return ActionChunk(stamp_ns, seq, epoch, "test", "", names, dt, rows, 1.0)


def smooth(goal: np.ndarray, stamp_ns: int = T0, count: int = 100, delay_ns: int = 0) -> np.ndarray:
    """Rows of a feasible move from rest to `goal` (17,)."""
    plan = Plan(ROBOT, ROBOT.rest, stamp_ns)
    whole = ROBOT.rest.copy()
    whole[UPPER] = goal
    plan.then(whole, stamp_ns + delay_ns)
    return plan.rows(stamp_ns, 0.02, count)[:, UPPER]


def started(params: ExecutionParams | None = None) -> Execution:
    execution = Execution(ROBOT, params)
    assert execution.begin(1, ROBOT.rest, T0) == ""
    return execution


def run(execution: Execution, start_ns: int, seconds: float) -> list[JointCommand]:
    out = []
    for k in range(1, round(seconds * 100) + 1):
        command = execution.tick(start_ns + k * TICK)
        if command is not None:
            out.append(command)
    return out


def goal_of(**joints: float) -> np.ndarray:
    goal = REST.copy()
    for name, value in joints.items():
        goal[NAMES.index(f"{name}_joint")] += value
    return goal


def test_a_feasible_chunk_is_followed_by_time() -> None:
    execution = started()
    goal = goal_of(left_elbow=-0.8, right_shoulder_pitch=-0.6)
    assert execution.accept(chunk(smooth(goal)), T0) == ""
    commands = run(execution, T0, 1.9)
    plan = Plan(ROBOT, ROBOT.rest, T0)
    whole = ROBOT.rest.copy()
    whole[UPPER] = goal
    plan.then(whole, T0)
    for command in commands[20:]:
        want = plan.sample(np.array([command.stamp_ns]))[0, UPPER]
        # the moving average over T = 2 A / J = 1/6 s takes T^2 / 24 of the acceleration off, here 6 rad/s^2 at most
        assert np.max(np.abs(command.position - want)) < 6.0 / 36.0 / 24.0
    assert np.allclose(commands[-1].position, goal, atol=1e-3)
    assert [c.seq for c in commands] == list(range(1, len(commands) + 1))


def test_it_begins_where_the_robot_is_and_leads_in() -> None:
    execution = Execution(ROBOT)
    measured = ROBOT.rest.copy()
    measured[ROBOT.index("left_elbow_joint")] += 0.3
    execution.begin(1, measured, T0)
    execution.accept(chunk(np.repeat(REST[None, :], 100, axis=0)), T0)
    commands = run(execution, T0, 1.5)
    elbow = [c.position[NAMES.index("left_elbow_joint")] for c in commands]
    assert abs(elbow[0] - measured[ROBOT.index("left_elbow_joint")]) < 0.01
    assert np.all(np.diff(elbow) <= 1e-9), "it comes down to the chunk without swinging past it"
    assert abs(elbow[-1] - ROBOT.rest[ROBOT.index("left_elbow_joint")]) < 1e-3


def test_joints_that_a_chunk_does_not_name_stay() -> None:
    execution = started()
    names = ("left_elbow_joint", "left_wrist_roll_joint")
    rows = np.linspace([REST[NAMES.index(n)] for n in names], [0.6, 0.2], 80)
    assert execution.accept(chunk(rows, names=names), T0) == ""
    commands = run(execution, T0, 1.5)
    others = [i for i, n in enumerate(NAMES) if n not in names]
    assert np.allclose(commands[-1].position[others], REST[others])
    assert abs(commands[-1].position[NAMES.index("left_wrist_roll_joint")]) > 0.1


def _nan(c: ActionChunk) -> ActionChunk:
    rows = c.positions.copy()
    rows[3, 2] = np.nan
    return dataclasses.replace(c, positions=rows)


BAD = {
    "OLD_EPOCH": lambda c: dataclasses.replace(c, epoch=0),
    "OLD_SEQUENCE": lambda c: dataclasses.replace(c, seq=1),
    "NON_FINITE": _nan,
    "WRONG_LENGTH": lambda c: dataclasses.replace(c, positions=c.positions[:, :5]),
    "WRONG_NAMES": lambda c: dataclasses.replace(c, joint_names=(c.joint_names[1], *c.joint_names[1:])),
    "NOT_CONTROLLED": lambda c: dataclasses.replace(c, joint_names=("left_knee_joint", *c.joint_names[1:])),
    "OUT_OF_RANGE": lambda c: dataclasses.replace(c, step_dt=float("nan")),
    "LIMIT_POSITION": lambda c: dataclasses.replace(c, positions=c.positions + 4.0),
    "EXPIRED": lambda c: dataclasses.replace(c, stamp_ns=T0 - 60 * NS),
    "STALE": lambda c: dataclasses.replace(c, stamp_ns=T0 - 2 * NS, positions=np.repeat(c.positions, 3, axis=0)),
}


@pytest.mark.parametrize("code", sorted(BAD))
def test_a_bad_chunk_is_dropped_whole_counted_and_changes_nothing(code: str) -> None:
    goal = goal_of(left_elbow=-0.8)
    good, twin = started(), started()
    for execution in (good, twin):
        assert execution.accept(chunk(smooth(goal)), T0) == ""
    run(good, T0, 0.3)
    run(twin, T0, 0.3)
    bad = BAD[code](chunk(smooth(goal_of(left_elbow=0.4)), seq=2))
    assert good.accept(bad, T0 + 300 * MS) == code
    assert good.refused[code] == 1
    after, undisturbed = run(good, T0 + 300 * MS, 0.5), run(twin, T0 + 300 * MS, 0.5)
    assert all(np.array_equal(a.position, b.position) for a, b in zip(after, undisturbed, strict=True))


def test_a_flat_wrong_length_from_the_wire_is_refused() -> None:
    assert started().accept(chunk(np.zeros(31)), T0) == "WRONG_LENGTH"


def test_a_chunk_numbered_0_is_refused_because_the_twin_could_not_say_which_it_expects_of() -> None:
    execution = started()
    assert execution.accept(chunk(smooth(REST), seq=0), T0) == "OUT_OF_RANGE"
    assert execution.accept(chunk(smooth(REST), seq=1), T0) == ""


def test_nothing_moves_without_a_measured_pose() -> None:
    execution = Execution(ROBOT)
    assert execution.begin(1, np.full(ROBOT.n, np.nan), T0) == "NON_FINITE"
    assert execution.accept(chunk(smooth(REST)), T0) in ("OLD_EPOCH", "NO_STATE")
    assert execution.tick(T0 + TICK) is None


def test_when_rows_run_out_it_slows_down_holds_and_says_so() -> None:
    execution = started(ExecutionParams(hold=0.2))
    rows = smooth(goal_of(left_elbow=-1.2), count=30)  # ends in mid-motion
    execution.accept(chunk(rows), T0)
    commands = run(execution, T0, 2.0)
    speeds = [float(np.max(np.abs(c.velocity))) for c in commands]
    end = 60
    assert speeds[end - 1] > 0.5, "the chunk ends in mid-motion"
    assert np.all(np.diff(speeds[end:]) <= 1e-6), "from there it only slows down"
    assert speeds[-1] < 1e-6
    assert execution.reason == "EXHAUSTED"
    assert not execution.moving
    assert len(commands) < 120, "and then it is silent"


def test_a_new_epoch_in_mid_motion_goes_on_without_a_jump() -> None:
    execution = started()
    execution.accept(chunk(smooth(goal_of(left_elbow=-1.0))), T0)
    before = run(execution, T0, 0.4)
    execution.renew(2)
    between = run(execution, T0 + 400 * MS, 0.1)
    assert execution.accept(chunk(smooth(REST), seq=9, epoch=1), T0 + 500 * MS) == "OLD_EPOCH"
    rows = np.repeat(between[-1].position[None, :], 100, axis=0)
    assert execution.accept(chunk(rows, T0 + 450 * MS, 1, 2), T0 + 500 * MS) == ""
    after = run(execution, T0 + 500 * MS, 1.0)
    positions = np.array([c.position for c in [*before, *between, *after]])
    assert np.max(np.abs(np.diff(positions, axis=0))) <= np.max(ROBOT.command_velocity[UPPER]) * 0.0101
    assert {c.epoch for c in after} == {2}


def test_the_safety_scale_slows_it_down() -> None:
    execution = started()
    execution.scale = 0.2
    execution.accept(chunk(smooth(goal_of(left_elbow=-1.2), count=200)), T0)
    commands = run(execution, T0, 3.5)
    assert max(float(np.max(np.abs(c.velocity) / ROBOT.command_velocity[UPPER])) for c in commands) <= 0.2
    assert np.allclose(commands[-1].position, goal_of(left_elbow=-1.2), atol=0.02), "it gets there all the same"


def test_a_seam_is_far_smoother_than_switching() -> None:
    """Chunks that disagree by 0.1 rad: the set-point's largest step stays near that of plain motion."""
    execution = started()
    seen, naive = [], []
    for k in range(8):
        now = T0 + k * 300 * MS
        offset = 0.05 if k % 2 else -0.05
        rows = np.repeat((REST + offset)[None, :], 60, axis=0)
        assert execution.accept(chunk(rows, now - 100 * MS, k + 1), now) == ""
        seen += run(execution, now, 0.3)
        naive += [REST + offset] * 30
    steps = np.max(np.abs(np.diff([c.position for c in seen], axis=0)))
    assert steps <= 0.3 * np.max(np.abs(np.diff(naive, axis=0)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_limits_hold_whatever_comes(data: st.DataObject) -> None:
    """Random chunks, delays, tick jitter and scales: position, velocity and acceleration stay inside."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    execution = started(ExecutionParams(fade=data.draw(st.sampled_from([0.02, 0.15, 0.5]))))
    low, high = ROBOT.lower[UPPER], ROBOT.upper[UPPER]
    now, last = T0, None
    previous = np.zeros(len(UPPER))
    for seq in range(1, 8):
        execution.scale = float(rng.choice([1.0, 0.5, 0.25]))
        corners = rng.uniform(low, high, (rng.integers(2, 6), len(UPPER)))
        if rng.random() < 0.5:
            corners = np.clip(REST + 0.3 * (corners - REST), low, high)
        rows = np.repeat(corners, 10, axis=0)
        execution.accept(chunk(rows, now - int(rng.integers(0, 300)) * MS, seq), now)
        for _ in range(int(rng.integers(5, 60))):
            dt = int(rng.integers(8, 13)) * MS
            now += dt
            command = execution.tick(now)
            if command is None:
                break
            assert np.all(np.isfinite(command.position))
            assert np.all(command.position >= low - 1e-9)
            assert np.all(command.position <= high + 1e-9)
            assert np.all(np.abs(command.velocity) <= ROBOT.command_velocity[UPPER])
            allowed = ROBOT.command_acceleration[UPPER] * dt / NS
            assert np.all(np.abs(command.velocity - previous) <= allowed + 1e-9)
            if last is not None:
                moved = np.abs(command.position - last)
                assert np.all(moved <= ROBOT.command_velocity[UPPER] * dt / NS + 1e-9)
            previous, last = command.velocity, command.position
        if execution.reason:
            return


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([-1.0, 0.0, 0.1]))
def test_jerk_stays_within_the_limit_whatever_comes(seed: int, ensemble: float) -> None:
    """Chunks that jump, at random delays, with and without ensembling; ticks every 10 ms."""
    rng = np.random.default_rng(seed)
    execution = started(ExecutionParams(ensemble=ensemble))
    low, high = ROBOT.lower[UPPER], ROBOT.upper[UPPER]
    velocities, now = [np.zeros(len(UPPER))] * 3, T0
    for seq in range(1, 10):
        execution.scale = float(rng.choice([1.0, 0.5]))
        rows = np.repeat(rng.uniform(low, high, (4, len(UPPER))), 10, axis=0)
        execution.accept(chunk(rows, now - int(rng.integers(0, 400)) * MS, seq), now)
        for _ in range(int(rng.integers(5, 50))):
            now += TICK
            command = execution.tick(now)
            if command is None:
                break
            velocities.append(command.velocity)
            assert np.all((command.position >= low - 1e-9) & (command.position <= high + 1e-9))
        if execution.reason:
            break
    jerk = np.diff(velocities, n=2, axis=0) / 0.01**2
    assert np.all(np.abs(jerk) <= ROBOT.command_jerk[UPPER] * 1.0001)
    assert np.all(np.abs(np.diff(velocities, axis=0)) <= ROBOT.command_acceleration[UPPER] * 0.0101)


def test_the_velocity_sent_along_is_that_of_the_positions() -> None:
    execution = started()
    execution.accept(chunk(smooth(goal_of(left_elbow=-1.0))), T0)
    commands = run(execution, T0, 1.5)
    moved = np.diff([c.position for c in commands], axis=0) / 0.01
    mean = (np.array([c.velocity for c in commands[1:]]) + np.array([c.velocity for c in commands[:-1]])) / 2
    assert np.max(np.abs(moved - mean)) < 0.005


def test_the_lead_in_is_what_most_inferences_stay_below() -> None:
    """Mostly 100 ms, one in twenty 400 ms: a quick answer waits, so that the cadence stays even."""
    execution = started()
    now = T0
    for k in range(40):
        now = T0 + k * 200 * MS
        delay = 400 if k % 20 == 10 else (60 if k % 2 else 100)
        execution.accept(chunk(np.repeat(REST[None, :], 60, axis=0), now - delay * MS, k + 1), now)
        run(execution, now, 0.19)
    assert execution.lead == pytest.approx(0.1, abs=0.011)
    rows = np.repeat((REST + 0.02)[None, :], 60, axis=0)
    stamp = now + 190 * MS
    execution.accept(chunk(rows, stamp, 99), stamp + 20 * MS)
    before = execution.commanded
    run(execution, stamp + 20 * MS, 0.07)
    assert np.allclose(execution.commanded, before, atol=1e-9), "20 ms old: it waits until it is as old as the others"
    run(execution, stamp + 90 * MS, 0.2)
    assert not np.allclose(execution.commanded, before, atol=1e-3)


def test_chunks_that_wait_for_their_time_are_all_followed() -> None:
    """One slow inference must not keep quicker ones, which come before their time is up, from ever being followed."""
    execution = started()
    execution.accept(chunk(np.repeat(REST[None, :], 60, axis=0), T0 - 450 * MS, 1), T0)
    for k in range(6):
        now = T0 + k * 100 * MS
        rows = np.repeat((REST + 0.01 * k)[None, :], 60, axis=0)
        execution.accept(chunk(rows, now, k + 2), now + 10 * MS)
        run(execution, now + 10 * MS, 0.09)
    run(execution, T0 + 600 * MS, 0.4)
    assert execution.commanded is not None
    assert np.allclose(execution.commanded, REST + 0.05, atol=0.012)


def test_temporal_ensembling_averages_what_chunks_say_about_one_instant() -> None:
    """m = 0: the plain mean. Chunks that alternate by 0.1 rad meet in the middle, whatever the newest says."""
    smoothed, newest = started(ExecutionParams(ensemble=0.0)), started()
    spread = {}
    for execution in (smoothed, newest):
        seen = []
        for k in range(30):
            now = T0 + k * 100 * MS
            rows = np.repeat((REST + (0.05 if k % 2 else -0.05))[None, :], 100, axis=0)
            execution.accept(chunk(rows, now, k + 1), now)
            seen += run(execution, now, 0.1)
        late = np.array([c.position for c in seen[200:]])
        spread[execution] = float(np.max(np.ptp(late, axis=0)))
        if execution is smoothed:
            assert np.allclose(late, REST, atol=0.012)
    assert spread[smoothed] < 0.3 * spread[newest]
