"""`humanoid-twin up` with the real graph."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import wait_for

from humanoid_core.graph import load_graph

HUMANOID_TWIN = str(Path(sys.executable).parent / "humanoid-twin")
NODES = {n.executable for n in load_graph("sim").nodes}


def nodes_of(pid: int) -> dict[str, psutil.Process]:
    """Executable -> process, of all nodes under a process."""
    found = {}
    for child in psutil.Process(pid).children(recursive=True):
        try:
            names = {Path(word).name for word in child.cmdline()[:3]} & NODES
        except psutil.Error:
            continue
        found.update({name: child for name in names})
    return found


@pytest.fixture
def graph(run_process: Callable[..., Any]) -> Any:
    """A running sim graph, all six processes started."""
    process = run_process([HUMANOID_TWIN, "up", "sim", "--seed", "3"])
    wait_for(lambda: set(nodes_of(process.pid)) == NODES, 30.0, "six processes")
    return process


def test_ctrl_c_ends_everything_and_exits_0(graph: Any, watch: Any) -> None:
    wait_for(lambda: watch.count("robot/joint_command") > 10, 60.0, "commands to the robot")
    children = list(nodes_of(graph.pid).values())
    os.kill(graph.pid, signal.SIGINT)
    assert graph.wait(20.0) == 0
    assert "did not end when asked" not in graph.output
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_a_killed_gate_ends_the_graph_with_its_name(graph: Any, watch: Any) -> None:
    wait_for(lambda: watch.count("robot/joint_command") > 10, 60.0, "commands to the robot")
    os.kill(nodes_of(graph.pid)["command_gate"].pid, signal.SIGKILL)
    assert graph.wait(20.0) == 1
    assert "command_gate died (SIGKILL)" in graph.output


def test_a_killed_twin_starts_again_and_publishes(graph: Any, watch: Any) -> None:
    wait_for(lambda: watch.count("twin/state") > 10, 60.0, "twin/state")
    first = nodes_of(graph.pid)["twin_sync"].pid
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: nodes_of(graph.pid).get("twin_sync") and nodes_of(graph.pid)["twin_sync"].pid != first, 20.0,
             "a new twin_sync")
    before = watch.count("twin/state")
    wait_for(lambda: watch.count("twin/state") > before + 100, 30.0, "twin/state from the new process")
    assert "twin_sync died (SIGKILL)" in graph.output


def test_a_refused_parameter_ends_the_graph_and_shows_why(run_process: Callable[..., Any]) -> None:
    process = run_process([HUMANOID_TWIN, "up", "sim", "--set", "command_gate.no_such_parameter=1"])
    assert process.wait(40.0) == 1
    assert "command_gate ended with exit code 2" in process.output
    assert "no_such_parameter" in process.output
