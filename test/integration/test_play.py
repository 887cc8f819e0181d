"""A recording is played to a running graph: it runs as if the robot were there, and begins anew when the bag does."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot import load_robot
from humanoid_core.types import TwinStatus
from humanoid_ros.watcher import Watcher, own_context
from sim_nodes.core.plant import PlantParams

HUMANOID_TWIN = str(Path(sys.executable).parent / "humanoid-twin")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("play") / "bag"
    with Lockstep(load_robot("g1"), seed=3, plant=PlantParams(objects="")) as house, BagOf(house, path):
        house.run(4.0)
    return path


@pytest.fixture
def watcher(domain: int) -> Any:
    import rclpy

    context = own_context(domain)
    watcher = Watcher(context, keep={"safety/status": 4000, "twin/state": 4000})
    watcher.start()
    yield watcher
    watcher.stop()
    rclpy.shutdown(context=context)


def test_the_graph_runs_from_a_recording_and_survives_its_loop(
        recording: Path, domain: int, watcher: Watcher, run_process: Callable[..., Any]) -> None:
    run_process([HUMANOID_TWIN, "up", "bag", "--bag", str(recording), "--set", "bag_player.loop=true"])
    wait_for(lambda: watcher.count("twin/state") > 1000, 40.0)
    last = watcher.latest("twin/state")
    assert last.status == TwinStatus.OK
    assert watcher.count("ingest/robot_state") > 1500
    assert watcher.count("robot/joint_command") == 0, "the robot's commands of then are not given again"
    stamps = [m.stamp_ns for _, m in watcher.kept("twin/state")]
    assert any(b < a for a, b in itertools.pairwise(stamps)), "the loop takes time back to the start"


def test_play_waits_for_listeners_and_says_who_is_missing(recording: Path, domain: int, tmp_path: Path) -> None:
    env = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    done = subprocess.run([HUMANOID_TWIN, "play", str(recording), "--wait", "0.5", "--rate", "20"], env=env,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "nobody listens to" in done.stdout
    assert "imu/pelvis" in done.stdout
    bad = subprocess.run([HUMANOID_TWIN, "play", str(tmp_path / "none")], env=env, capture_output=True, text=True,
                         timeout=60)
    assert bad.returncode == 2
    assert bad.stderr.count("\n") == 1
