"""A load that the model was told of: in the equation of motion, in the balance, in what is looked ahead."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_bench.reaching import Reaching
from humanoid_bench.twin_diagnosis import Watcher
from humanoid_core.kinematics import Kinematics, joint_addresses
from humanoid_core.physics import build_spec
from humanoid_core.robot import load_robot
from sim_nodes.core.payload import Payload, add_hands
from twin_nodes.core.joint_dynamics import JointDynamics
from twin_nodes.core.preview import Preview
from twin_nodes.core.revision import Revision
from twin_nodes.core.start import Start, start_of

ROBOT = load_robot("g1")
N = ROBOT.n
SHOULDER = ROBOT.index("left_shoulder_pitch_joint")


@pytest.fixture(scope="module")
def loaded() -> tuple[mujoco.MjModel, mujoco.MjData, dict[str, float]]:
    """The same robot, bolted down, with real bodies in its hands."""
    loads = {"left": 1.2, "right": 0.4}
    fixed = replace(ROBOT, base_fixed=True)
    spec = build_spec(fixed)
    add_hands(spec, fixed)
    model = spec.compile()
    Payload(fixed, model).weigh(loads)
    return model, mujoco.MjData(model), loads


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_equation_of_motion_is_that_of_a_robot_with_the_load(
        loaded: tuple[mujoco.MjModel, mujoco.MjData, dict[str, float]], seed: int) -> None:
    model, data, loads = loaded
    rng = np.random.default_rng(seed)
    q, v = rng.uniform(ROBOT.lower, ROBOT.upper), rng.normal(0.0, 2.0, N)
    dynamics = JointDynamics(ROBOT)
    bare = dynamics.at(q, v)
    dynamics.carry(loads)
    motion = dynamics.at(q, v)
    at, dof = joint_addresses(model, ROBOT.joint_names)
    data.qpos[at], data.qvel[dof] = q, v
    mujoco.mj_forward(model, data)
    mass, unit = np.zeros((model.nv, model.nv)), np.eye(model.nv)
    for row, direction in zip(mass, unit, strict=True):
        mujoco.mj_mulM(model, data, row, direction)
    np.testing.assert_allclose(motion.mass, mass[np.ix_(dof, dof)], atol=1e-9)
    np.testing.assert_allclose(motion.bias, data.qfrc_bias[dof], atol=1e-8)
    np.testing.assert_allclose(motion.inverse @ motion.mass, np.eye(N), atol=1e-7)
    np.testing.assert_array_equal(motion.own, bare.bias)
    dynamics.carry({"left": 0.0, "right": 0.0})
    np.testing.assert_array_equal(dynamics.at(q, v).bias, bare.bias)


def test_the_centre_of_mass_and_its_speed_know_of_the_load(
        loaded: tuple[mujoco.MjModel, mujoco.MjData, dict[str, float]]) -> None:
    model, _, loads = loaded
    rng = np.random.default_rng(1)
    q, v = rng.uniform(ROBOT.lower, ROBOT.upper), rng.normal(0.0, 1.0, N)
    fixed = replace(ROBOT, base_fixed=True)
    plain, carrying, truth = Kinematics(fixed), Kinematics(fixed), Kinematics(fixed, model)
    carrying.carry(loads)
    for kinematics in (plain, carrying, truth):
        kinematics.update(q, dq=v)
    np.testing.assert_allclose(carrying.com(), truth.com(), atol=1e-9)
    np.testing.assert_allclose(carrying.com_velocity(), truth.com_velocity(), atol=1e-9)
    assert np.linalg.norm(plain.com() - truth.com()) > 1e-3
    carrying.carry({})
    carrying.update(q, dq=v)
    np.testing.assert_allclose(carrying.com(), plain.com(), atol=1e-12)


def test_a_load_that_is_applied_is_no_disturbance_any_more_and_a_rollback_makes_it_one() -> None:
    world = Reaching(ROBOT, 2)
    watcher = Watcher(ROBOT, world)
    core = watcher.core
    world.run(2.5)
    world.set_fault("payload", "left", 1.0)
    world.run(16.0)
    assert core.state is not None
    assert any("PAYLOAD" in a for a in core.state.anomalies), core.state.anomalies
    asked = core.calibrate("payload", True, world.now_ns)
    assert (asked.ok, asked.revision) == (True, 1), asked
    assert core.learning.calibration.current.payload["left"] == pytest.approx(1.0, rel=0.1)
    before = pushed(world, watcher, 0.0)
    after = pushed(world, watcher, 2.0)
    assert after < 0.35 * max(before, heavy(core)), (before, after, heavy(core))
    assert core.state is not None
    assert not any("PAYLOAD" in a for a in core.state.anomalies)
    again = core.calibrate("payload", False, world.now_ns)
    assert again.ok or again.reason.startswith("EXCITATION"), again
    assert core.calibrate("rollback", True, world.now_ns).revision == 2
    assert pushed(world, watcher, 2.0) > 2.0 * after


def pushed(world: Reaching, watcher: Watcher, seconds: float) -> float:
    """Mean disturbance of the shoulder that carries the load, N m, over half a second."""
    world.run(seconds)
    said = []
    for _ in range(10):
        world.run(0.05)
        assert watcher.core.estimate is not None
        said.append(abs(float(watcher.core.estimate.disturbance[SHOULDER])))
    return float(np.mean(said))


def heavy(core) -> float:  # type: ignore[no-untyped-def]
    """What one kilogram in the hand asks of that shoulder now, N m."""
    return float(abs(core.diagnosis.arms.weight("left")[SHOULDER]))


def test_a_look_ahead_follows_the_revision_of_its_start() -> None:
    """An arm that hangs free falls faster with a load, and comes back to the robot file's model without."""
    world = Reaching(ROBOT, 2)
    core = Watcher(ROBOT, world).core
    world.run(1.0)
    start = start_of(core)
    assert start is not None
    preview = Preview(ROBOT, 0.2)
    plain = preview.look(start, None, 0.5)
    heavy_model = replace(Revision.of(ROBOT), number=1, payload={"left": 3.0, "right": 0.0})
    with_load = preview.look(replace(start, revision=heavy_model), None, 0.5)
    assert np.abs(with_load.trajectory - plain.trajectory).max() > 0.01
    assert with_load.support_margin != plain.support_margin
    again = preview.look(start, None, 0.5)
    np.testing.assert_array_equal(again.trajectory, plain.trajectory)
    assert isinstance(start, Start)
