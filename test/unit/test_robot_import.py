"""`humanoid-twin robot import`: what a model says is kept, what it does not is said aloud, the rest is refused."""

from __future__ import annotations

import math
from pathlib import Path

import mujoco
import numpy as np
import pytest
from robots import ARM_MJCF, ARM_URDF, biped_mjcf

from humanoid_cli.main import main
from humanoid_core.kinematics import Kinematics
from humanoid_core.robot import RobotError, load_robot
from humanoid_core.robot_guess import groups_of, side_of
from humanoid_core.robot_read import matrix_rpy, read_model

LIMITED = ARM_MJCF.replace('name="lift" axis="0 1 0"', 'name="lift" axis="0 1 0" range="-1 1.2" '
                           'actuatorfrcrange="-30 30"')

#: Turned frames, a turned inertia, a fixed link in between, a joint that turns for ever.
TURNED = """<robot name="Turned Arm 2">
  <link name="base"><inertial><mass value="3"/>
    <inertia ixx=".02" iyy=".02" izz=".02" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="plate"/>
  <link name="left_upper"><inertial><origin xyz=".02 .03 .1" rpy=".3 -.2 .5"/><mass value="1.1"/>
    <inertia ixx=".004" iyy=".005" izz=".002" ixy=".0003" ixz="-.0002" iyz=".0001"/></inertial></link>
  <link name="left_fore"><inertial><origin xyz="0 0 .1"/><mass value=".6"/>
    <inertia ixx=".002" iyy=".002" izz=".0008" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="fix" type="fixed"><parent link="base"/><child link="plate"/><origin xyz="0 .1 .2" rpy="0 .4 0"/></joint>
  <joint name="left_shoulder_pitch" type="revolute"><parent link="plate"/><child link="left_upper"/>
    <origin xyz=".01 0 .02" rpy=".7 .1 -.3"/><axis xyz="0 2 0"/>
    <limit lower="-1" upper="1.5" effort="25" velocity="9"/><dynamics damping=".2" friction=".3"/></joint>
  <joint name="left_elbow" type="continuous"><parent link="left_upper"/><child link="left_fore"/>
    <origin xyz="0 0 .2"/><axis xyz="1 0 1"/></joint>
</robot>"""


def imported(folder: Path, text: str, *options: str, name: str = "model.xml") -> Path:
    """Import a model as a person would; the robot file."""
    (folder / name).write_text(text)
    out = folder / "out.yaml"
    assert main(["robot", "import", str(folder / name), "--out", str(out), *options]) == 0
    return out


@pytest.mark.parametrize("options", [(), ("--bodies",)])
def test_limits_and_names_are_those_of_the_urdf(tmp_path: Path, options: tuple[str, ...]) -> None:
    robot = load_robot(imported(tmp_path, TURNED, *options, name="a.urdf"))
    assert robot.name == "turned_arm_2"
    assert robot.joint_names == ("left_shoulder_pitch", "left_elbow")
    assert robot.lower.tolist() == pytest.approx([-1.0, -math.pi])
    assert robot.upper.tolist() == pytest.approx([1.5, math.pi])
    assert robot.effort.tolist() == [25.0, 20.0]
    assert robot.velocity.tolist() == [9.0, 5.0]
    assert robot.damping.tolist() == [0.2, 0.0]
    assert robot.groups["left_arm"] == (0, 1)


@pytest.mark.parametrize(("text", "name"), [(TURNED, "a.urdf"), (ARM_URDF, "b.urdf"), (LIMITED, "c.xml")])
def test_the_numbers_written_out_are_the_model(tmp_path: Path, text: str, name: str) -> None:
    """Mass, inertia and forward kinematics of the drafted bodies against MuJoCo's own reading of the file."""
    robot = load_robot(imported(tmp_path, text, "--bodies", name=name))
    spec = mujoco.MjSpec.from_file(str(tmp_path / name))
    spec.compiler.fusestatic = False
    theirs = spec.compile()
    ours = Kinematics(robot)
    data = mujoco.MjData(theirs)
    rng = np.random.default_rng(4)
    root = robot.base_link if mujoco.mj_name2id(theirs, mujoco.mjtObj.mjOBJ_BODY, robot.base_link) > 0 else None
    for _ in range(20):
        q = rng.uniform(robot.lower, robot.upper)
        ours.update(q)
        for joint, value in zip(robot.joint_names, q, strict=True):
            data.joint(joint).qpos[0] = value
        mujoco.mj_kinematics(theirs, data)
        origin = data.body(root).xpos if root else np.zeros(3)
        for body in robot.bodies[1:]:
            np.testing.assert_allclose(ours.position(body.link) - ours.position(robot.base_link),
                                       data.body(body.link).xpos - origin, atol=1e-6)
            np.testing.assert_allclose(ours.rotation(body.link), data.body(body.link).xmat.reshape(3, 3), atol=1e-6)
    for body in robot.bodies[1:]:
        assert ours.model.body(body.link).mass[0] == pytest.approx(theirs.body(body.link).mass[0], rel=1e-6)
        np.testing.assert_allclose(np.sort(ours.model.body(body.link).inertia),
                                   np.sort(theirs.body(body.link).inertia), rtol=1e-5)


