"""`humanoid-twin demo` from outside: a success with everything it writes, a refusal, a kill in mid-reach."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from test_up_graph import HUMANOID_TWIN, nodes_of

TOUCH = "touch the blue ball with your left hand"


def demo(run_process: Callable[..., Any], out: Path, instruction: str, *more: str) -> Any:
    command = [HUMANOID_TWIN, "demo", "--instruction", instruction, "--seed", "7", "--out", str(out),
               "--json", str(out.with_suffix(".json")), *more]
    return run_process(command)


def figures(out: Path) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return whole


@pytest.mark.slow
def test_the_robot_does_it_and_the_folder_shows_it(run_process: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "demo"
    process = demo(run_process, out, TOUCH)
    assert process.wait(150.0) == 0, process.output[-3000:]
    assert "SUCCESS" in process.output
    whole = figures(out)
    assert whole["success"] is True
    assert whole["figures"]["robot_fell"]["value"] is False
    assert whole["figures"]["task_distance"]["value"] < 0.03
    assert (out / "strip.png").stat().st_size > 10_000
    assert TOUCH in (out / "report.html").read_text()
    assert _topics_in(out / "bag") >= {"joint_states", "robot/joint_command", "safety/permit", "camera/head/image_raw"}


def _topics_in(bag: Path) -> set[str]:
    from rosbags.rosbag2 import Reader

    with Reader(bag) as reader:
        return {c.topic.lstrip("/") for c in reader.connections if c.msgcount}


@pytest.mark.slow
def test_an_instruction_that_is_not_understood_fails_with_that_reason(
    run_process: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    process = demo(run_process, out, "make me a sandwich", "--no-pictures", "--no-record")
    assert process.wait(120.0) == 1, process.output[-3000:]
    assert figures(out)["code"] == "NOT_UNDERSTOOD"
    assert figures(out)["figures"]["robot_fell"]["value"] is False


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["vla_policy", "safety_monitor", "command_gate"])
def test_a_kill_in_mid_reach_is_told_and_the_robot_holds(
    run_process: Callable[..., Any], tmp_path: Path, victim: str
) -> None:
    out = tmp_path / "demo"
    process = demo(run_process, out, TOUCH, "--no-pictures", "--no-record")
    wait_for(lambda: "policy acting" in process.output, 100.0, f"the reach; it says: {process.output[-500:]}")
    os.kill(nodes_of(process.pid)[victim].pid, signal.SIGKILL)
    assert process.wait(60.0) == 1, process.output[-3000:]
    whole = figures(out)
    assert whole["code"] == "DIED"
    assert whole["reason"].startswith(f"{victim} died (SIGKILL) at ")
    assert whole["reason"].endswith("the robot held, did not fall")


def test_ctrl_c_leaves_nothing_behind(run_process: Callable[..., Any], tmp_path: Path) -> None:
    process = demo(run_process, tmp_path / "demo", TOUCH, "--no-pictures", "--no-record")
    wait_for(lambda: len(nodes_of(process.pid)) == 6, 40.0, "six processes")
    children = list(nodes_of(process.pid).values())
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30.0) == 130
    assert not any(child.is_running() for child in children)


