"""What is wrong and how much: sums and their false alarms, external torque, causes, corrections, health."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_bench.reaching import Reaching
from humanoid_bench.twin_diagnosis import BIAS, FAULTS, Watcher, fault_trial
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, RobotState
from sim_nodes.core.sensors import SensorParams
from twin_nodes.core.anomaly import Anomaly, Pace
from twin_nodes.core.clock_watch import MANY, NORMAL, ClockWatch
from twin_nodes.core.cusum import Cusum, nis_bounds, run_length, threshold
from twin_nodes.core.explain import Arms, Evidence
from twin_nodes.core.health import MOST, Health, Series, time_to
from twin_nodes.core.joint_dynamics import JointDynamics
from twin_nodes.core.observer import MomentumObserver
from twin_nodes.core.residuals import Residual
from twin_nodes.core.slow_fit import fit
from twin_nodes.core.twin import TwinCore
from twin_nodes.core.watches import EncoderWatch

ROBOT = load_robot("g1")
N = ROBOT.n
ELBOW = ROBOT.index("left_elbow_joint")


# --- sums

@given(k=st.floats(0.2, 2.0), samples=st.floats(100.0, 1e9))
def test_the_threshold_gives_the_stated_false_alarm_rate(k: float, samples: float) -> None:
    h = threshold(k, samples)
    assert h == 0.0 or run_length(k, h) == pytest.approx(samples, rel=1e-6)


def test_noise_alarms_as_rarely_as_stated_and_a_shift_soon() -> None:
    rng, many = np.random.default_rng(1), 400
    sums = Cusum(many, 0.5, threshold(0.5, 300.0), 10_000)
    first = np.zeros(many)
    for k in range(1, 3000):
        alarm = sums.update(rng.standard_normal(many))
        first[alarm & (first == 0.0)] = k
    assert np.mean(first[first > 0.0]) == pytest.approx(300.0, rel=0.25)
    shifted = Cusum(many, 0.5, threshold(0.5, 300.0), 10_000)
    steps = [int(shifted.update(1.0 + rng.standard_normal(many)).sum()) for _ in range(30)]
    assert steps[-1] > 0.9 * many


def test_what_no_sample_tells_moves_no_sum() -> None:
    sums = Cusum(2, 0.5, 3.0, 100)
    for _ in range(50):
        assert not sums.update(np.array([np.nan, 0.2])).any()


def test_nis_bounds_hold_the_stated_share() -> None:
    low, high = nis_bounds(0.95)
    squares = np.random.default_rng(2).standard_normal(20_000) ** 2
    assert np.mean((squares >= low) & (squares <= high)) == pytest.approx(0.95, abs=0.01)


# --- external torque

@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_observer_finds_a_torque_that_nobody_commanded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dynamics, observer = JointDynamics(ROBOT), MomentumObserver(N, 20.0)
    push = rng.uniform(-3.0, 3.0, N)
    motion = dynamics.at(ROBOT.rest, np.zeros(N))
    for _ in range(200):
        found = observer.update(0.005, motion, np.zeros(N), motion.bias - push)
    np.testing.assert_allclose(found, push, atol=1e-6)


def test_the_observer_sees_through_motion_of_the_model_itself() -> None:
    """A falling arm that obeys the model has no external torque."""
    dynamics, observer = JointDynamics(ROBOT), MomentumObserver(N, 20.0)
    q, v, dt = ROBOT.rest.copy(), np.zeros(N), 0.001
    worst = 0.0
    for k in range(400):
        motion = dynamics.at(q, v)
        found = observer.update(dt, motion, v, 0.5 * motion.bias)
        worst = max(worst, float(np.abs(found).max())) if k > 5 else worst
        v = v + dt * np.linalg.solve(motion.mass, -0.5 * motion.bias)
        q = q + dt * v
    assert worst < 0.1, "torques of up to 8 N m move it"


@pytest.mark.parametrize(("kind", "value"), [("PAYLOAD", 1.5), ("CONTACT", 15.0), ("ACTUATOR", 0.6)])
def test_one_cause_is_told_from_the_others(kind: str, value: float) -> None:
    dynamics = JointDynamics(ROBOT)
    arms = Arms(ROBOT, dynamics)
    motion = dynamics.at(ROBOT.rest, np.zeros(N))
    evidence = Evidence(arms, "left")
    if kind == "PAYLOAD":
        push = value * arms.weight("left")
    elif kind == "CONTACT":
        push = value * arms.jacobian("left")[1]
    else:
        push = np.zeros(N)
        push[ELBOW] = (value - 1.0) * motion.bias[ELBOW]
    rng = np.random.default_rng(3)
    for _ in range(6):
        evidence.add(push + 0.01 * rng.standard_normal(N), np.full(N, 0.01), motion.bias)
    cause = evidence.cause()
    assert cause.kind == kind
    assert cause.value == pytest.approx(value, rel=0.15)


# --- encoders and clock

def steps(values: np.ndarray) -> list[Residual]:
    zero, nan = np.zeros(N), np.full(N, np.nan)
    return [Residual(0.005, row, nan, nan, zero, zero, np.full(N, 2.8e-3), nan, nan, np.zeros(N, dtype=bool))
            for row in values]


def encoder(positions: np.ndarray) -> EncoderWatch:
    watch, every = EncoderWatch(N, 6.0, 0.5, 20.0), np.ones(N, dtype=bool)
    for residual in steps(np.diff(positions, axis=0)):
        watch.wrong = watch.update(residual, np.zeros(N), every)  # type: ignore[attr-defined]
    return watch


def noisy(length: int) -> np.ndarray:
    return 2e-3 * np.random.default_rng(4).standard_normal((length, N))


def test_a_jump_that_stays_is_an_offset_and_going_back_ends_it() -> None:
    q = noisy(400)
    q[200:, ELBOW] += BIAS
    watch = encoder(q)
    assert watch.offset[ELBOW] == pytest.approx(BIAS, abs=3e-3)
    assert np.flatnonzero(watch.offset).tolist() == [ELBOW]
    q[300:, ELBOW] -= BIAS
    assert not encoder(q).offset.any()


def test_noise_of_the_reported_velocity_is_no_drift_of_the_encoder_and_a_slow_drift_is_one() -> None:
    """A minute of 300 still joints, 2 mrad and 0.05 rad/s of white noise, and for 1.5 s at a time 0.035 rad/s
    all the same way, as samples at one phase of the commands have; 0.1 rad/s is seen within 2 s."""
    n, dt, rng = 300, 0.01, np.random.default_rng(6)
    watch, every = EncoderWatch(n, 6.0, 0.5, 16.0), np.ones(n, dtype=bool)
    none, last, fault = np.zeros(n), np.zeros(n), 150
    true, before, drifting = np.zeros(n), np.zeros(n), 0
    floor = np.full(n, np.hypot(np.sqrt(2.0) * 2e-3, dt * 0.05 / np.sqrt(2.0)))
    for k in range(6200):
        true[fault] -= 0.1 * dt if k >= 6000 else 0.0
        bias = 0.035 if k // 150 % 3 == 0 else 0.0
        q, v = true + 2e-3 * rng.standard_normal(n), bias + 0.05 * rng.standard_normal(n)
        if k:
            step = q - last - 0.5 * dt * (v + before)
            watch.update(Residual(dt, step, none, none, none, v, floor, none, none, np.zeros(n, dtype=bool)), none,
                         every)
        last, before = q, v
        drifting += int(watch.drifting.sum()) if k < 6000 else 0
    assert drifting == 0
    assert np.flatnonzero(watch.drifting).tolist() == [fault]


def test_one_wild_sample_is_no_offset() -> None:
    q = noisy(400)
    q[200, ELBOW] += 0.5
    assert not encoder(q).offset.any()


def test_a_clock_that_is_set_is_named_and_a_slow_message_is_not() -> None:
    watch, rng = ClockWatch(), np.random.default_rng(5)
    delay = rng.uniform(12.0, 28.0, 20 * MANY)
    delay[rng.random(len(delay)) < 0.1] += 80.0
    for k, late in enumerate(delay[: (NORMAL + 4) * MANY]):
        assert not watch.update(k * 5 * MS, k * 5 * MS + round(late * MS))
    for k in range((NORMAL + 4) * MANY, (NORMAL + 6) * MANY):
        off = watch.update((k * 5 - 40) * MS, k * 5 * MS + round(delay[k] * MS))
    assert off
    assert watch.reason.startswith("CLOCK")


# --- the life of an anomaly

def test_what_does_not_last_is_never_named() -> None:
    anomaly = Anomaly("joint", Pace(0.1, 0.2, 1.0))
    named = [anomaly.step(k * 10 * MS, 10 <= k < 15, False) for k in range(200)]
    assert not any(named)
    assert anomaly.state == "listening"


def test_what_lasts_goes_through_every_state_in_order() -> None:
    anomaly, seen = Anomaly("joint", Pace(0.1, 0.2, 1.0)), ["listening"]
    for k in range(400):
        anomaly.step(k * 10 * MS, 10 <= k < 100, k >= 100)
        if anomaly.state != seen[-1]:
            seen.append(anomaly.state)
    assert seen == ["listening", "ensuring", "gathering", "calibrating", "cooling", "listening"]


# --- on the simulated robot

@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_cause_within_a_second(fault: str) -> None:
    trial = fault_trial(ROBOT, fault, 1)
    assert trial.right, trial


@pytest.mark.parametrize(("jitter", "seed"), [(0.0, 3), (0.005, 3), (0.005, 4)])
def test_a_fast_move_of_a_sound_robot_is_no_anomaly_though_commands_come_late(jitter: float, seed: int) -> None:
    """As fast as a wave, with commands that act 0 to 5 ms after they were sent: neither joint nor sensor is blamed."""
    world = Reaching(ROBOT, seed, SensorParams(), speed=2.5, jitter=jitter)
    core, said, fastest = TwinCore(ROBOT), set(), 0.0

    def hear(state: RobotState, now_ns: int) -> None:
        nonlocal fastest
        twin = core.on_state(state, now_ns)
        if twin is not None:
            said.update(twin.anomalies)
            fastest = max(fastest, float(np.abs(twin.velocity).max()))

    world.on_state = hear
    world.on_command = lambda command, now_ns: core.on_command(command) and None
    world.run(15.0)
    assert fastest > 2.0
    assert not said


def test_a_wrong_encoder_is_corrected_only_on_request_and_the_correction_can_be_taken_back() -> None:
    world = Reaching(ROBOT, 2)
    watcher = Watcher(ROBOT, world)
    core = watcher.core
    world.run(2.5)
    quiet = core.calibrate("encoder_offsets", True, world.now_ns)
    assert (quiet.ok, quiet.revision) == (False, 0)
    assert "nothing to correct" in quiet.reason
    world.set_fault("encoder_bias", "left_elbow_joint", BIAS)
    world.run(1.0)
    twin = core.state
    assert twin is not None
    assert twin.diagnosis == "calibrating"
    found = [re.fullmatch(r"SENSOR left_elbow_joint off by (\S+) rad", a) for a in twin.anomalies]
    assert [float(f[1]) for f in found if f] == [pytest.approx(BIAS, rel=0.15)]

    def error() -> float:
        state = core.state
        assert state is not None
        return float(state.position[ELBOW] - world.plant.data.joint("left_elbow_joint").qpos[0])

    other = core.calibrate("friction", True, world.now_ns)
    assert not other.ok
    assert "an anomaly is open: SENSOR left_elbow_joint" in other.reason
    asked = core.calibrate("encoder_offsets", False, world.now_ns)
    assert asked.ok
    assert "left_elbow_joint" in asked.report
    assert (asked.revision, core.model_revision) == (0, 0)
    world.run(0.5)
    assert abs(error()) > 0.03, "nothing changes by itself"
    assert core.calibrate("encoder_offsets", True, world.now_ns).revision == 1
    world.run(2.0)
    assert abs(error()) < 0.02
    assert core.state is not None
    assert core.state.model_revision == 1
    assert not any(a.startswith("SENSOR") for a in core.state.anomalies)
    back = core.calibrate("rollback", True, world.now_ns)
    assert (back.ok, back.revision) == (True, 2)
    assert not core.learning.calibration.current.encoder_offset.any()


def test_a_recording_tells_friction_and_load() -> None:
    """Within what 14 s of motion can tell; figures with intervals are the bench's."""
    world, states = Reaching(ROBOT, 5), []
    world.set_fault("payload", "right", 0.8)
    world.on_state = lambda state, now_ns: states.append(state)
    world.run(14.5)
    assert all(joint.problem for joint in fit(ROBOT, states[:400]).joints), "two seconds tell nothing"
    found = fit(ROBOT, states)
    assert found.load["right"].value == pytest.approx(0.8, rel=0.1)
    assert abs(found.load["left"].value) < 0.05
    for joint in found.joints:
        if "elbow" in joint.name or "wrist" in joint.name:
            truth = ROBOT.frictionloss[ROBOT.index(joint.name)]
            assert joint.coulomb.value == pytest.approx(truth, rel=0.6), joint