def test_what_the_model_does_not_say_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported(tmp_path, TURNED, name="a.urdf")
    said = capsys.readouterr().out
    for words in ("left_elbow has no limits", "no torque limit in the model for left_elbow", "no speed limit",
                  "no rotor inertia", "postures.stand is empty", "hands.left is missing", "is the base fixed"):
        assert words in said


def test_a_biped_gets_legs_feet_and_an_upper_body(tmp_path: Path) -> None:
    robot = load_robot(imported(tmp_path, biped_mjcf(), "--bodies"))
    assert len(robot.groups["legs"]) == 6
    assert robot.groups["upper_body"] == (robot.index("nod"),)
    assert [f.link for f in robot.feet] == ["left_foot", "right_foot"]
    assert robot.feet[0].points.shape == (4, 3)


@pytest.mark.parametrize(("text", "words"), [
    ("<robot", "no XML"),
    ("<sdf/>", "is neither a URDF"),
    (ARM_URDF.replace('child link="fore"', 'child link="four"'), "joint 'bend'.child = 'four': no such link"),
    (ARM_URDF.replace('type="revolute"><parent link="upper"', 'type="planar"><parent link="upper"'),
     "joint 'bend'.type = 'planar'"),
    (ARM_URDF.replace('parent link="upper"', 'parent link="fore"'), "no joint leads here from stand"),
    (ARM_URDF.replace('<axis xyz="0 1 0"/>', '<axis xyz="0 one 0"/>'), "must be 3 finite number(s)"),
    (ARM_URDF.replace('lower="-1" upper="1"', 'lower="1" upper="-1"'), "inverted limits"),
    (ARM_URDF.replace('ixx="0.001"', 'ixx="-0.001"'), "not positive definite"),
])
def test_a_model_that_cannot_be_used_is_one_line_and_exit_code_2(tmp_path: Path, text: str, words: str,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "bad.urdf"
    model.write_text(text)
    assert main(["robot", "import", str(model), "--bodies"]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert list(tmp_path.glob("*.yaml")) == []


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = imported(tmp_path, ARM_URDF, name="a.urdf")
    before = out.read_text()
    assert main(["robot", "import", str(tmp_path / "a.urdf"), "--out", str(out), "--name", "other"]) == 2
    assert "--force overwrites it" in capsys.readouterr().err
    assert out.read_text() == before


def test_a_model_may_lie_where_a_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    models.mkdir()
    out = imported(tmp_path, ARM_URDF, name="a.urdf")
    (tmp_path / "a.urdf").rename(models / "a.urdf")
    out.write_text(out.read_text().replace("file: a.urdf", "file: '${MY_MODELS}/a.urdf'"))
    with pytest.raises(RobotError, match="environment variable MY_MODELS is not set"):
        load_robot(out)
    monkeypatch.setenv("MY_MODELS", str(models))
    out.touch()
    assert load_robot(out).n == 2


@pytest.mark.parametrize(("name", "side"), [("left_knee", "left"), ("R_hip", "right"), ("leg_l_2", "left"),
                                            ("Shank_Right", "right"), ("waist", ""), ("lower_roll", "")])
def test_sides_are_read_from_names(name: str, side: str) -> None:
    assert side_of(name) == side


def test_groups_are_read_from_names() -> None:
    found = groups_of(["left_hip", "right_hip", "torso_yaw", "head_pan", "left_wrist", "right_wrist", "tail"])
    assert found == {"legs": ["left_hip", "right_hip"], "waist": ["torso_yaw"], "head": ["head_pan"],
                     "left_arm": ["left_wrist"], "right_arm": ["right_wrist"],
                     "upper_body": ["torso_yaw", "head_pan", "left_wrist", "right_wrist", "tail"]}


def test_angles_of_a_rotation_come_back() -> None:
    from humanoid_core.physics import rpy_matrix

    for rpy in ((0.3, -0.4, 2.0), (0.1, math.pi / 2, 0.0), (-3.0, 0.2, -1.0)):
        np.testing.assert_allclose(rpy_matrix(matrix_rpy(rpy_matrix(rpy))), rpy_matrix(rpy), atol=1e-9)


def test_a_root_that_floats_is_not_the_world(tmp_path: Path) -> None:
    floating = ARM_URDF.replace('<link name="stand">', '<link name="world"/><joint name="f" type="floating">'
                                '<parent link="world"/><child link="stand"/></joint><link name="stand">')
    (tmp_path / "a.urdf").write_text(floating)
    found = read_model(tmp_path / "a.urdf")
    assert (found.links[0].name, found.fixed) == ("stand", False)
