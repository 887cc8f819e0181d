"""Replay through the cores and compare: repeatable, sensitive to a changed threshold, one line for bad input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import Lockstep
from humanoid_cli.main import main
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.topics import TOPICS
from humanoid_core.types import ImuSample, JointSample
from humanoid_replay.accept import copy
from humanoid_replay.compare import CompareError, _only, compare, parse_tolerances, unequal
from humanoid_replay.reader import BagReader
from humanoid_replay.through import ReplayError, make_stages, replay
from humanoid_replay.writer import BagWriter
from humanoid_ros.cdr import canonical
from humanoid_ros.convert import to_msg
from sim_nodes.core.faults import FaultBoard
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.sensors import Sensors, topics_of

ROBOT = load_robot("g1")
START = 1000 * NS
ALL = "ingest,twin,safety,gate"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.5 s of a robot that stands, as its sensors would have been recorded."""
    path = tmp_path_factory.mktemp("recorded") / "bag"
    plant = Plant(ROBOT, PlantParams(objects=""))
    sensors = Sensors(plant, FaultBoard(ROBOT, topics_of(ROBOT)))
    steps = round(5 * MS / NS / plant.params.dt)
    with BagWriter(path) as bag:
        for _ in range(300):
            plant.step(steps)
            stamp = START + plant.time_ns
            for topic, sample in sensors.tick(plant.time_ns, stamp):
                kind = TOPICS[topic].type
                bag.write(topic, kind, stamp + MS, canonical(to_msg(sample), kind))
    return path