def test_what_cannot_be_calibrated_is_refused_with_the_way_out() -> None:
    core = Watcher(ROBOT, Reaching(ROBOT, 0)).core
    refused = core.calibrate("colour", True, 0).reason
    assert "valid: encoder_offsets, friction, torque_scale, payload, rollback, clock" in refused
    assert core.calibrate("friction", True, 0).reason.startswith("EXCITATION")
    assert core.calibrate("payload", True, 0).reason.startswith("EXCITATION")
    assert "nothing to take back" in core.calibrate("rollback", True, 0).reason
    assert core.model_revision == 0


def test_a_weak_motor_that_is_noticed_for_a_moment_first_is_named_all_the_same() -> None:
    trial = fault_trial(ROBOT, "torque_loss", 0)
    assert trial.right, trial


def test_a_clock_that_was_set_is_accepted_on_request() -> None:
    world = Reaching(ROBOT, 2)
    core = Watcher(ROBOT, world).core
    later = 0

    def hear(state: RobotState, now_ns: int) -> None:
        core.on_state(state, now_ns + later)

    world.on_state = hear
    world.run(4.0)
    assert "nothing to accept" in core.calibrate("clock", True, world.now_ns).reason
    later = 30 * MS
    world.run(1.5)
    assert core.diagnosed is not None
    assert core.diagnosed.anomalies[0].startswith("CLOCK")
    refused = core.calibrate("encoder_offsets", True, world.now_ns + later)
    assert not refused.ok
    assert "calibrate 'clock'" in refused.reason
    accepted = core.calibrate("clock", True, world.now_ns + later)
    assert (accepted.ok, accepted.revision) == (True, 0)
    world.run(1.5)
    assert not core.diagnosed.anomalies
    assert "no encoder jumped" in core.calibrate("encoder_offsets", True, world.now_ns + later).reason


