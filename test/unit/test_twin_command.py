"""`humanoid-twin twin <bag>`: a table with the same hash for the same bag, and one line for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import Lockstep
from humanoid_cli.main import main
from humanoid_core.robot import load_robot
from humanoid_core.topics import TOPICS
from humanoid_core.types import JointSample
from humanoid_replay.reader import BagReader
from humanoid_replay.writer import BagWriter
from humanoid_ros.cdr import canonical
from humanoid_ros.convert import to_msg
from sim_nodes.core.plant import PlantParams

ROBOT = load_robot("g1")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s of a robot that reaches."""
    path = tmp_path_factory.mktemp("recorded") / "bag"
    with Lockstep(ROBOT, plant=PlantParams(objects=""), policy="reach") as house, BagOf(house, path):
        house.instruct("reach")
        house.run(2.0)
    return path


def test_a_recording_gives_a_table_and_the_same_hash_twice(recording: Path, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for name in ("a", "b"):
        figures = tmp_path / f"{name}.json"
        assert main(["twin", str(recording), "--json", str(figures), "--out", str(tmp_path / name / "bag")]) == 0
        printed = capsys.readouterr().out
        said.append(json.loads(figures.read_text()))
        assert f"sha256 {said[-1]['hash']}" in printed
        assert "x real time" in printed
    assert said[0]["hash"] == said[1]["hash"]
    files = [[f.read_bytes() for f in sorted((tmp_path / name / "bag").glob("*.mcap"))] for name in ("a", "b")]
    assert files[0] == files[1] != []
    values = {name: f["value"] for name, f in said[0]["figures"].items()}
    assert values["states"] == pytest.approx(200, abs=15)
    assert 0.0 <= values["age_ms_p50"] < 40.0
    assert 0.0 < values["nis_mean"] < 3.0
    assert values["quality_mean"] > 0.5
    assert values["delay_ms.joint_states"] >= 0.0
    assert abs(values.get("drift_ms_per_s.joint_states", 0.0)) < 1.0
    assert values["error_prediction_100ms_mrad"] < values["error_hold_100ms_mrad"]
    with BagReader(tmp_path / "a" / "bag") as bag:
        assert {"twin/state", "twin/prediction"} <= {t.name.lstrip("/") for t in bag.topics}


def test_friction_and_load_are_fitted_with_intervals_or_a_reason(recording: Path, tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "fit.json"
    assert main(["twin", str(recording), "--fit", "--json", str(figures)]) == 0
    fit = json.loads(figures.read_text())["fit"]
    assert set(fit) >= {"left_elbow_joint", "right_elbow_joint"}
    assert all(fit.values())  # two seconds tell little: what cannot be told is said with its reason
    assert "fit left_elbow_joint: " in capsys.readouterr().out


def test_another_setting_gives_another_hash(recording: Path, tmp_path: Path) -> None:
    said = []
    for k, extra in enumerate(([], ["--set", "twin_sync.position_noise=0.01"])):
        figures = tmp_path / f"{k}.json"
        assert main(["twin", str(recording), "--json", str(figures), *extra]) == 0
        said.append(json.loads(figures.read_text())["hash"])
    assert said[0] != said[1]


def foreign(path: Path) -> Path:
    kind = TOPICS["joint_states"].type
    with BagWriter(path) as bag:
        for k in range(20):
            stamp = 1_000_000_000 + k * 10_000_000
            bag.write("joint_states", kind, stamp, canonical(to_msg(
                JointSample(stamp, ("wheel_left", "wheel_right"), ROBOT.stand[:2], ROBOT.stand[:2])), kind))
    return path


@pytest.mark.parametrize(("arguments", "word"), [
    (["no_such_bag"], "no_such_bag"), (["BAG", "--robot", "h7"], "h7"), (["BAG", "--set", "twin_sync.nose=1"], "nose"),
    (["FOREIGN"], "--robot"), (["BAG", "--out", "BAG"], "exists")])
def test_bad_input_is_one_line_and_exit_code_2(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               arguments: list[str], word: str) -> None:
    places = {"BAG": str(recording), "FOREIGN": str(foreign(tmp_path / "foreign"))}
    assert main(["twin", *(places.get(a, a) for a in arguments)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    assert word in error
