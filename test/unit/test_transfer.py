"""Recording against simulation: a delay, an offset and a foreign name are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import Lockstep
from humanoid_cli.main import main
from humanoid_core.robot import load_robot
from humanoid_replay.transfer import gap_of, transfer
from sim_nodes.core.plant import PlantParams

ROBOT = load_robot("g1")


def test_delay_offset_and_shape_are_told_apart() -> None:
    time = np.arange(0.0, 6.0, 0.005)
    simulated = np.sin(1.3 * time) + 0.3 * np.sin(4.1 * time)
    late = np.interp(time - 0.043, time, simulated)
    gap = gap_of("joint", time, late, simulated)
    assert gap.delay == pytest.approx(0.043, abs=0.002)
    assert gap.rmse_aligned < 0.1 * gap.rmse
    assert gap.correlation > 0.999
    off = gap_of("joint", time, simulated + 0.05, simulated)
    assert off.rmse == pytest.approx(0.05, abs=1e-9)
    assert off.correlation > 0.99
    still = gap_of("joint", time, np.zeros_like(time), simulated)
    assert np.isnan(still.delay)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transfer") / "bag"
    with Lockstep(ROBOT, seed=5, plant=PlantParams(objects=""), policy="reach") as house:
        house.instruct("reach")
        assert house.run(3.0, lambda: house.newest["safety/gate"].state == "passing")
        with BagOf(house, path, ("joint_states", "robot/joint_command")):
            house.run(5.0)
    return path


def test_the_simulator_agrees_with_its_own_recording(recording: Path) -> None:
    gap = transfer(recording, ROBOT)
    moved = [j for j in gap.joints if np.isfinite(j.delay)]
    assert len(moved) >= 10
    assert max(j.rmse for j in gap.joints) < 0.02
    assert float(np.median([abs(j.delay) for j in moved])) <= 0.011
    assert not gap.fell


def test_page_figures_and_refusals(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "gap.html"
    assert main(["transfer", str(recording), "--out", str(page), "--json", str(tmp_path / "gap.json")]) == 0
    text = page.read_text()
    assert "src='http" not in text
    assert "right hand: " in text
    assert "did not fall" in text
    mapping = tmp_path / "map.yaml"
    mapping.write_text(yaml.safe_dump({"topics": {"/joints": "joint_states"}}))
    capsys.readouterr()
    assert main(["transfer", str(recording), "--map", str(mapping)]) == 2
    assert "topics./joints: not in the recording" in capsys.readouterr().err
