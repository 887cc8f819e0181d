"""The robot file: the G1's facts, and refusals that name file, key, value and the way out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from robots import arm_data, g1_data, write_robot

from humanoid_core.robot import RobotError, load_robot, robot_from_data

HERE = Path("robot.yaml")
FACTS = Path(__file__).resolve().parents[3] / "shared" / "facts" / "g1_29dof.yaml"


def spoil(keys: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data = g1_data()
    block: Any = data
    for key in keys[:-1]:
        block = block[key]
    if value is KeyError:
        del block[keys[-1]]
    else:
        block[keys[-1]] = value
    return data


def test_g1_has_the_vendors_joints_in_motor_order() -> None:
    g1 = load_robot("g1")
    assert g1.n == 29
    assert g1.joint_names[0] == "left_hip_pitch_joint"
    assert g1.joint_names[12:15] == ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint")
    assert g1.joint_names[28] == "right_wrist_yaw_joint"
    assert len(g1.groups["upper_body"]) == 17
    assert set(g1.groups["upper_body"]) == {i for g in ("waist", "left_arm", "right_arm") for i in g1.groups[g]}
    assert not set(g1.groups["legs"]) & set(g1.groups["upper_body"])
    assert g1.index("left_knee_joint") == 3
    with pytest.raises(KeyError):
        g1.index("tail_joint")


def test_arrays_cannot_be_changed_by_a_reader() -> None:
    g1 = load_robot("g1")
    with pytest.raises(ValueError, match="read-only"):
        g1.upper[0] = 9.0
    with pytest.raises(TypeError):
        g1.groups["legs"] = ()  # type: ignore[index]


def test_command_limits_stay_below_the_hardware() -> None:
    g1 = load_robot("g1")
    assert np.all(g1.command_velocity < g1.velocity)
    assert np.all(g1.command_acceleration < g1.acceleration)
    assert np.all(g1.command_jerk < g1.jerk)


@pytest.mark.skipif(not FACTS.is_file(), reason="the facts file is not beside this repository (../shared/facts)")
def test_g1_agrees_with_the_facts() -> None:
    facts = yaml.safe_load(FACTS.read_text())["bodies"]
    g1 = load_robot("g1")
    moving = [b for b in facts if b.get("joint", {}).get("type") == "revolute"]
    assert g1.joint_names == tuple(b["joint"]["name"] for b in moving)
    for key in ("lower", "upper", "effort", "velocity"):
        np.testing.assert_array_equal(getattr(g1, key), [b["joint"][key] for b in moving])
    bodies = {b.link: b for b in g1.bodies}
    for fact in (b for b in facts if "inertial" in b):
        body, inertial = bodies.pop(fact["link"]), fact["inertial"]
        assert body.mass == inertial["mass"]
        assert list(body.com) == inertial["com"]
        assert list(body.inertia) == inertial["inertia_xx_xy_xz_yy_yz_zz"]
        assert body.parent == fact.get("parent")
        assert list(body.xyz) == fact.get("xyz", [0, 0, 0])
        assert list(body.rpy) == fact.get("rpy", [0, 0, 0])
    assert not bodies, "links that the facts do not know"
    axes = [tuple(b["joint"]["axis"]) for b in moving]
    assert list(g1.axes) == axes
    assert g1.mass == pytest.approx(33.341, abs=5e-4)
    frames = {b["link"]: b for b in facts}
    for imu in g1.imus:
        assert list(imu.xyz) == frames[f"imu_in_{imu.name}"]["xyz"]
    assert list(g1.camera.xyz) == frames["d435_link"]["xyz"]
    assert list(g1.camera.rpy) == frames["d435_link"]["rpy"]


KNEE = ("joints", "table", "left_knee_joint")


@pytest.mark.parametrize(
    ("keys", "value", "key", "says"),
    [
        ((*KNEE, "uper"), 1.0, "joints.table.left_knee_joint.uper", "'upper'"),
        (("bodys",), {}, "bodys", "'bodies'"),
        (("camera", "fov"), 1.0, "camera.fov", "'fovy'"),
        ((*KNEE, "upper"), KeyError, "joints.table.left_knee_joint.upper", "missing"),
        ((*KNEE, "upper"), float("nan"), "joints.table.left_knee_joint.upper", "finite"),
        ((*KNEE, "effort"), float("inf"), "joints.table.left_knee_joint.effort", "finite"),
        ((*KNEE, "effort"), 0.0, "joints.table.left_knee_joint.effort", "greater than 0"),
        ((*KNEE, "lower"), 2.9, "joints.table.left_knee_joint.lower", "inverted"),
        ((*KNEE, "upper"), 165.0, "joints.table.left_knee_joint.upper", "degrees where radians belong"),
        ((*KNEE, "upper"), "165deg", "joints.table.left_knee_joint.upper", "without unit"),
        ((*KNEE, "axis"), [0.0, 2.0, 0.0], "joints.table.left_knee_joint.axis", "unit vector"),
        ((*KNEE, "drive"), "kne", "joints.table.left_knee_joint.drive", "no such drive"),
        (("units", "angle"), "deg", "units.angle", "degrees where radians belong"),
        (("units", "length"), "mm", "units.length", "'m'"),
        (("units",), KeyError, "units", "missing"),
        (("groups", "waist"), ["waist_jaw_joint"], "groups.waist[0]", "'waist_yaw_joint'"),
        (("groups", "legs"), ["waist_yaw_joint"], "groups.upper_body", "must not overlap"),
        (("groups", "upper_body"), KeyError, "groups.upper_body", "missing"),
        (("postures", "rest", "left_elbow_joint"), 3.0, "postures.rest.left_elbow_joint", "outside"),
        (("hands", "left", "link"), "left_hand", "hands.left.link", "'left_rubber_hand'"),
        (("camera", "near"), 6.0, "camera.near", "camera.far"),
        (("camera", "fovy"), 42.0, "camera.fovy", "less than 3.14"),
        (("sources", "imu/pelvis", "backup"), "imu/head", "sources.imu/pelvis.backup", "no such source"),
        (("sources", "imu/pelvis", "backup"), "joint_states", "sources.imu/pelvis.backup", "same kind"),
        (("thermal", "warn"), 90.0, "thermal.warn", "thermal.limit"),
        (("battery", "min"), 50.0, "battery", "rise"),
        (("drives", "table", "arm", "command", "acceleration"), 900.0, "drives.table.arm.command.acceleration", "80"),
        (("model",), {"kind": "bodies", "file": "x.xml"}, "model.file", "takes no file"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name(keys: tuple[Any, ...], value: Any, key: str, says: str) -> None:
    with pytest.raises(RobotError) as caught:
        robot_from_data(spoil(keys, value), HERE)
    assert caught.value.key == key
    assert says in str(caught.value)
    assert str(caught.value).startswith("robot.yaml: ")


@pytest.mark.parametrize(
    ("inertia", "says"),
    [
        ([-0.01, 0.0, 0.0, 0.01, 0.0, 0.01], "positive"),
        ([1.0, 0.0, 0.0, 0.1, 0.0, 0.1], "triangle"),
        ([10549.0, 0.0, 0.0, 9308.0, 0.0, 7918.0], "unit"),
    ],
)
def test_an_impossible_inertia_is_refused(inertia: list[float], says: str) -> None:
    data = g1_data()
    data["bodies"]["links"][0]["inertia"] = inertia
    with pytest.raises(RobotError, match=says) as caught:
        robot_from_data(data, HERE)
    assert "pelvis" in caught.value.key


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("name: a\nname: b\n")
    with pytest.raises(RobotError, match="'name' is given twice"):
        load_robot(path)


def test_an_unknown_robot_lists_the_known_ones() -> None:
    with pytest.raises(RobotError, match=r"known robots:.*g1"):
        load_robot("g2")
    with pytest.raises(RobotError, match="no such robot file"):
        load_robot("nowhere/g1.yaml")


def test_text_that_is_not_yaml_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(b"name: [1, 2\n\x00")
    with pytest.raises(RobotError) as caught:
        load_robot(path)
    assert "\n" not in str(caught.value)
    assert "broken.yaml" in str(caught.value)


def test_the_hash_follows_content_not_layout(tmp_path: Path) -> None:
    data = g1_data()
    same = robot_from_data(data, HERE).hash
    assert load_robot("g1").hash == same
    assert load_robot(write_robot(tmp_path, data)).hash == same
    data["thermal"]["limit"] = 86.0
    assert robot_from_data(data, HERE).hash != same


def test_the_hash_covers_the_model_file(tmp_path: Path) -> None:
    path = write_robot(tmp_path, arm_data("mjcf", "arm.xml"), "<mujoco/>")
    before = load_robot(path).hash
    (tmp_path / "arm.xml").write_text("<mujoco><!-- heavier --></mujoco>")
    path.write_text(path.read_text())
    after = robot_from_data(yaml.safe_load(path.read_text()), path).hash
    assert before != after


def test_a_share_folder_named_by_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "config" / "robots"
    folder.mkdir(parents=True)
    data = g1_data()
    data["description"] = "from the share folder"
    (folder / "g1.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    monkeypatch.setenv("HUMANOID_TWIN_SHARE", str(tmp_path))
    assert load_robot("g1").description == "from the share folder"


@settings(max_examples=30, deadline=None)
@given(lower=st.floats(allow_nan=True), upper=st.floats(allow_nan=True))
def test_limits_are_ordered_and_finite_or_refused(lower: float, upper: float) -> None:
    data = arm_data("bodies", "")
    data["model"] = {"kind": "bodies"}
    data["joints"]["table"] = {"lift": {**data["joints"]["table"]["lift"], "lower": lower, "upper": upper}}
    data["joints"]["table"]["lift"]["axis"] = [0.0, 1.0, 0.0]
    data["groups"]["upper_body"] = ["lift"]
    body = {"mass": 1.0, "inertia": [0.01, 0.0, 0.0, 0.01, 0.0, 0.01]}
    data["bodies"] = {
        "links": [{"link": "stand", **body}, {"link": "fore", "parent": "stand", "joint": "lift", **body}]
    }
    if lower < upper and abs(lower) <= 2 * math.pi and abs(upper) <= 2 * math.pi:
        robot = robot_from_data(data, HERE)
        assert (robot.lower[0], robot.upper[0]) == (lower, upper)
    else:
        with pytest.raises(RobotError, match="lift"):
            robot_from_data(data, HERE)


def test_joints_that_the_robot_can_do_without_are_named_in_its_file() -> None:
    recovery = load_robot("g1").recovery
    assert "left_wrist_yaw_joint" in recovery.estimate
    assert "left_wrist_yaw_joint" in recovery.remove
    assert "left_elbow_joint" in recovery.watch
    assert "left_elbow_joint" not in recovery.estimate + recovery.remove


@pytest.mark.parametrize(
    ("joint", "row", "text"),
    [
        ("left_knee_joint", {"actuator_lost": "remove", "reason": "x"}, "left_knee_joint.actuator_lost = 'remove'"),
        ("left_knee_joint", {"sensor_lost": "estimate", "reason": "x"}, "left_knee_joint.sensor_lost = 'estimate'"),
        ("left_wrist_jaw_joint", {"reason": "x"}, "left_wrist_yaw_joint"),
        ("left_wrist_yaw_joint", {"sensor_lost": "guess", "reason": "x"}, "'stop' or 'estimate'"),
        ("left_wrist_yaw_joint", {"sensor_lost": "estimate"}, "reason"),
    ],
)
def test_a_recovery_that_cannot_be_is_refused(joint: str, row: dict[str, str], text: str) -> None:
    data = g1_data()
    data["recovery"]["joints"][joint] = row
    with pytest.raises(RobotError, match=text) as refusal:
        robot_from_data(data, Path("g1.yaml"))
    assert "recovery.joints" in str(refusal.value)
