"""The bench of recordings: each figure of the issue's table has a measurement, and what it says is what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from humanoid_bench import replay_graph
from humanoid_bench.bag import BagOf
from humanoid_bench.front import Bench, reached
from humanoid_bench.lockstep import Lockstep
from humanoid_bench.replay import BENCH
from humanoid_cli.figures import Figure
from humanoid_cli.main import main
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_replay.reader import BagReader
from humanoid_replay.writer import BagWriter
from humanoid_ros.cdr import canonical
from humanoid_ros.convert import from_bytes, to_msg
from humanoid_ros.qos import message_type
from sim_nodes.core.plant import PlantParams


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "bag"
    with Lockstep(load_robot("g1"), seed=2, plant=PlantParams(objects=""), policy="reach") as house:
        house.instruct("reach")
        with BagOf(house, path):
            house.run(3.0)
    return path


def test_a_lost_message_is_counted_and_named(recording: Path, tmp_path: Path) -> None:
    assert replay_graph.lost(recording)["recorder_lost"].value == 0
    with BagReader(recording) as reader, BagWriter(tmp_path / "holes") as out:
        counts = {"/joint_states": 0, "/safety/permit": 0}
        for topic, kind, stamp, data in reader.raw():
            if topic in counts:
                counts[topic] += 1
                if counts[topic] % 100 == 50:
                    continue
            out.write(topic, kind, stamp, data)
    figures = replay_graph.lost(tmp_path / "holes")
    assert figures["recorder_lost"].value == sum((n + 50) // 100 for n in counts.values()) == 9
    assert {"recorder_lost_joint_states", "recorder_lost_safety_permit"} & set(figures)


def test_the_speed_is_told_for_each_part(recording: Path) -> None:
    figures = replay_graph.speed(recording, 1.0)
    assert figures["replay_speed"].value > 0.0
    assert {f"replay_speed_{name}" for name in (*replay_graph.STAGES, "bag")} <= set(figures)
    whole = 1.0 / figures["replay_speed"].value
    assert sum(1.0 / figures[f"replay_speed_{name}"].value for name in (*replay_graph.STAGES, "bag")) == \
        pytest.approx(whole, rel=0.1)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """In lockstep nobody has to find anybody."""
    monkeypatch.setattr(replay_graph, "FINDING", 0.0)


def test_the_cores_stepped_as_the_nodes_stepped_say_what_they_said(recording: Path) -> None:
    figures = replay_graph.live_mismatch(recording, 0)
    assert figures["live_mismatch"].n > 250
    assert figures["live_apart_max"].value < 1e-9
    assert figures["live_level_mismatch"].value == 0.0
    assert figures["live_drops"].value == figures["live_unexplained"].value == 0


def test_the_core_is_given_the_commands_that_the_twin_says_it_knew(recording: Path, tmp_path: Path) -> None:
    """A twin that had not read the newest twenty, though they had been published, would have said something else."""
    with BagReader(recording) as reader, BagWriter(tmp_path / "busy") as out:
        for topic, kind, stamp, data in reader.raw():
            if topic == "/twin/state":
                said = from_bytes(data, message_type(kind))
                data = canonical(to_msg(replace(said, command_seq=max(said.command_seq - 20, 1))), kind)
            out.write(topic, kind, stamp, data)
    figures = replay_graph.live_mismatch(tmp_path / "busy", 0)
    assert figures["live_mismatch"].n > 250
    assert figures["live_apart_max"].value > 1e-3


def test_what_the_recording_lacks_is_counted_by_name_and_explains_what_follows(recording: Path, tmp_path: Path) -> None:
    with BagReader(recording) as reader, BagWriter(tmp_path / "holes") as out:
        begin_ns = reader.start_ns
        for topic, kind, stamp, data in reader.raw():
            hole = 2.0 * NS < stamp - begin_ns < 2.2 * NS
            if not (hole and topic in ("/ingest/robot_state", "/robot/joint_command")):
                out.write(topic, kind, stamp, data)
    figures = replay_graph.live_mismatch(tmp_path / "holes", 0)
    names = {name.removeprefix("live_drops_"): f.value for name, f in figures.items() if "drops_" in name}
    assert names["ingest_robot_state"] >= 38
    assert names["robot_joint_command"] >= 18
    assert names["ingest_robot_state_that_the_twin_used"] >= 18
    assert figures["live_level_mismatch"].value > 0.0, "the monitor hears nothing for 0.2 s"
    assert figures["live_unexplained"].value == 0


def test_aims_and_bands_are_judged_the_right_way_round() -> None:
    bench = Bench("x", {}, ("more",), {"band": (0.9, 0.99)})
    assert reached(bench, "more", Figure(21.0, "", 20.0)) is True
    assert reached(bench, "less", Figure(21.0, "", 20.0)) is False
    assert reached(bench, "band", Figure(0.95, "", 0.95)) is True
    assert reached(bench, "band", Figure(1.0, "", 0.95)) is False
    assert reached(bench, "shown", Figure(1.0)) is None
    assert reached(BENCH, "replay_speed", Figure(1.0, "", 20.0)) is False


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "replay", "--only", "hash"]) == 2
    assert "hashes" in capsys.readouterr().err
    assert main(["bench", "replay", "--only", "graph", "--bag", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
