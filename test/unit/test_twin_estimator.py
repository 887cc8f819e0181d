"""The joints' estimator: dynamics, gate, covariance, samples out of order, and what it says when it does not know."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robots import ARM_MJCF, arm_data, write_robot

from humanoid_bench.reaching import Reaching
from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import build_spec
from humanoid_core.robot import RobotError, load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, RobotState, TwinState
from twin_nodes.core.model_check import check_model
from twin_nodes.core.track import Moment
from twin_nodes.core.twin import TwinConfig, TwinCore

ROBOT = load_robot("g1")
ELBOW = ROBOT.index("left_elbow_joint")
CONFIG = TwinConfig(position_noise=2e-3, velocity_noise=0.05, cell_ms=0.0)
Heard = list[tuple[Any, int]]


@pytest.fixture(scope="module")
def heard() -> Heard:
    """1.5 s of a reaching robot: its states and commands in the order in which they come, with their arrival."""
    world, out = Reaching(ROBOT, 3), []  # type: tuple[Reaching, Heard]
    world.on_state = lambda state, now_ns: out.append((state, now_ns))
    world.on_command = lambda command, now_ns: out.append((command, now_ns))
    world.run(1.5)
    return out


def play(core: TwinCore, heard: Heard) -> list[TwinState]:
    out = []
    for value, now_ns in heard:
        if isinstance(value, JointCommand):
            core.on_command(value)
        elif (twin := core.on_state(value, now_ns)) is not None:
            out.append(twin)
    return out


def moments(core: TwinCore) -> list[bytes]:
    """Everything that the ring knows, bit for bit."""
    def plain(value: Any) -> Any:
        if hasattr(value, "__dataclass_fields__"):
            return [plain(getattr(value, f.name)) for f in fields(value)]
        return value.tobytes() if isinstance(value, np.ndarray) else value
    states: list[Moment] = core.ring._states
    return [pickle.dumps(plain(s)) for s in states[-40:]]


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_samples_out_of_order_give_what_samples_in_order_give(heard: Heard, data: st.DataObject) -> None:
    """Bit for bit: every state, covariance and counter of the last moments."""
    some = [h for h in heard if isinstance(h[0], RobotState)][:70]
    orders = [h for h in heard if isinstance(h[0], JointCommand)][:35]
    straight, mixed = TwinCore(ROBOT, CONFIG), TwinCore(ROBOT, CONFIG)
    for command, _ in orders:
        straight.on_command(command)
    for state, now_ns in some:
        straight.on_state(state, now_ns)
    # Each is held up by up to 60 ms; the first one stays first. Commands come late, too.
    late = data.draw(st.lists(st.integers(0, 60), min_size=len(some), max_size=len(some)))
    behind = data.draw(st.lists(st.integers(0, 80), min_size=len(orders), max_size=len(orders)))
    events = [(s.stamp_ns + (d * MS if k else -NS), 1, s) for k, ((s, _), d) in enumerate(zip(some, late, strict=True))]
    events += [(c.stamp_ns + d * MS, 0, c) for (c, _), d in zip(orders, behind, strict=True)]
    for now_ns, _, value in sorted(events, key=lambda e: e[:2]):
        if isinstance(value, RobotState):
            mixed.on_state(value, now_ns)
        else:
            mixed.learn()
            mixed.command_delay.delay = float("nan")  # how long the way is, is learnt from arrivals: not compared
            mixed.on_command(value)
    assert mixed.refusals.total == straight.refusals.total == 0
    assert moments(mixed) == moments(straight)


def test_a_sample_from_before_all_that_is_kept_is_refused(heard: Heard) -> None:
    core = TwinCore(ROBOT, CONFIG)
    play(core, heard)
    first = next(v for v, _ in heard if isinstance(v, RobotState))
    before = core.state
    assert core.on_state(replace(first, stamp_ns=first.stamp_ns + MS), heard[-1][1]) is None
    assert core.refusals["TOO_LATE"] == 1
    assert core.state is before


def test_it_knows_better_than_the_newest_sample_and_how_well(heard: Heard) -> None:
    twin = play(TwinCore(ROBOT, CONFIG), heard)[-1]
    assert np.all(twin.position_stddev < 0.5 * CONFIG.position_noise)
    assert np.all(twin.velocity_stddev < CONFIG.velocity_noise)
    assert np.all(twin.outlier_threshold > twin.position_stddev)
    assert twin.outlier_threshold.max() < 10.0 * CONFIG.position_noise
    assert 0.5 < twin.nis.mean() < 2.0
    assert twin.desired_position.shape == (ROBOT.n,)
    assert np.isnan(twin.desired_position[ROBOT.index("left_knee_joint")]), "nobody commands the legs"
    assert twin.source_delay[0][0] == "joint_states"
    assert twin.source_delay[0][1] == pytest.approx(0.0225, abs=0.004)


def test_the_covariance_stays_one(heard: Heard) -> None:
    core = TwinCore(ROBOT, CONFIG)
    play(core, heard)
    for moment in core.ring._states:
        cov = moment.joints.cov
        assert np.array_equal(cov, cov.transpose(0, 2, 1))
        assert np.linalg.eigvalsh(cov).min() > 0.0


def spoiled(heard: Heard, since: int, change: Any) -> Heard:
    """The same with the states from number ``since`` on changed."""
    out, count = [], 0
    for value, now_ns in heard:
        if isinstance(value, RobotState):
            count += 1
            value = change(value, count - since) if count >= since else value
        out.append((value, now_ns))
    return out


def shifted(by: float, only: range) -> Any:
    def change(state: RobotState, k: int) -> RobotState:
        q = state.position.copy()
        q[ELBOW] += by if k in only else 0.0
        return replace(state, position=q)
    return change


def test_the_gate_rejects_just_beyond_the_published_threshold(heard: Heard) -> None:
    core = TwinCore(ROBOT, CONFIG)
    play(core, heard)
    twin, last = core.state, core.latest
    assert twin is not None
    assert last is not None
    stamp = last.stamp_ns + 5 * MS
    moment = core.ring.newest
    assert moment is not None
    expected = core.estimator.ahead(moment.joints, stamp)[0]
    for factor, rejected in ((0.7, False), (1.5, True)):
        again = TwinCore(ROBOT, CONFIG)
        play(again, heard)
        q = expected.copy()
        q[ELBOW] += factor * twin.outlier_threshold[ELBOW]
        again.on_state(replace(last, stamp_ns=stamp, seq=last.seq + 1, position=q), stamp + 20 * MS)
        assert again.estimate is not None
        assert bool(again.estimate.gated[ELBOW]) is rejected


def test_a_single_outlier_changes_nothing_and_is_said(heard: Heard) -> None:
    core = TwinCore(ROBOT, CONFIG)
    clean = play(TwinCore(ROBOT, CONFIG), heard)[-1]
    twins = play(core, spoiled(heard, 220, shifted(0.3, range(1))))
    assert any("OUTLIER left_elbow_joint" in t.anomalies for t in twins)
    assert twins[-1].position == pytest.approx(clean.position, abs=2e-3)


def test_a_real_jump_is_believed_after_a_while_and_counted(heard: Heard) -> None:
    core = TwinCore(ROBOT, CONFIG)
    twins = play(core, spoiled(heard, 200, shifted(0.2, range(1000))))
    said = [any(a == "RELOCKED left_elbow_joint" for a in t.anomalies) for t in twins]
    assert any(said)
    moment = core.ring.newest
    assert moment is not None
    assert moment.joints.relocks[ELBOW] == 1, "once is enough"
    assert moment.joints.relocks.sum() == moment.joints.relocks[ELBOW]
    clean = play(TwinCore(ROBOT, CONFIG), heard)[-1]
    assert twins[-1].position[ELBOW] - clean.position[ELBOW] > 0.1


def test_a_joint_whose_sensor_is_lost_measures_nothing(heard: Heard) -> None:
    def blind(state: RobotState, k: int) -> RobotState:
        q = state.position.copy()
        q[ELBOW] = -1.0  # must not matter
        return replace(state, position=q, estimated_joints=("left_elbow_joint",))
    clean = play(TwinCore(ROBOT, CONFIG), heard)
    twins = play(TwinCore(ROBOT, CONFIG), spoiled(heard, 200, blind))
    assert "ESTIMATED left_elbow_joint" in twins[-1].anomalies
    assert twins[-1].position[ELBOW] == pytest.approx(clean[-1].position[ELBOW], abs=0.05), "the command tells"
    assert twins[-1].position_stddev[ELBOW] > 2.0 * clean[-1].position_stddev[ELBOW]
    assert twins[-1].quality_parts[3] < clean[-1].quality_parts[3]


def test_without_torques_it_goes_on_and_says_so(heard: Heard) -> None:
    deaf = spoiled(heard, 0, lambda state, k: replace(state, effort=np.full(ROBOT.n, np.nan)))
    clean, twins = play(TwinCore(ROBOT, CONFIG), heard), play(TwinCore(ROBOT, CONFIG), deaf)
    assert "NO_EFFORT left_elbow_joint" in twins[-1].anomalies
    assert twins[-1].position == pytest.approx(clean[-1].position, abs=5e-3)


def test_the_command_on_its_way_moves_what_is_predicted() -> None:
    """A joint that stands still and is asked to move: the prediction leaves before any sample shows it."""
    world = Reaching(ROBOT, 1)
    core = TwinCore(ROBOT, CONFIG)
    world.on_state = core.on_state  # type: ignore[assignment]
    world.run(0.3)
    last, moment = core.latest, core.ring.newest
    assert last is not None
    assert moment is not None
    goal = moment.joints.q[ELBOW] + 0.1
    core.on_command(JointCommand(last.stamp_ns, 1, 1, "test", ("left_elbow_joint",), np.array([goal])))
    ahead, speed = core.estimator.ahead(moment.joints, last.stamp_ns + 30 * MS)
    assert 0.01 < ahead[ELBOW] - moment.joints.q[ELBOW] < 0.1
    assert speed[ELBOW] > 0.1


@pytest.mark.parametrize(("values", "code"), [
    (dict(joint_names=("nobody",)), "WRONG_NAMES"), (dict(position=np.zeros(2)), "WRONG_LENGTH"),
    (dict(position=np.array([np.nan])), "NON_FINITE"), (dict(kp=np.array([np.inf])), "NON_FINITE")])
def test_a_command_that_cannot_be_used_is_refused_and_counted(values: dict[str, Any], code: str) -> None:
    core = TwinCore(ROBOT)
    good = JointCommand(NS, 1, 1, "test", ("left_elbow_joint",), np.array([1.0]))
    assert core.on_command(replace(good, **values)) == code
    assert core.command_refusals[code] == 1
    assert core.on_command(good) == ""


def test_an_arm_that_falls_is_followed_by_its_dynamics(tmp_path: Path) -> None:
    """No torque, no command: gravity alone moves it, and the twin expects that."""
    robot = load_robot(str(write_robot(tmp_path, arm_data("mjcf", "arm.xml"), ARM_MJCF)))
    core = TwinCore(robot, CONFIG)
    nan3 = np.full(3, np.nan)
    q, v = np.array([0.2, 0.3]), np.zeros(2)
    k = core.estimator.dynamics
    start = 1000 * NS
    for step in range(40):
        state = RobotState(start + step * 5 * MS, step + 1, q, v, np.zeros(2), np.zeros(2), np.full(4, np.nan), nan3,
                           nan3, np.full((2, 3), np.nan), float("nan"), float("nan"))
        core.on_state(state, state.stamp_ns + MS)
        for _ in range(10):  # the model's own motion, in small steps
            motion = k.at(q, v)
            v = v + 5e-4 * (motion.inverse @ (-motion.bias - robot.damping * v))
            q = q + 5e-4 * v
    moment = core.ring.newest
    assert moment is not None
    assert abs(moment.joints.v).max() > 0.5
    assert moment.joints.v == pytest.approx(state.velocity, abs=0.05)
    assert moment.joints.gated.sum() == 0
    assert moment.joints.nis.mean() < 1.0


def test_a_model_that_is_not_the_robot_is_refused_with_what_differs() -> None:
    spec = build_spec(ROBOT)
    spec.body("torso_link").mass = 20.0
    with pytest.raises(RobotError, match="kg"):
        check_model(ROBOT, spec.compile())
    check_model(ROBOT, Kinematics(ROBOT).model)
    spec = build_spec(ROBOT)
    spec.delete(spec.actuator("left_elbow_joint"))
    spec.delete(spec.joint("left_elbow_joint"))
    with pytest.raises(RobotError, match="28 joints"):
        check_model(ROBOT, spec.compile())
    order = list(ROBOT.joint_names)
    order[0], order[1] = order[1], order[0]
    with pytest.raises(RobotError, match="same order"):
        check_model(replace(ROBOT, joint_names=tuple(order)), Kinematics(ROBOT).model)


def test_the_torques_of_states_that_are_left_out_are_not(heard: Heard) -> None:
    core, since, seen = TwinCore(ROBOT, replace(CONFIG, cell_ms=10.0)), [], 0  # type: tuple[TwinCore, list[Any], int]
    for value, now_ns in heard:
        if isinstance(value, JointCommand):
            core.on_command(value)
            continue
        since.append(value.effort)
        if core.on_state(value, now_ns) is not None and core.estimate is not None:
            np.testing.assert_allclose(core.estimate.mean_effort, np.mean(since, axis=0))
            np.testing.assert_array_equal(core.estimate.measured_effort, value.effort)
            seen += len(since) > 1
            since.clear()
    assert seen > 100