@pytest.fixture(scope="module")
def golden(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "bag"
    assert main(["replay", str(recording), "--through", ALL, "--out", str(path)]) == 0
    return path


def test_the_same_recording_gives_the_same_bytes(recording: Path, golden: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "replay.json"
    again = tmp_path / "bag"
    assert main(["replay", str(recording), "--through", ALL, "--out", str(again), "--json", str(figures)]) == 0
    said = json.loads(figures.read_text())
    assert f"sha256 {said['hash']}" in capsys.readouterr().out
    assert (again / "bag.mcap").read_bytes() == (golden / "bag.mcap").read_bytes()
    assert (again / "metadata.yaml").read_bytes() == (golden / "metadata.yaml").read_bytes()
    assert said["figures"]["replay_speed"]["value"] > 0.0
    assert main(["compare", str(golden), str(again)]) == 0


def test_the_outputs_have_the_topics_and_rates_of_the_nodes(golden: Path) -> None:
    with BagReader(golden) as bag:
        counts = {t.name.lstrip("/"): t.count for t in bag.topics}
        assert {t.type for t in bag.topics} == {TOPICS[n].type for n in counts}
        levels = [int(r.message.level) for r in bag.messages(["/safety/status"])]
        states = {r.message.state for r in bag.messages(["/safety/gate"])}
    assert 290 <= counts["ingest/robot_state"] <= 300
    assert 140 <= counts["twin/state"] <= 151
    assert counts["safety/permit"] == counts["safety/status"] == pytest.approx(149, abs=2)
    assert counts["robot/joint_command"] == pytest.approx(147, abs=4)
    assert counts["twin/prediction"] >= 13
    assert levels[0] > 0, "a monitor that saw nothing yet gives no leave"
    assert levels[-1] < levels[0]
    assert "holding" in states


def test_a_changed_threshold_is_found_and_named(recording: Path, golden: Path, tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    changed, report, page = tmp_path / "bag", tmp_path / "compare.json", tmp_path / "page.html"
    assert main(["replay", str(recording), "--through", ALL, "--set", "safety_monitor.support_caution=0.2",
                 "--out", str(changed)]) == 0
    capsys.readouterr()
    assert main(["compare", str(golden), str(changed), "--json", str(report), "--plots", str(page)]) == 1
    assert "safety/status violations" in page.read_text()
    out = capsys.readouterr().out
    assert "/safety/status" in out
    assert "first difference: /" in out
    assert "levels actual" in out
    said = json.loads(report.read_text())
    rows = {t["topic"]: {d["field"] for d in t["differences"]} for t in said["topics"]}
    assert "violations" in rows["/safety/status"]
    assert "level" in rows["/safety/permit"]
    assert not rows["/twin/state"], "the twin does not depend on the monitor"
    assert said["new_events"]


def test_an_event_that_is_missed_is_told_with_its_own_time() -> None:
    """Of three times at which a level came, the one in the middle did not come this time."""
    assert _only({"level CAUTION": [0.8, 2.19, 4.0]}, {"level CAUTION": [0.81, 3.97]}) == ["2.190 s level CAUTION"]
    assert _only({"level CAUTION": [0.8]}, {"level CAUTION": [0.81, 3.97]}) == []
    assert _only({"a": [1.0, 2.0], "b": [0.5]}, {}) == ["0.500 s b", "1.000 s a (2 times)"]


def test_a_tolerance_holds_for_its_field_only(recording: Path, golden: Path, tmp_path: Path) -> None:
    changed = tmp_path / "bag"
    assert main(["replay", str(recording), "--through", ALL, "--set", "twin_sync.position_noise=0.0006",
                 "--out", str(changed)]) == 0
    fields = {d.field for t in compare(golden, changed, topics=["twin/state"]).topics for d in t.differences}
    assert {"position_stddev", "nis"} <= fields
    assert not {"revision", "model_hash", "header"} & fields
    wide = parse_tolerances(["twin/state.position_stddev=0.01"])
    left = {d.field for t in compare(golden, changed, wide, ["twin/state"]).topics for d in t.differences}
    assert left == fields - {"position_stddev"}
    assert compare(golden, changed, parse_tolerances(["1e6"]), ["twin/state"]).same
    for wrong in ("x", "-1", "nan", "=1", "twin/state="):
        with pytest.raises(CompareError):
            parse_tolerances([wrong])


def test_a_field_that_only_one_definition_of_a_message_has_is_told() -> None:
    """A recording made before a message gained a field, or lost one."""
    old = dataclasses.make_dataclass("Old", [("level", int), ("gone", float)])(1, 2.5)
    new = dataclasses.make_dataclass("New", [("level", int), ("tick", int)])(1, 7)
    said = {field: (a, b) for field, a, b, _ in unequal(old, new, "/x", parse_tolerances([]))}
    assert said == {"gone": ("2.5", "no such field"), "tick": ("no such field", "7")}


def test_one_message_less_is_missing_and_not_a_shift(golden: Path, tmp_path: Path) -> None:
    shorter = tmp_path / "bag"
    with BagReader(golden) as bag, BagWriter(shorter) as out:
        dropped = False
        for topic, kind, stamp, data in bag.raw():
            if topic == "/twin/state" and not dropped:
                dropped = True
                continue
            out.write(topic, kind, stamp, data)
    row = next(t for t in compare(golden, shorter).topics if not t.same)
    assert (row.topic, row.missed, row.new, row.differing) == ("/twin/state", 1, 0, 0)


def write_samples(path: Path, samples: list[tuple[str, object]]) -> None:
    with BagWriter(path) as bag:
        for k in range(40):
            for topic, sample in samples:
                kind = {JointSample: "sensor_msgs/msg/JointState", ImuSample: "sensor_msgs/msg/Imu"}[type(sample)]
                bag.write(topic, kind, START + k * 5 * MS, canonical(to_msg(sample), kind))


def test_another_robots_recording_runs_as_far_as_it_can(tmp_path: Path) -> None:
    path = tmp_path / "other"
    still = [0.0, 0.0]
    write_samples(path, [("joint_states", JointSample(START, ("wheel_left", "wheel_right"), still, still, still)),
                         ("scan/imu", ImuSample(START, [1.0, 0.0, 0.0, 0.0], [0.0] * 3, [0.0] * 3))])
    report = replay(path, make_stages(["ingest", "twin", "safety"], ROBOT), ROBOT)
    text = "\n".join(report.remarks)
    assert "another robot" in text
    assert "scan/imu" in text
    assert any(key.startswith("joint_states") for key in report.refusals)
    assert report.counts["safety/permit"] > 0
    assert "twin/state" not in report.counts or report.counts["twin/state"] > 0


def test_a_stage_without_its_inputs_is_named_and_the_others_run(recording: Path) -> None:
    with pytest.raises(ValueError, match=r"'gate' does not run: no ingest/robot_state, safety/permit"):
        replay(recording, make_stages(["gate"], ROBOT), ROBOT)
    report = replay(recording, make_stages(["ingest", "gate"], ROBOT), ROBOT)
    assert report.ran == ("ingest",)
    assert "stage 'gate' does not run: no safety/permit in the recording" in report.remarks


def test_bad_input_is_one_line_and_exit_code_2(recording: Path, golden: Path, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.mcap"
    whole = (recording / "bag.mcap").read_bytes()
    cut.write_bytes(whole[:100])
    target = tmp_path / "out"
    bag, out = str(recording), str(target)
    for arguments, word in (
            (["replay", str(cut), "--out", out], "no message of it can be read"),
            (["replay", str(tmp_path / "none"), "--out", out], "no such file"),
            (["replay", bag, "--through", "ingest,vlaa"], "no stage 'vlaa'"),
            (["replay", bag, "--set", "safety_monitor.dwell=99"], "at most"),
            (["replay", bag, "--set", "safety_monitor.dwel=1"], "'dwel'"),
            (["replay", bag, "--set", "command_gate.yield_error=0.1"], "not replayed"),
            (["replay", bag, "--out", str(golden)], "exists already"),
            (["compare", str(golden), str(cut)], "no message of it can be read"),
            (["compare", str(golden), str(golden), "--tolerance", "-1"], "--tolerance"),
            (["compare", str(golden), str(golden), "--topic", "nothing"], "nothing")):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert word in error
        assert error.count("\n") == 1, error
        assert not target.exists(), "nothing half written stays"
    with pytest.raises(ReplayError):
        make_stages([], ROBOT)


def test_bag_info_says_what_could_be_used(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    write_samples(other, [("scan/imu", ImuSample(START, [1.0, 0.0, 0.0, 0.0], [0.0] * 3, [0.0] * 3))])
    assert main(["bag", "info", str(recording)]) == 0
    assert "is joint_states" in capsys.readouterr().out
    assert main(["bag", "info", str(other)]) == 0
    assert "a sensor of a foreign robot (imu)" in capsys.readouterr().out
    assert main(["bag", "info", str(tmp_path / "none")]) == 2


def test_a_task_is_replayed_through_the_policy_as_well(tmp_path: Path) -> None:
    """What the policy saw is enough to have it decide again; the instruction comes from its recorded status."""
    bag = tmp_path / "task"
    with Lockstep(load_robot("g1"), seed=3, policy="classical") as house, BagOf(house, bag, tuple(TOPICS)):
        house.instruct("wave with your left hand")
        house.run(3.5)
    stages = make_stages(["ingest", "twin", "vla", "safety", "gate"], load_robot("g1"))
    first = replay(bag, stages, load_robot("g1"))
    assert first.counts["vla/joint_command"] > 150
    assert first.counts["vla/action_chunk"] >= 5
    again = replay(bag, make_stages(["ingest", "twin", "vla", "safety", "gate"], load_robot("g1")), load_robot("g1"))
    assert again.hash == first.hash


def test_an_accepted_change_replaces_the_expected_recording_and_says_why(
        recording: Path, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected, actual, page = tmp_path / "expected", tmp_path / "actual", tmp_path / "page.html"
    copy(golden, expected, {"/safety/status", "/safety/permit"})
    assert main(["replay", str(recording), "--out", str(actual), "--set", "safety_monitor.dwell=0.3"]) == 0
    topics = ["--topic", "safety/status", "--topic", "safety/permit"]
    assert main(["compare", str(expected), str(actual), *topics, "--plots", str(page)]) == 1
    assert "data:image/png" in page.read_text()
    assert main(["compare", str(expected), str(actual), *topics, "--accept", " "]) == 2
    assert main(["compare", str(expected), str(actual), *topics, "--accept", "levels come down sooner"]) == 0
    assert "levels come down sooner" in (tmp_path / "accepted.md").read_text()
    assert main(["compare", str(expected), str(actual), *topics]) == 0
    with BagReader(expected) as bag:
        assert {t.name for t in bag.topics} == {"/safety/status", "/safety/permit"}
