"""`humanoid-twin up real` against a G1 over DDS: set-points of the gate reach it, and silence of the robot holds."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Process, wait_for

pytest.importorskip("cyclonedds", reason="no CycloneDDS: pip install -r requirements/unitree.txt")

import rclpy
from peers.unitree_g1 import WEIGHT, FakeG1

from humanoid_core.types import EStopState
from humanoid_ros import qos
from humanoid_ros.convert import to_msg
from humanoid_ros.watcher import own_context

PROGRAM = str(Path(sys.executable).parent / "humanoid-twin")


def test_the_graph_takes_the_robot_over_and_holds_when_it_is_lost(domain: int,
                                                                  run_process: Callable[..., Process]) -> None:
    robot = FakeG1(domain, rate=100.0).start()
    try:
        graph = run_process([PROGRAM, "up", "real", "--set", f"unitree_bridge.dds_domain={domain}"])
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


def test_the_robot_reaches_and_a_pressed_stop_brings_it_to_rest(domain: int,
                                                               run_process: Callable[..., Process]) -> None:
    """In real time, over DDS, through gate and bridge: a person drives the elbow, and somebody presses a stop."""
    robot = FakeG1(domain, rate=200.0).start()
    elbow = robot.robot.joint_names.index("left_elbow_joint")
    context = own_context(domain)
    node = rclpy.create_node("button", context=context)
    row = qos.topic("safety/estop")
    button = node.create_publisher(qos.message_type(row.type), row.name, qos.profile(row))
    try:
        graph = run_process([PROGRAM, "up", "real", "--set", f"unitree_bridge.dds_domain={domain}"])
        wait_for(lambda: robot.arm and float(robot.arm[-1]["motor_cmd"]["q"][WEIGHT]) == 1.0, 60.0, "full weight")
        start = float(robot.q[elbow])
        run_process([PROGRAM, "jog", "left_elbow_joint", "0.3", "--seconds", "60"])
        wait_for(lambda: abs(float(robot.q[elbow]) - start) > 0.2, 40.0, "the elbow to move by 0.2 rad")
        for seq in range(1, 41):
            button.publish(to_msg(EStopState(time.time_ns(), "button", True, seq)))
            time.sleep(0.05)
        assert "EMERGENCY" in graph.output
        rest = robot.q.copy()
        seen = len(robot.arm)
        wait_for(lambda: len(robot.arm) > seen + 50 or len(robot.arm) == robot.arm.maxlen, 20.0, "frames go on")
        time.sleep(0.5)
        assert np.max(np.abs(robot.q - rest)) < 0.01
        assert robot.bad_crc == 0
        graph.signal(signal.SIGINT)
        assert graph.wait(20.0) == 0
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
        robot.end()
