"""What the live page says, draws and lets a person do."""

from __future__ import annotations

import dataclasses
import socket

import numpy as np
import pytest

from humanoid_cli.main import main
from humanoid_core.kinematics import Kinematics
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import (
    ESTOP_SIGN_OFF,
    GateStatus,
    Level,
    SafetyEvent,
    SafetyStatus,
    TwinState,
    TwinStatus,
    Violation,
    VlaStatus,
)
from view_nodes.core.board import Board
from view_nodes.core.links import Links
from view_nodes.core.plots import PLOTS, Curves, Minute
from view_nodes.core.stop import FAREWELLS, UNTIL_RESET, UNTIL_SIGN_OFF, StopButton
from view_nodes.page import PageError, listen

ROBOT = load_robot("g1")
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])


def status(level: Level, *rows: Violation, latched: bool = False) -> SafetyStatus:
    return SafetyStatus(0, level, latched, "", rows, 1, 0, 0.0)


def twin(**changes: object) -> TwinState:
    zero, n = np.zeros(3), 2
    made = TwinState(0, 1, "", np.array([0.1, 0.2]), np.zeros(n), np.zeros(n), np.zeros(n), zero, UPRIGHT, zero, zero,
                     zero, zero, 0.05, np.array([1.0, 3.0]), 0.9, 0.004, TwinStatus.OK)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_the_gravest_reason_stands_first_with_what_it_means() -> None:
    board = Board()
    board.hear("safety/status", status(Level.DANGER, Violation("BATTERY", "battery", 42.0, 43.0, 0.2, 0),
                                       Violation("TILT", "base", 0.7, 0.6, 0.8, 0), latched=True), NS)
    assert board.headline(NS).word == "DANGER, stop latched"
    lines = board.reasons(NS)
    assert lines[0].startswith("TILT base: 0.7, limit 0.6.")
    assert "battery" in lines[1]


def test_a_silent_monitor_is_said_and_its_last_level_is_not() -> None:
    board = Board()
    board.hear("safety/status", status(Level.SAFE), NS)
    assert board.headline(NS + 400 * MS).live
    late = NS + 600 * MS
    assert board.headline(late).word == "NO MONITOR"
    assert "SAFE" not in board.as_html(late)
    board.hear("safety/status", status(Level.CAUTION), late)
    assert board.headline(late).word == "CAUTION", "a graph that is back is shown again"


def test_gate_twin_and_policy_have_a_line_each() -> None:
    board = Board()
    board.hear("safety/gate", GateStatus(0, "passing", "", 12, 3, (), 1, 0, 0.0, 0.01), NS)
    board.hear("twin/state", twin(anomalies=("SENSOR left_elbow_joint",)), NS)
    board.hear("vla/status", VlaStatus(0, "acting", "", "reaching", "wave", "classical", 1, 0.4, 1.0, 50.0, 3), NS)
    lines = board.nodes(NS)
    assert lines[0] == "gate: passing, 12 passed, 3 held"
    assert "5.0 cm inside, SENSOR left_elbow_joint" in lines[1]
    assert lines[2:] == ["policy: acting reaching, 40 %", "asked: “wave”"]


def test_what_came_over_the_network_is_text_and_no_markup() -> None:
    board = Board()
    board.hear("vla/status", VlaStatus(0, "idle", "", "<img src=x onerror=alert(1)>", "", "", 1, 0.0, 0.0, 0.0, 0), NS)
    board.hear("safety/events", SafetyEvent(NS, "command_gate", 1, "REFUSAL", Level.SAFE, "STALE", "<b>", "t"), NS)
    assert "<img" not in board.as_html(NS)
    assert "<b>" not in board.events_html()


def test_events_stand_newest_first_and_once() -> None:
    board = Board()
    events = [SafetyEvent(k * NS, "safety_monitor", k, "LEVEL", Level.SAFE, "", "", f"number {k}") for k in (2, 1, 2)]
    for event in events:
        board.hear("safety/events", event, NS)
    assert [line.split("number ")[1] for line in board.events()] == ["2", "1"]
    assert board.events()[0].startswith("00:00:02.000 LEVEL SAFE")


def test_a_stop_is_silent_until_pressed() -> None:
    button = StopButton("page")
    assert button.look(1, False) == (None, "")
    button.press()
    (first, _), (second, asker) = button.look(2, False), button.look(3, True)
    assert first is not None
    assert second is not None
    assert (first.pressed, second.pressed, second.seq - first.seq, asker) == (True, True, 1, "")


