"""docs/adding-a-robot.md, followed word for word."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from humanoid_cli.main import main
from humanoid_core.robot import RobotError, load_robot
from humanoid_core.types import JointCommand, Mode
from sim_nodes.core.plant import Plant, PlantParams

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "adding-a-robot.md").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind, name in (("xml", "arm.xml"), ("yaml", "arm.yaml")):
        (tmp_path / name).write_text(re.search(rf"```{kind}\n(.*?)```", PAGE, re.S)[1])  # type: ignore[index]
    return tmp_path


def test_the_robot_of_the_page_moves_where_it_is_told(folder: Path) -> None:
    robot = load_robot(folder / "arm.yaml")
    plant = Plant(robot, PlantParams(objects=()))
    assert plant.joints()[0] == pytest.approx(robot.stand, abs=0.05)
    plant.set_mode(Mode.RUN, "")
    target = np.array([-0.2, 0.4])
    for k in range(300):
        assert plant.command(JointCommand(plant.time_ns, k + 1, 1, "test", robot.joint_names, target)) == ""
        plant.step(4)
    assert plant.joints()[0] == pytest.approx(target, abs=0.05)


def test_the_draft_of_the_page_is_made_and_loads(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    command = re.search(r"^humanoid-twin (robot import .*)$", PAGE, re.M)[1]  # type: ignore[index]
    assert main(shlex.split(command)) == 0
    drafted, finished = load_robot(folder / "draft.yaml"), load_robot(folder / "arm.yaml")
    assert drafted.joint_names == finished.joint_names
    assert drafted.groups["upper_body"] == finished.groups["upper_body"]
    assert "no speed limit in the model for lift, bend" in capsys.readouterr().out


def test_a_joint_that_the_model_lacks_is_named(folder: Path) -> None:
    file = folder / "arm.yaml"
    file.write_text(file.read_text().replace("bend", "bnd"))
    robot = load_robot(file)
    with pytest.raises(RobotError, match="bnd"):
        Plant(robot, PlantParams(objects=()))
