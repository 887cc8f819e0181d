"""The environment is an ament prefix: what `ros2 run` and `ros2 launch` look for is where they look."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREFIX = Path(sys.prefix)
NODES = ("sim_robot", "sensor_ingest", "twin_sync", "vla_policy", "safety_monitor", "command_gate",
         "scene_markers", "dashboard", "metrics")


def test_the_ament_index_finds_the_package_here() -> None:
    assert (PREFIX / "share" / "ament_index" / "resource_index" / "packages" / "humanoid_twin").exists()


@pytest.mark.parametrize("name", NODES)
def test_each_executable_names_the_interpreter_that_has_the_packages(name: str) -> None:
    path = PREFIX / "lib" / "humanoid_twin" / name
    assert os.access(path, os.X_OK)
    interpreter = Path(path.read_text().splitlines()[0].removeprefix("#!"))
    assert interpreter.parent.parent == PREFIX


def test_launch_files_and_configuration_are_shared() -> None:
    share = PREFIX / "share" / "humanoid_twin"
    assert (share / "config" / "robots" / "g1.yaml").is_file()
    assert list((share / "launch").glob("*.launch.py"))


def test_packages_are_imported_from_the_prefix_and_not_from_where_one_stands(tmp_path: Path) -> None:
    code = "import humanoid_core, humanoid_replay, safety_nodes.core, humanoid_twin.msg; print(humanoid_core.__file__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.strip().startswith(str(PREFIX))


def test_the_policy_has_no_way_to_the_simulators_truth() -> None:
    root = Path(__file__).resolve().parents[2] / "vla_nodes"
    told = [p.name for p in root.rglob("*.py") if '"sim/' in p.read_text() or "sim_nodes" in p.read_text()]
    assert told == []
