"""The golden scenarios go on as they went; a changed threshold makes the right one fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from humanoid_bench.scenarios import SCENARIOS
from humanoid_cli.golden import check
from humanoid_cli.main import main
from humanoid_core.robot import load_robot
from humanoid_replay.reader import BagReader
from humanoid_replay.through import make_stages, replay

GOLDEN = Path(__file__).parent / "golden"


def _told(result: object) -> str:
    return "\n".join([str(getattr(result, "first", "")), *getattr(result, "missed_events", []),
                      *getattr(result, "new_events", [])])


@pytest.mark.parametrize("name", SCENARIOS)
def test_goes_on_as_it_went(name: str, tmp_path: Path) -> None:
    result = check(SCENARIOS[name], GOLDEN / name, tmp_path / "actual")
    assert result.same, f"{_told(result)}\nif this is right: humanoid-twin golden --only {name} --accept WHY"


#: A threshold that somebody loosens, and the scenario that exists to notice it.
LOOSENED = {
    "sensor_dropout": ("safety_monitor", "state_timeout", 0.09),
    "push": ("safety_monitor", "residual_warning", 1000.0),
    "second_robot": ("command_gate", "state_timeout", 0.09),
    "overheating": ("safety_monitor", "heat_time_warning", 5.0),
}


@pytest.mark.parametrize("name", LOOSENED)
def test_a_changed_threshold_makes_the_right_one_fail(name: str, tmp_path: Path) -> None:
    setting = LOOSENED[name]
    assert not check(SCENARIOS[name], GOLDEN / name, tmp_path / "actual", (setting,)).same
    calm = "normal_reach"
    assert check(SCENARIOS[calm], GOLDEN / calm, tmp_path / "calm", (setting,)).same


def test_the_second_robot_is_another_one_and_moves(tmp_path: Path) -> None:
    """Its recording runs with its own robot file, and is refused by name with the first one's."""
    place = GOLDEN / "second_robot"
    robot, first = SCENARIOS["second_robot"].load_robot(place), load_robot("g1")
    assert robot.hash != first.hash
    with BagReader(place / "expected") as bag:
        commands = np.array([r.message.position for r in bag.messages(["/robot/joint_command"])])
        causes = {r.message.cause.partition(":")[0] for r in bag.messages(["/safety/status"])}
    assert commands.shape[1] == robot.n
    assert np.ptp(commands, axis=0).max() > 0.05
    assert "STALE" in causes
    said = replay(place / "inputs", make_stages(["ingest", "twin", "safety"], first), first)
    assert "another robot" in "\n".join(said.remarks)
    assert "ingest/robot_state" not in said.counts


def test_all_of_it_is_small() -> None:
    size = sum(p.stat().st_size for p in GOLDEN.rglob("*") if p.is_file())
    assert 0 < size < 20 << 20


def test_record_without_a_reason_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["golden", "--record"]) == 2
    assert "--accept WHY" in capsys.readouterr().err
