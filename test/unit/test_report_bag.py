"""A recording as one page: it opens without network, shows what was there, and says what could not be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import Lockstep
from humanoid_cli.main import main
from humanoid_core.robot import load_robot
from humanoid_core.types import EStopState
from sim_nodes.core.plant import PlantParams


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "bag"
    with Lockstep(load_robot("g1"), seed=2, plant=PlantParams(objects=""), policy="reach") as house:
        house.instruct("reach")
        assert house.run(3.0, lambda: house.newest["safety/gate"].state == "passing")
        with BagOf(house, path):
            house.run(2.0)
            house.say("safety/estop", EStopState(house.now_ns, "button", True, 1))
            house.run(1.0)
    return path


def test_the_page_shows_levels_joints_and_the_twin(recording: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(recording), "--out", str(page)]) == 0
    text = page.read_text()
    assert "src='http" not in text
    assert "<link" not in text
    for words in ("EMERGENCY", "ESTOP", "Joints that moved", "The twin", "Age at arrival", "robot/joint_command"):
        assert words in text
    assert text.count("data:image/png") >= 3


def test_half_a_recording_is_shown_as_far_as_it_goes(recording: Path, tmp_path: Path) -> None:
    whole = next(recording.glob("*.mcap")).read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole[: int(0.8 * len(whole))])
    page = tmp_path / "page.html"
    assert main(["report", str(cut), "--out", str(page)]) == 0
    assert "ends in the middle" in page.read_text()


def test_another_robots_joints_are_named_and_the_rest_is_shown(
        recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    robot = Path("test/replay/golden/second_robot/robot/arm.yaml")
    page = tmp_path / "page.html"
    assert main(["report", str(recording), "--robot", str(robot), "--out", str(page)]) == 0
    assert "joints that 'arm' does not have" in capsys.readouterr().out
    assert "EMERGENCY" in page.read_text()


def test_a_foreign_bag_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none"), "--out", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "page.html").exists()