def test_a_gap_before_a_cause_is_named_is_waited_out() -> None:
    """Half a second without a state, just when evidence of a load begins to be gathered: nothing to name it by yet."""
    world = Reaching(ROBOT, 2)
    watcher = Watcher(ROBOT, world)
    hear = world.on_state
    world.run(3.5)
    world.set_fault("payload", "left", 1.0)
    assert world.run(2.0, until=lambda: watcher.core.diagnosed is not None
                     and watcher.core.diagnosed.state == "gathering")
    world.on_state = lambda state, now_ns: None
    world.run(0.5)
    world.on_state = hear
    world.run(2.0)
    assert any("PAYLOAD left" in reason for _, reason in watcher.named), watcher.named


def test_when_it_learns_changes_nothing() -> None:
    """At once, as the node does when the state is out, or as late as possible: the same states, to the bit."""
    heard: list[tuple[RobotState | JointCommand, int]] = []
    world = Reaching(ROBOT, 5)
    world.on_state = world.on_command = lambda what, now_ns: heard.append((what, now_ns))  # type: ignore[assignment]
    world.run(3.0)
    world.set_fault("encoder_bias", "left_elbow_joint", BIAS)
    world.run(1.0)
    at_once, late = TwinCore(ROBOT), TwinCore(ROBOT)
    named = 0
    for what, now_ns in heard:
        if isinstance(what, JointCommand):
            assert at_once.on_command(what) == late.on_command(what)
            continue
        one, other = at_once.on_state(what, now_ns), late.on_state(what, now_ns)
        at_once.learn()
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            named += any(a.startswith("SENSOR left_elbow_joint") for a in one.anomalies)
            for field in fields(one):
                np.testing.assert_equal(getattr(one, field.name), getattr(other, field.name))
    assert named > 10


