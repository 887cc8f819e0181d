"""What rviz2 is shown: the drawings, the robot's URDF, its configuration, and diagnostics as a tree."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

from humanoid_core.graph import known_graphs, load_graph
from humanoid_core.kinematics import Kinematics
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS
from humanoid_core.types import ActionChunk, Level, RobotState, SafetyStatus, TwinState, TwinStatus, Violation
from humanoid_core.urdf import urdf
from view_nodes.core.marks import BALL, LINE, OUTSIDE, TEXT, Mark, Marks
from view_nodes.params import MarkersParams

ROOT = Path(__file__).resolve().parents[2]
ROBOT = load_robot("g1")
KINEMATICS = Kinematics(ROBOT)
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
BASE = np.array([0.2, -0.1, 0.75])
ELBOW = ROBOT.index("left_elbow_joint")


def twin(**changes: Any) -> TwinState:
    zero, n = np.zeros(3), np.zeros(ROBOT.n)
    made = TwinState(NS, 1, "", ROBOT.stand, n, n, n, BASE, UPRIGHT, zero, zero, np.array([0.2, -0.1, 0.6]),
                     np.array([0.21, -0.1, 0.0]), 0.05, n, 1.0, 0.004, TwinStatus.OK)
    return dataclasses.replace(made, **changes)


def state(q: np.ndarray, left: float, right: float) -> RobotState:
    n, feet = np.zeros(ROBOT.n), np.array([[0.0, 0.0, left], [0.0, 0.0, right]])
    return RobotState(NS, 1, q, n, n, n, UPRIGHT, np.zeros(3), np.zeros(3), feet, 50.0, 1.0)


def chunk(rows: int = 10) -> ActionChunk:
    """The left elbow bends, 0.1 s a row."""
    way = ROBOT.stand[ELBOW] - np.linspace(0.05, 0.5, rows)[:, None]
    return ActionChunk(NS, 1, 1, "p", "", ("left_elbow_joint",), 0.1, way, 1.0)


def of(marks: tuple[Mark, ...] | list[Mark], group: str) -> list[Mark]:
    return [m for m in marks if m.group == group]


def test_a_trail_leads_where_the_hand_will_be_and_fades() -> None:
    marks = Marks(ROBOT).trail(twin(), ROBOT.stand, chunk(), NS)
    left = of(marks, "plan left")[0]
    assert left.kind == LINE
    assert len(left.points) == 10
    goal = ROBOT.stand.copy()
    goal[ELBOW] = chunk().positions[-1, 0]
    KINEMATICS.update(goal, BASE, UPRIGHT)
    assert left.points[-1] == pytest.approx(KINEMATICS.hand("left")[0])
    strength = [c[3] for c in left.colours]
    assert strength == sorted(strength, reverse=True)
    assert strength[0] > 0.9
    assert np.ptp(of(marks, "plan right")[0].points, axis=0).max() < 1e-9, "the right hand stays"


def test_what_is_over_of_a_chunk_is_drawn_no_more() -> None:
    marks = Marks(ROBOT)
    plan = chunk()
    half = of(marks.trail(twin(), ROBOT.stand, plan, NS + NS // 2), "plan left")[0]
    assert len(half.points) == 5
    assert marks.trail(twin(), ROBOT.stand, plan, 3 * NS) == []


def test_a_chunk_for_another_robot_is_not_drawn() -> None:
    foreign = dataclasses.replace(chunk(), joint_names=("tail",))
    assert Marks(ROBOT).trail(twin(), ROBOT.stand, foreign, NS) == []


def test_only_the_foot_that_carries_is_in_the_support_polygon() -> None:
    marks = Marks(ROBOT)
    both = of(marks.balance(twin(), ROBOT.stand, state(ROBOT.stand, 170.0, 170.0)), "support")[0]
    one = of(marks.balance(twin(), ROBOT.stand, state(ROBOT.stand, 340.0, 0.0)), "support")[0]
    assert np.ptp(both.points[:, 1]) > 2 * np.ptp(one.points[:, 1])
    assert both.points[0] == pytest.approx(both.points[-1]), "a ring is closed"
    assert one.points[:, 1].min() > BASE[1] - 0.02, "the left foot"
    assert of(marks.balance(twin(), ROBOT.stand, state(ROBOT.stand, 0.0, 0.0)), "support") == []


def test_a_capture_point_outside_is_red() -> None:
    marks = Marks(ROBOT).balance(twin(support_margin=-0.01), ROBOT.stand, None)
    assert of(marks, "capture point")[0].colours == (OUTSIDE,)
    assert of(marks, "com")[0].kind == BALL


def test_a_hand_near_the_body_is_marked_with_its_distance() -> None:
    marks = Marks(ROBOT, near=0.03)
    assert of(marks.near(twin(), ROBOT.stand), "near") == []
    q = ROBOT.stand.copy()
    q[ROBOT.index("left_shoulder_roll_joint")] = ROBOT.lower[ROBOT.index("left_shoulder_roll_joint")]
    near = marks.near(twin(), q)
    assert near
    line, text = near[0], near[1]
    assert (line.kind, text.kind) == (LINE, TEXT)
    apart = float(text.text.removesuffix(" cm")) / 100.0
    assert np.linalg.norm(line.points[1] - line.points[0]) == pytest.approx(abs(apart), abs=6e-4)
    assert np.linalg.norm(line.points.mean(axis=0) - BASE) < 0.8, "in the world, where the robot is"


def test_the_level_stands_over_the_head_with_its_reason() -> None:
    held = SafetyStatus(0, Level.WARNING, False, "", (Violation("TILT", "base", 0.5, 0.4, 0.3, 0),), 1, 0, 0.0)
    mark = Marks(ROBOT).level(twin(), held)
    assert mark.text == "WARNING\nTILT base"
    assert mark.points[0, 2] > BASE[2] + 0.6
    assert Marks(ROBOT).level(twin(), None).text == "NO MONITOR"


def test_nothing_is_drawn_of_a_twin_that_knows_no_place() -> None:
    lost = twin(base_position=np.full(3, np.nan))
    assert Marks(ROBOT).draw(lost, None, None, chunk(), NS) == ()


def test_markers_carry_frame_colours_and_an_end_of_their_own() -> None:
    from visualization_msgs.msg import Marker

    from view_nodes.scene_markers import marker

    marks = Marks(ROBOT).draw(twin(), None, None, chunk(), NS)
    made = [marker(mark, k, "world") for k, mark in enumerate(marks)]
    assert len({(m.ns, m.id) for m in made}) == len(made)
    trail = next(m for m in made if m.ns == "plan left")
    assert (trail.type, len(trail.points), len(trail.colors)) == (Marker.LINE_STRIP, 10, 10)
    text = next(m for m in made if m.type == Marker.TEXT_VIEW_FACING)
    assert text.scale.z > 0.0
    assert all(m.header.frame_id == "world" and m.lifetime.sec == 1 and m.pose.orientation.w == 1.0 for m in made)


def test_the_urdf_is_the_same_robot() -> None:
    """Read by MuJoCo's own URDF reader: where links are, what they weigh and how they turn."""
    model = mujoco.MjModel.from_xml_string(_unfused(urdf(ROBOT)))
    data = mujoco.MjData(model)
    q = ROBOT.stand + 0.2 * np.sin(np.arange(ROBOT.n))
    for name, value in zip(ROBOT.joint_names, q, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = value
        i = ROBOT.index(name)
        assert model.joint(name).range == pytest.approx([ROBOT.lower[i], ROBOT.upper[i]])
    mujoco.mj_forward(model, data)
    KINEMATICS.update(q)
    for link in ("left_ankle_roll_link", "right_wrist_yaw_link", "torso_link"):
        assert data.body(link).xpos == pytest.approx(KINEMATICS.position(link), abs=1e-6)
        assert data.body(link).xmat.reshape(3, 3) == pytest.approx(KINEMATICS.rotation(link), abs=1e-6)
        assert model.body(link).mass[0] == pytest.approx(KINEMATICS.model.body(link).mass[0], rel=1e-6)
    whole, ours = np.zeros((model.nv, model.nv)), np.zeros((KINEMATICS.model.nv,) * 2)
    model.dof_armature[:] = 0.0
    mujoco.mj_forward(model, data)
    mujoco.mj_fullM(model, data, whole)
    bare = KINEMATICS.model
    assert model.body_mass.sum() == pytest.approx(bare.body_mass.sum(), rel=1e-6)
    rows = [model.joint(n).dofadr[0] for n in ROBOT.joint_names]
    there = mujoco.MjData(bare)
    there.qpos[:] = KINEMATICS.data.qpos
    mujoco.mj_forward(bare, there)
    mujoco.mj_fullM(bare, there, ours)
    inertia = ours[np.ix_(KINEMATICS.dof_adr, KINEMATICS.dof_adr)] - np.diag(ROBOT.armature)
    assert whole[np.ix_(rows, rows)] == pytest.approx(inertia, abs=1e-6)


def _unfused(text: str) -> str:
    """MuJoCo would melt fixed links into their parents."""
    head = '<mujoco><compiler fusestatic="false" balanceinertia="false" discardvisual="false"/></mujoco>'
    return text.replace(f'<robot name="{ROBOT.name}">', f'<robot name="{ROBOT.name}">{head}', 1)


def test_rviz_shows_topics_that_somebody_publishes() -> None:
    config = yaml.safe_load((ROOT / "config" / "rviz" / "humanoid_twin.rviz").read_text())
    displays = {d["Name"]: d for d in config["Visualization Manager"]["Displays"]}
    for display in displays.values():
        if "Topic" in display:
            row = TOPICS[display["Topic"]["Value"]]
            assert display["Topic"]["Reliability Policy"] == ("Reliable" if row.reliable else "Best Effort")
    assert displays["Twin"]["TF Prefix"] + "/" == MarkersParams().twin_prefix
    assert config["Visualization Manager"]["Global Options"]["Fixed Frame"] == MarkersParams().frame
    launch = (ROOT / "launch" / "rviz.launch.py").read_text()
    for name in ("robot_description", "twin/robot_description"):
        assert any(d.get("Description Topic", {}).get("Value") == name for d in displays.values())
    assert '"robot_description"' in launch


def test_every_node_has_one_place_in_the_tree_of_diagnostics() -> None:
    file = yaml.safe_load((ROOT / "config" / "diagnostics" / "aggregator.yaml").read_text())["/**"]["ros__parameters"]
    analyzers = {key: value for key, value in file.items() if isinstance(value, dict)}
    nodes = {n.name for g in known_graphs() for n in load_graph(g, _everything(g)).nodes}
    assert {"scene_markers", "metrics", "dashboard"} <= nodes
    for name in {*nodes, "machine/processor"}:
        places = [key for key, a in analyzers.items() if any(name.startswith(start) for start in a["startswith"])]
        assert len(places) == 1, f"{name} is in {places}"
    for analyzer in analyzers.values():
        assert set(analyzer.get("expected", [])) <= nodes


def _everything(graph: str) -> dict[str, Any]:
    """Arguments that ask for every node of a graph."""
    wanted = {"record": "x", "bag": "x", "markers": True, "dashboard": 1, "metrics": 1}
    taken = load_graph(graph).arguments
    return {key: value for key, value in wanted.items() if key in taken}