def test_a_released_stop_asks_for_the_reset_once_and_leaves_when_nothing_is_latched() -> None:
    button = StopButton("page")
    button.press()
    button.look(1, False)
    button.release("Ada")
    looks = [button.look(k, True) for k in range(20)]
    assert [k for k, (_, asker) in enumerate(looks) if asker == "Ada"] == [UNTIL_RESET - 1]
    assert not any(beat is None or beat.pressed or beat.seq == ESTOP_SIGN_OFF for beat, _ in looks)
    assert button.look(30, None)[0] is not None, "nobody signs off to a monitor that is silent"
    farewells = [button.look(40 + k, False)[0] for k in range(FAREWELLS + 1)]
    assert [b.seq for b in farewells if b is not None] == [ESTOP_SIGN_OFF] * FAREWELLS
    assert farewells[-1] is None
    assert not button.speaks


def test_a_press_while_it_leaves_is_a_press() -> None:
    button = StopButton("page")
    button.release("Ada")
    for k in range(UNTIL_SIGN_OFF + 1):
        button.look(k, False)
    button.press()
    assert [button.look(k, False)[0].pressed for k in range(5)] == [True] * 5  # type: ignore[union-attr]


def test_tracking_and_innovations_are_of_the_known_joints() -> None:
    minute = Minute()
    minute.sample(twin(desired_position=np.array([np.nan, 0.205]), nis=np.array([np.nan, 4.0])), NS)
    minute.sample(None, 2 * NS)
    t, worst, _ = minute.curves["tracking"].arrays(2 * NS)
    assert t.tolist() == [-1.0, 0.0]
    assert worst[0] == pytest.approx(5.0)
    assert np.isnan(worst[1]), "a silent twin is a gap, not a zero"
    assert minute.curves["nis"].arrays(2 * NS)[1][0] == 4.0


def test_latency_is_that_of_the_commands_since_the_last_point() -> None:
    minute = Minute()
    for k in range(100):
        minute.latency.state(k * 10 * MS, k * 10 * MS - 2 * MS)
        minute.command(k * 10 * MS + 5 * MS, k * 10 * MS + 4 * MS)
    minute.sample(twin(), NS)
    minute.sample(twin(), 2 * NS)
    _, p50, p99, of_twin = minute.curves["latency"].arrays(2 * NS)
    assert (p50[0], p99[0], of_twin[0]) == pytest.approx((7.0, 7.0, 4.0))
    assert np.isnan(p50[1])


def test_a_curve_shows_the_last_minute_only() -> None:
    curves = Curves(PLOTS[1])
    for k in range(100):
        curves.add(k * NS, float(k), 0.0)
    t, worst, _ = curves.arrays(99 * NS)
    assert (t[0], worst[0], len(t)) == (-60.0, 39.0, 61)
    with pytest.raises(ValueError, match="1 values for 2 curves"):
        curves.add(0, 1.0)


def test_links_of_the_tree_lead_to_where_kinematics_say_they_are() -> None:
    links, kinematics = Links(ROBOT), Kinematics(ROBOT)
    q = ROBOT.stand + 0.1 * np.sin(np.arange(ROBOT.n))
    base, quat = np.array([0.3, -0.2, 0.7]), np.array([0.9, 0.1, -0.3, 0.3])
    quat = quat / np.linalg.norm(quat)
    kinematics.update(q, base, quat)
    poses = links.poses(q, base, quat)
    for link in ("pelvis", "left_ankle_roll_link", "right_wrist_yaw_link"):
        position, turn = np.zeros(3), np.eye(3)
        for part in links.paths[link].split("/"):
            position = position + turn @ poses[part].position
            turn = turn @ _matrix(poses[part].quaternion)
        assert position == pytest.approx(kinematics.position(link), abs=1e-9)
        assert turn == pytest.approx(kinematics.rotation(link), abs=1e-9)


def _matrix(q: np.ndarray) -> np.ndarray:
    w, x, y, z = q
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])


def test_every_link_with_a_shape_is_drawn_within_the_robot() -> None:
    meshes = Links(ROBOT).meshes()
    assert {"pelvis", "torso_link"} <= {m.link for m in meshes}
    for mesh in meshes:
        assert np.abs(mesh.vertices).max() < 0.6
        assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)


def test_a_taken_port_is_refused_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PageError, match="another port"):
        listen("127.0.0.1", taken.getsockname()[1], "second")


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", "--host", "everywhere"]) == 2
    assert "'everywhere' is no address" in capsys.readouterr().err
