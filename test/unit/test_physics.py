"""Robot file -> MuJoCo model, and kinematics over it."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robots import ARM_MJCF, ARM_URDF, arm_data, write_robot

from humanoid_core.kinematics import (
    Kinematics,
    capture_point,
    joint_addresses,
    support_margin,
    support_polygon,
)
from humanoid_core.physics import build_model, rpy_matrix, rpy_quat, standing_height
from humanoid_core.robot import RobotError, load_robot


@pytest.fixture(scope="module")
def g1() -> Kinematics:
    return Kinematics(load_robot("g1"))


def test_the_model_carries_the_files_numbers(g1: Kinematics) -> None:
    robot, model = g1.robot, g1.model
    assert model.body_mass.sum() == pytest.approx(33.341, abs=5e-4)
    for i, name in enumerate(robot.joint_names):
        joint = model.joint(name)
        np.testing.assert_allclose(joint.range, [robot.lower[i], robot.upper[i]])
        assert model.dof_armature[joint.dofadr[0]] == robot.armature[i]
        assert model.actuator(name).id == i
        np.testing.assert_allclose(model.actuator(name).ctrlrange, [-robot.effort[i], robot.effort[i]])
    for body in robot.bodies:
        if body.mass:
            found = model.body(body.link)
            assert found.mass[0] == pytest.approx(body.mass)
            np.testing.assert_allclose(found.ipos, body.com, atol=1e-9)
            xx, xy, xz, yy, yz, zz = body.inertia
            principal = np.sort(np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
            np.testing.assert_allclose(np.sort(found.inertia), principal, rtol=1e-6, atol=1e-9)


def test_stand_rest_and_crouch_are_statically_stable_and_free_of_self_contact(g1: Kinematics) -> None:
    robot = g1.robot
    for q in (robot.stand, robot.rest, robot.crouch):
        g1.update(q)
        polygon = support_polygon(np.vstack(g1.foot_points()))
        assert support_margin(polygon, g1.com()) > 0.03
        mujoco.mj_forward(g1.model, g1.data)
        assert g1.data.ncon == 0


def test_arms_pressed_into_the_body_collide(g1: Kinematics) -> None:
    q = g1.robot.rest.copy()
    q[g1.robot.index("left_shoulder_roll_joint")] = -1.2
    g1.update(q)
    mujoco.mj_forward(g1.model, g1.data)
    pairs = {tuple(sorted(g1.model.geom(i).name.rsplit("_", 1)[0] for i in c.geom)) for c in g1.data.contact}
    assert any("left" in a + b and ("torso" in a + b or "pelvis" in a + b or "hip" in a + b) for a, b in pairs)


def test_standing_height_puts_the_soles_on_the_floor(g1: Kinematics) -> None:
    robot = g1.robot
    height = standing_height(robot, g1.model, robot.stand)
    g1.update(robot.stand, np.array([0.0, 0.0, height]))
    assert np.vstack(g1.foot_points())[:, 2].min() == pytest.approx(robot.foot_radius, abs=1e-9)
    assert 0.70 < height < 0.80


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_jacobian_is_the_derivative_of_position(seed: int) -> None:
    kinematics = Kinematics(load_robot("g1"))
    robot, rng = kinematics.robot, np.random.default_rng(seed)
    q = rng.uniform(robot.lower, robot.upper)
    dq = rng.normal(size=robot.n)
    hand = robot.hands["left"]
    kinematics.update(q)
    jacobian = kinematics.jacobian(hand.link, hand.point)
    step = 1e-6
    kinematics.update(q + step * dq)
    ahead = kinematics.position(hand.link, hand.point)
    kinematics.update(q - step * dq)
    behind = kinematics.position(hand.link, hand.point)
    np.testing.assert_allclose(jacobian @ dq, (ahead - behind) / (2 * step), atol=1e-5)


def test_base_pose_moves_everything(g1: Kinematics) -> None:
    g1.update(g1.robot.rest)
    in_base, _ = g1.hand("right")
    shift, turn = np.array([1.0, -2.0, 0.7]), (0.0, 0.0, 0.5)
    g1.update(g1.robot.rest, shift, rpy_quat(turn))
    in_world, _ = g1.hand("right")
    np.testing.assert_allclose(in_world, shift + rpy_matrix(turn) @ in_base, atol=1e-12)


def test_com_velocity_matches_a_moving_base(g1: Kinematics) -> None:
    n = g1.robot.n
    g1.update(g1.robot.rest, dq=np.zeros(n), base_linear=np.array([0.3, -0.1, 0.0]), base_angular=np.zeros(3))
    np.testing.assert_allclose(g1.com_velocity(), [0.3, -0.1, 0.0], atol=1e-12)


def test_capture_point_leads_in_the_direction_of_motion() -> None:
    xi = capture_point(np.array([0.0, 0.0, 0.981]), np.array([1.0, -2.0, 0.0]))
    np.testing.assert_allclose(xi, [0.31623, -0.63246], atol=1e-4)


def test_support_polygon_and_margin() -> None:
    square = support_polygon(np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5], [0.5, 0.0]], dtype=float))
    assert len(square) == 4
    assert support_margin(square, np.array([0.5, 0.6])) == pytest.approx(0.4)
    assert support_margin(square, np.array([1.3, 0.5])) == pytest.approx(-0.3)
    assert support_margin(square, np.array([1.3, 1.4])) == pytest.approx(-0.5)
    line = support_polygon(np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert support_margin(line, np.array([0.5, 0.0])) <= 0.0
    assert support_margin(support_polygon(np.zeros((0, 2))), np.zeros(2)) == float("-inf")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=3, max_size=12))
def test_points_of_a_hull_are_never_outside_it(points: list[tuple[float, float]]) -> None:
    hull = support_polygon(np.array(points))
    if len(hull) >= 3:
        for p in points:
            assert support_margin(hull, np.array(p)) >= -1e-9


@pytest.mark.parametrize(("kind", "text"), [("mjcf", ARM_MJCF), ("urdf", ARM_URDF)])
def test_a_second_robot_comes_from_a_model_file(tmp_path: Path, kind: str, text: str) -> None:
    robot = load_robot(write_robot(tmp_path, arm_data(kind, "arm.xml" if kind == "mjcf" else "arm.urdf"), text))
    model = build_model(robot)
    adr, _ = joint_addresses(model, robot.joint_names)
    assert len(set(adr)) == 2
    np.testing.assert_allclose(model.joint("lift").range, [-1.5, 1.5])
    assert model.body("fore").mass[0] == pytest.approx(0.5)
    kinematics = Kinematics(robot)
    kinematics.update(np.zeros(2))
    base = kinematics.position("stand")
    hand, _ = kinematics.hand("left")
    np.testing.assert_allclose(hand - base, [0.45, 0.0, 0.06], atol=1e-9)
    kinematics.update(np.array([-np.pi / 2, 0.0]))
    hand, _ = kinematics.hand("left")
    np.testing.assert_allclose(hand - base, [0.0, 0.0, 0.51], atol=1e-9)


@pytest.mark.parametrize("kind", ["mjcf", "urdf"])
def test_names_that_file_and_robot_disagree_on_are_named(tmp_path: Path, kind: str) -> None:
    text = {"mjcf": ARM_MJCF, "urdf": ARM_URDF}[kind]
    data = arm_data(kind, "arm.xml")
    data["hands"]["left"]["link"] = "foer"
    with pytest.raises(RobotError, match=r"hands.left.link.*'fore'"):
        build_model(load_robot(write_robot(tmp_path, data, text)))
    data = arm_data(kind, "arm.xml")
    data["joints"]["table"] = {"lift": data["joints"]["table"]["lift"]}
    data["groups"]["upper_body"] = ["lift"]
    with pytest.raises(RobotError, match=r"'bend'.*add it with its limits"):
        build_model(load_robot(write_robot(tmp_path, data, text)))
    data = arm_data(kind, "arm.xml")
    data["joints"]["table"]["bent"] = data["joints"]["table"].pop("bend")
    data["groups"]["upper_body"] = ["lift", "bent"]
    with pytest.raises(RobotError, match=r"no such joint.*'bend'"):
        build_model(load_robot(write_robot(tmp_path, data, text)))


def test_a_broken_model_file_is_one_clear_line(tmp_path: Path) -> None:
    robot = load_robot(write_robot(tmp_path, arm_data("mjcf", "arm.xml"), "<mujoco><worldbody>"))
    with pytest.raises(RobotError) as caught:
        build_model(robot)
    assert caught.value.key == "model.file"
    assert "\n" not in str(caught.value)


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RobotError, match=r"model.file"):
        load_robot(write_robot(tmp_path, arm_data("mjcf", "arm.xml")))
