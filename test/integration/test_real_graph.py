"""`humanoid-twin up real` against a G1 over DDS: set-points of the gate reach it, and silence of the robot holds."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Process, wait_for

pytest.importorskip("cyclonedds", reason="no CycloneDDS: pip install -r requirements/unitree.txt")

from peers.unitree_g1 import WEIGHT, FakeG1


def test_the_graph_takes_the_robot_over_and_holds_when_it_is_lost(domain: int,
                                                                  run_process: Callable[..., Process]) -> None:
    robot = FakeG1(domain, rate=100.0).start()
    try:
        graph = run_process([str(Path(sys.executable).parent / "humanoid-twin"), "up", "real", "--set",
                             f"unitree_bridge.dds_domain={domain}"])
        wait_for(lambda: robot.arm and float(robot.arm[-1]["motor_cmd"]["q"][WEIGHT]) == 1.0, 60.0, "full weight")
        assert robot.bad_crc == 0
        robot.set("dead")
        wait_for(lambda: "holding NO_STATE" in graph.output, 20.0, "the bridge to hold")
        robot.set("ok")
        before = len(robot.arm)
        wait_for(lambda: len(robot.arm) > before + 100, 20.0, "frames again")
        graph.signal(signal.SIGINT)
        assert graph.wait(20.0) == 0
    finally:
        robot.end()
