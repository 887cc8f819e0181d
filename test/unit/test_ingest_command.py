"""`humanoid-twin ingest <bag>`: what it finds in real recordings, and what it says of files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ingest_world import IngestWorld
from rclpy.serialization import serialize_message
from test_replay import DATA, needs_data, write

from humanoid_cli.ingest import ingest_bag
from humanoid_cli.main import main
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS
from humanoid_core.topics import TOPICS
from humanoid_replay.writer import BagWriter
from humanoid_ros.convert import to_msg
from twin_nodes.core.verdict import IngestConfig


def run(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Exit code and the JSON's content."""
    path = Path(str(arguments[-1]))
    code = main(["ingest", *map(str, arguments[:-1]), "--json", str(path)])
    return code, json.loads(path.read_text()) if path.exists() else {}


@needs_data
def test_the_husky_imu_is_found_at_30_hz_25_ms_old(tmp_path: Path, capsys: Any) -> None:
    code, result = run(DATA / "husky_real", tmp_path / "f.json")
    assert code == 0
    figures = result["figures"]
    assert figures["imu/data.rate_hz"]["value"] == pytest.approx(30.0, rel=0.01)
    assert figures["imu/data.age_median_ms"]["value"] == pytest.approx(25.0, abs=1.0)
    assert figures["imu/data.age_median_ms"] == {**figures["imu/data.age_median_ms"], "unit": "ms", "n": 11865}
    assert figures["imu/data.refused"]["value"] == 0
    assert "imu/data" in capsys.readouterr().out
    assert result["machine"]["cores"] >= 1


@needs_data
def test_the_turtlebots_joints_and_imu_are_found(tmp_path: Path, capsys: Any) -> None:
    code, result = run(DATA / "turtlebot3_sim", tmp_path / "f.json")
    assert code == 0
    figures = result["figures"]
    assert figures["joint_states.rate_hz"]["value"] == pytest.approx(30.0, rel=0.01)
    assert figures["imu.rate_hz"]["value"] == pytest.approx(25.0, rel=0.02)
    assert abs(figures["imu.age_median_ms"]["value"]) < 10.0
    assert "--future-ms" in capsys.readouterr().out, "the way out when stamps run ahead of the recorder's clock"
    code, result = run(DATA / "turtlebot3_sim", "--future-ms", "40", tmp_path / "g.json")
    assert result["figures"]["states"]["value"] == 2741


@needs_data
def test_a_truncated_recording_is_read_as_far_as_it_goes_and_the_rest_is_named(tmp_path: Path, capsys: Any) -> None:
    whole = (DATA / "husky_real" / "husky_real.mcap").read_bytes()
    (tmp_path / "cut.mcap").write_bytes(whole[: len(whole) // 2])
    assert main(["ingest", str(tmp_path / "cut.mcap")]) == 0
    said = capsys.readouterr().out
    assert "ends in the middle" in said
    assert f"of {len(whole) // 2}" in said


@pytest.mark.parametrize("name", ["foreign.txt", "missing", "no_sensors", "."])
def test_unusable_input_gets_one_line_and_exit_code_2(tmp_path: Path, capsys: Any, name: str) -> None:
    (tmp_path / "foreign.txt").write_text("no bag")
    row = TOPICS["robot/mode"]
    with BagWriter(tmp_path / "no_sensors") as bag:
        from humanoid_ros.qos import message_type
        bag.write(row.name, row.type, 1, serialize_message(message_type(row.type)()))
    assert main(["ingest", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("humanoid-twin: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_an_unknown_robot_is_refused(tmp_path: Path, capsys: Any) -> None:
    assert main(["ingest", str(write(tmp_path / "bag")), "--robot", "g2"]) == 2
    assert "g2" in capsys.readouterr().err


def record(world: IngestWorld, path: Path, ms: float) -> Path:
    """What the world's robot publishes, as a bag, through its changes."""
    with BagWriter(path) as bag:
        for _ in range(round(ms / 5.0)):
            world.now += 5 * MS
            for topic, sample in world.samples().items():
                change = world.changes.get(topic)
                sample = change(sample) if change is not None else sample
                if sample is not None:
                    data = serialize_message(to_msg(sample))
                    bag.write(topic, TOPICS[topic].type, world.now + 3 * MS, data)
    return path


def test_a_recording_of_our_own_robot_is_judged_by_its_file(tmp_path: Path) -> None:
    world = IngestWorld()
    ticks = iter(range(100_000))
    world.changes["imu/torso"] = lambda s: (
        type(s)(s.stamp_ns, np.full(4, np.nan), s.angular_velocity, s.linear_acceleration)
        if next(ticks) % 10 == 3 else s)
    report = ingest_bag(record(world, tmp_path / "bag", 1000), load_robot("g1"), IngestConfig())
    rows = {s.topic: s for s in report.sources}
    assert report.states == 200
    assert rows["joint_states"].age_median == pytest.approx(3.0)
    assert dict(rows["imu/torso"].refusals) == {"NON_FINITE": 20}
    assert rows["joint_states"].refusals == {}
    assert report.health is not None
    assert report.health.all_required_ok


def test_what_the_suite_itself_published_is_no_sensor(tmp_path: Path) -> None:
    world = IngestWorld()
    with BagWriter(tmp_path / "bag") as bag:
        for _ in range(20):
            world.now += 5 * MS
            for topic in ("joint_states", "imu/pelvis"):
                data = serialize_message(to_msg(world.samples()[topic]))
                bag.write(f"r1/{topic}", TOPICS[topic].type, world.now + MS, data)
            ghost = serialize_message(to_msg(world.joints()))
            bag.write("r1/twin/joint_states", TOPICS["twin/joint_states"].type, world.now + MS, ghost)
    for robot in (None, load_robot("g1")):
        report = ingest_bag(tmp_path / "bag", robot, IngestConfig())
        assert len(report.sources) == 2
        assert report.unused == ("/r1/twin/joint_states (JointState)",)
        assert report.states >= 19


def test_a_missing_required_source_is_named(tmp_path: Path) -> None:
    world = IngestWorld()
    world.changes["imu/pelvis"] = lambda s: None
    report = ingest_bag(record(world, tmp_path / "bag", 200), load_robot("g1"), IngestConfig())
    assert report.states == 0
    assert report.waiting == ("imu/pelvis",)


def test_the_same_recording_gives_the_same_report_twice(tmp_path: Path) -> None:
    bag = record(IngestWorld(), tmp_path / "bag", 300)
    first, second = (ingest_bag(bag, load_robot("g1"), IngestConfig()) for _ in range(2))
    assert repr(first.sources) == repr(second.sources)
    assert repr(first.health) == repr(second.health)
