"""What Gazebo gets is the robot of the robot file: masses, frames, limits, sensors, controllers, surroundings."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import mujoco
import numpy as np
import pytest
import yaml

from humanoid_cli.main import main
from humanoid_core.environment import load_environment
from humanoid_core.gazebo import BROADCASTER, POSITION, controllers, gazebo_urdf, world_sdf, write_files
from humanoid_core.graph import load_graph
from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import build_model, standing_height
from humanoid_core.robot import load_robot
from humanoid_core.topics import TOPICS
from humanoid_core.urdf import urdf

ROOT = Path(__file__).resolve().parents[2]
ROBOTS = ("g1", "h1", "t1", "biped12")


def read(text: str) -> mujoco.MjModel:
    """The text as MuJoCo's own URDF reader understands it, fixed links kept."""
    spec = mujoco.MjSpec.from_string(text)
    spec.compiler.fusestatic = False
    return spec.compile()


@pytest.mark.parametrize("name", ROBOTS)
@pytest.mark.parametrize("write", [urdf, lambda robot: gazebo_urdf(robot, "c.yaml")], ids=["urdf", "gazebo"])
def test_mass_inertia_and_kinematics_are_those_of_the_model(name: str, write: Any) -> None:
    robot = load_robot(name)
    ours, theirs = Kinematics(robot), read(write(robot))
    data = mujoco.MjData(theirs)
    known = {theirs.body(i).name for i in range(theirs.nbody)}
    for body in robot.bodies[1:]:
        assert body.link in known
        a, b = ours.model.body(body.link), theirs.body(body.link)
        assert b.mass[0] == pytest.approx(a.mass[0], rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(np.sort(b.inertia), np.sort(a.inertia), rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(b.ipos, a.ipos, atol=1e-9)
    rng = np.random.default_rng(2)
    base = robot.base_link if robot.base_link in known else None
    for _ in range(25):
        q = rng.uniform(robot.lower, robot.upper)
        ours.update(q)
        for joint, value in zip(robot.joint_names, q, strict=True):
            data.joint(joint).qpos[0] = value
        mujoco.mj_kinematics(theirs, data)
        origin = data.body(base).xpos if base else np.zeros(3)
        for body in robot.bodies:
            if body.link == robot.base_link:
                continue
            np.testing.assert_allclose(data.body(body.link).xpos - origin, ours.position(body.link), atol=1e-6)
            np.testing.assert_allclose(data.body(body.link).xmat.reshape(3, 3), ours.rotation(body.link), atol=1e-6)


def test_the_whole_g1_weighs_what_the_vendor_says() -> None:
    root = Xml.fromstring(gazebo_urdf(load_robot("g1"), "c.yaml"))
    assert sum(float(e.get("value", "0")) for e in root.iter("mass")) == pytest.approx(33.341, abs=2e-3)


@pytest.mark.parametrize("name", ROBOTS)
def test_limits_and_controlled_joints_are_the_robot_files(name: str) -> None:
    robot = load_robot(name)
    root = Xml.fromstring(gazebo_urdf(robot, "/somewhere/c.yaml"))
    limits = {e.get("name"): e.find("limit") for e in root.findall("joint") if e.get("type") != "fixed"}
    assert set(limits) == set(robot.joint_names)
    for i, joint in enumerate(robot.joint_names):
        limit = limits[joint]
        assert limit is not None
        found = [float(limit.get(k, "nan")) for k in ("lower", "upper", "effort", "velocity")]
        assert found == pytest.approx([robot.lower[i], robot.upper[i], robot.effort[i], robot.velocity[i]])
    system = root.find("ros2_control")
    assert system is not None
    assert [e.get("name") for e in system.findall("joint")] == list(robot.joint_names)
    assert root.findtext("gazebo/plugin/parameters") == "/somewhere/c.yaml"
    made = controllers(robot)
    assert made[POSITION]["ros__parameters"]["joints"] == [robot.joint_names[i] for i in robot.groups["upper_body"]]
    assert made[BROADCASTER]["ros__parameters"]["joints"] == list(robot.joint_names)
    assert made["controller_manager"]["ros__parameters"]["update_rate"] == TOPICS["joint_states"].rate_hz


def test_the_sole_touches_with_its_contact_points_only() -> None:
    robot = load_robot("g1")
    root = Xml.fromstring(gazebo_urdf(robot, "c.yaml"))
    for foot in robot.feet:
        link = next(e for e in root.findall("link") if e.get("name") == foot.link)
        points = [[float(x) for x in e.find("origin").get("xyz").split()]  # type: ignore[union-attr]
                  for e in link.findall("collision")]
        np.testing.assert_allclose(sorted(points), sorted(foot.points.tolist()), atol=1e-9)


def test_on_the_gantry_it_hangs_where_it_would_stand() -> None:
    robot = load_robot("g1")
    root = Xml.fromstring(gazebo_urdf(robot, "c.yaml"))
    joint = next(e for e in root.findall("joint") if e.get("name") == "gantry")
    height = float(joint.find("origin").get("xyz").split()[2])  # type: ignore[union-attr]
    assert height == pytest.approx(standing_height(robot, build_model(robot), robot.rest))
    free = Xml.fromstring(gazebo_urdf(robot, "c.yaml", gantry=False))
    assert "gantry" not in {e.get("name") for e in free.findall("joint")}


def test_every_sensor_is_bridged_to_a_topic_of_the_table() -> None:
    robot = load_robot("g1")
    root = Xml.fromstring(gazebo_urdf(robot, "c.yaml"))
    sensors = {e.findtext("topic"): e.get("type") for e in root.iter("sensor")}
    bridged = yaml.safe_load((ROOT / "config/bridges/gazebo.yaml").read_text())
    for row in bridged:
        assert row["direction"] == "GZ_TO_ROS"
        if row["ros_topic_name"] == "/clock":
            continue
        assert row["ros_type_name"] == TOPICS[row["ros_topic_name"]].type
        gz = row["gz_topic_name"]
        assert gz in sensors or gz.rpartition("/")[0] in sensors, f"no sensor publishes {gz}"
    names = {row["ros_topic_name"] for row in bridged}
    wanted = {i.topic for i in robot.imus} | {f.topic for f in robot.feet} | {t for t in TOPICS if "camera" in t}
    assert names == wanted | {"/clock"}


def test_the_world_is_the_environment_file() -> None:
    environment = load_environment("table")
    world = Xml.fromstring(world_sdf(environment)).find("world")
    assert world is not None
    models = {e.get("name"): e for e in world.findall("model")}
    assert set(models) == {"floor", *(o.name for o in environment)}
    top = next(o for o in environment if o.half is not None)
    assert models[top.name].findtext("link/collision/geometry/box/size") == " ".join(str(2 * h) for h in top.half or ())
    assert [float(x) for x in models[top.name].findtext("pose", "").split()[:3]] == list(top.xyz)
    column = next(o for o in environment if o.fromto is not None)
    length = float(models[column.name].findtext("link/collision/geometry/cylinder/length", "0"))
    assert length == pytest.approx(0.75)


def test_the_graph_runs_on_simulated_time() -> None:
    for node in load_graph("gazebo", {"record": "x", "metrics": 1, "dashboard": 1}).nodes:
        assert node.parameters["use_sim_time"] is True, node.name


def test_export_writes_what_can_be_read_and_refuses_a_wrong_format(tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t1.urdf"
    assert main(["robot", "export", "t1", "--out", str(out)]) == 0
    assert read(out.read_text()).nu == 0
    assert main(["robot", "export", "t1", "--out", str(out)]) == 2
    assert main(["robot", "export", "t1", "--format", "usd"]) == 2
    assert "must be one of urdf, gazebo, controllers" in capsys.readouterr().err


def test_world_robot_and_controllers_lie_together(tmp_path: Path) -> None:
    world, text = write_files(tmp_path, load_robot("g1"), load_environment("table"), True)
    assert Xml.parse(world).getroot().tag == "sdf"
    assert f"<parameters>{tmp_path / 'controllers.yaml'}</parameters>" in text
    assert set(yaml.safe_load((tmp_path / "controllers.yaml").read_text())) == {"controller_manager", BROADCASTER,
                                                                                POSITION}
    made = yaml.safe_load((tmp_path / "controllers.yaml").read_text())
    assert all(block["ros__parameters"]["use_sim_time"] is True for block in made.values())
    assert "use_sim_time" not in str(controllers(load_robot("g1")))  # the same for a robot that is not simulated
    assert read((tmp_path / "g1.urdf").read_text()).njnt == 29


def test_the_launch_file_starts_gazebo_bridge_and_controllers_on_simulated_time() -> None:
    tree = ast.parse((ROOT / "launch/gazebo.launch.py").read_text())
    nodes = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Node":
            values = {k.arg: ast.unparse(k.value) for k in call.keywords}
            nodes[values["package"].strip("'")] = values
    assert set(nodes) == {"robot_state_publisher", "ros_gz_sim", "ros_gz_bridge", "controller_manager"}
    assert all("USE_SIM_TIME" in values["parameters"] for values in nodes.values())
    assert "'config_file'" in nodes["ros_gz_bridge"]["parameters"]
    assert nodes["controller_manager"]["arguments"] == "[BROADCASTER, POSITION]"