# --- health

@given(slope=st.floats(0.001, 0.1), seed=st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_a_steady_rise_meets_its_threshold_when_the_line_does(slope: float, seed: int) -> None:
    times = np.arange(40.0) * 10.0
    values = 30.0 + slope * times + 0.02 * np.random.default_rng(seed).standard_normal(40)
    found = time_to(times, values, 30.0 + slope * 1000.0)
    assert found.time == pytest.approx(1000.0 - times[-1], rel=0.3)
    assert found.low <= found.time <= found.high


def test_without_a_clear_trend_the_time_is_unknown() -> None:
    rng = np.random.default_rng(6)
    assert np.isnan(time_to(np.arange(40.0), rng.standard_normal(40), 50.0).time)
    assert np.isnan(time_to(np.arange(40.0), -0.1 * np.arange(40.0), 50.0).time)
    assert np.isnan(time_to(np.arange(5.0), np.arange(5.0), 50.0).time)


def test_a_series_stays_small_however_long_it_runs() -> None:
    series = Series()
    for k in range(20_000):
        series.add(float(k), 1.0 + 1e-4 * k, 1e9)
    assert len(series.times) <= MOST
    assert series.times[-1] > 15_000.0
    np.testing.assert_allclose(np.array(series.values), 1.0 + 1e-4 * np.array(series.times), rtol=1e-3)


def test_a_motor_that_warms_up_is_told_with_what_to_do() -> None:
    health = Health(ROBOT)
    for k in range(300):
        temperature = np.full(N, 40.0)
        temperature[ELBOW] += 0.05 * k
        health.sample(np.full(N, np.nan), temperature)
        report = health.report((k + 1) * NS)
    warm = report[ELBOW]
    assert warm.trend == "temperature"
    assert warm.time_to_threshold == pytest.approx((70.0 - 55.0) / 0.05, rel=0.1)
    assert "reduce the load" in warm.recommendation
    assert np.isnan(warm.tracking_error), "nothing was commanded"
    assert report[0].trend == ""
    assert np.isnan(report[0].time_to_threshold)


def test_a_clock_that_is_set_back_does_not_stop_the_trends() -> None:
    health = Health(ROBOT)
    still, warm = np.zeros(N), np.full(N, 30.0)
    for k in range(200):
        health.sample(still, warm + 0.05 * k)
        health.report((5000 + k) * NS)
    for k in range(200):
        health.sample(still, warm + 10.0 + 0.12 * k)
        found = health.report((1000 + k) * NS)
    assert found[0].trend == "temperature"
    assert 10.0 < found[0].time_to_threshold < 200.0, "it was 5 degrees below what it warns of, at 7 a minute"
