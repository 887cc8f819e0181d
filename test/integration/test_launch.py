"""The launch files run by the real `ros2 launch`, where launch_ros is installed."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Process, wait_for

from humanoid_core.graph import load_graph
from humanoid_core.topics import TOPICS
from humanoid_ros.watcher import Watcher

MISSING = [name for name in ("launch_ros", "ros2launch") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed (no wheels): {', '.join(MISSING)}")

PREFIX = Path(sys.prefix)
NODES = [n.name for n in load_graph("sim").nodes]
CHAIN = ["command_gate", "safety_monitor", "sensor_ingest", "twin_sync", "vla_policy"]
#: Topics whose rates are judged: what is periodic and does not wait for a task.
STEADY = ("joint_states", "ingest/robot_state", "twin/state", "safety/permit", "safety/status", "robot/joint_command")


@pytest.fixture
def launch(run_process: Callable[..., Process]) -> Callable[..., Process]:
    environment = {"AMENT_PREFIX_PATH": os.pathsep.join([str(PREFIX), os.environ.get("AMENT_PREFIX_PATH", "")]),
                   "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", "from ros2cli.cli import main; raise SystemExit(main())", "launch",
               "humanoid_twin"]
    return lambda *arguments: run_process([*command, *arguments], environment)


def active(process: Process) -> list[str]:
    """Nodes in the order in which they became active."""
    words = (line.rsplit(" ", 3) for line in process.output.splitlines() if line.endswith(" is active"))
    return [word[-3] for word in words]


def test_bringup_runs_the_whole_graph_and_ends_without_a_trace(launch: Callable[..., Process], watch: Watcher) -> None:
    began = time.monotonic()
    process = launch("bringup.launch.py", "backend:=mujoco")
    wait_for(lambda: len(active(process)) == len(NODES), 20.0, "every node to be active")
    print(f"active after {time.monotonic() - began:.1f} s")
    assert [name for name in active(process) if name in CHAIN] == CHAIN
    wait_for(lambda: getattr(watch.latest("safety/permit"), "accept_new", False), 20.0, "leave to move")
    start = time.time_ns()
    time.sleep(5.0)
    rates: dict[str, Any] = {rate.topic: rate for rate in watch.rates(start, time.time_ns())}
    for topic in STEADY:
        assert rates[topic].hz == pytest.approx(TOPICS[topic].rate_hz, rel=0.05), topic
    children = psutil.Process(process.pid).children(recursive=True)
    process.signal(signal.SIGINT)  # to the whole process group, as a terminal does
    assert process.wait(5.0) == 0
    assert not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]
    assert "process has died" not in process.output
    rested = [name for line in process.output.splitlines() if line.endswith("came to rest")
              or "came to rest\x1b" in line for name in CHAIN if f"[{name}]" in line]
    assert rested == CHAIN[::-1]


@pytest.mark.parametrize("file", ["sim.launch.py", "robot.launch.py", "replay.launch.py"])
def test_every_other_launch_file_brings_its_nodes_up(launch: Callable[..., Process], file: str) -> None:
    """Without a robot or recording: what is needed for that is somebody else's."""
    graph = {"sim.launch.py": "sim", "robot.launch.py": "real", "replay.launch.py": "bag"}[file]
    nodes = {n.name for n in load_graph(graph, {"driver": "none"} if graph == "real" else {}).nodes}
    process = launch(file, *(["driver:=none"] if graph == "real" else []))
    wait_for(lambda: set(active(process)) == nodes, 30.0, f"{nodes} to be active")
    process.signal(signal.SIGINT)
    assert process.wait(5.0) == 0


def test_who_refuses_is_named_and_everything_ends(launch: Callable[..., Process]) -> None:
    process = launch("bringup.launch.py", "set:=safety_monitor.environment=nowhere")
    assert process.wait(30.0) == 0
    assert "safety_monitor refused to be configured" in process.output
    assert "nowhere" in process.output


@pytest.mark.parametrize(("arguments", "words"), [
    (("rviz.launch.py",), "not installed: robot_state_publisher"),
    (("gazebo.launch.py", "gui:=maybe"), "gui:=maybe: must be true or false"),
    (("bringup.launch.py", "backend:=moon"), "backends: mujoco"),
])
def test_what_is_missing_or_wrong_is_said(launch: Callable[..., Process], arguments: tuple[str, ...],
                                          words: str) -> None:
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    if "robot_state_publisher" in words and any((p / "share/robot_state_publisher").is_dir() for p in prefixes):
        pytest.skip("robot_state_publisher is installed")
    process = launch(*arguments)
    assert process.wait(30.0) != 0
    assert words in process.output
