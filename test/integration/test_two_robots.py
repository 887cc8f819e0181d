"""Two robots in two namespaces of one domain: what is asked of one never reaches the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import rclpy
from conftest import wait_for

from humanoid_cli.supervisor import Supervisor
from humanoid_core.graph import load_graph, parse_setting
from humanoid_core.topics import TOPICS
from humanoid_core.types import EStopState, OverrideState
from humanoid_ros import qos
from humanoid_ros.convert import to_msg
from humanoid_ros.watcher import Watcher, own_context

LEFT, RIGHT = "left", "right"
#: Robot, ingest, monitor and gate: two whole graphs ask for more than two cores give. A person drives, not a policy.
NODES = ("sim_robot", "command_gate", "safety_monitor", "sensor_ingest")
SETTINGS = ("sim_robot.camera=false", "sensor_ingest.watch_camera=false")
SEEN = ("robot/joint_command", "safety/status", "safety/permit", "safety/gate")
JOINT, SPEED = "left_elbow_joint", 0.3


class Robot:
    """One graph in its namespace, a person and a stop button of its own."""

    def __init__(self, name: str, context: Any) -> None:
        self.name = name
        graph = load_graph("sim", settings=[parse_setting(text) for text in SETTINGS])
        nodes = tuple(node for node in graph.nodes if node.name in NODES)
        self.supervisor = Supervisor(replace(graph, nodes=nodes), lambda node, line: None, namespace=name)
        self.supervisor.start()
        self.watcher = Watcher(context, namespace=name, topics=SEEN, keep={"robot/joint_command": 20_000})
        self.watcher.start()
        self._seq = count(1)
        self._out = {}
        for topic in ("safety/override", "safety/estop"):
            row = qos.topic(topic)
            self._out[topic] = self.watcher.node.create_publisher(qos.message_type(row.type), topic, qos.profile(row))

    @property
    def follows(self) -> bool:
        gate = self.watcher.latest("safety/gate")
        return gate is not None and gate.state in ("holding", "jogging")

    @property
    def latched(self) -> bool:
        status = self.watcher.latest("safety/status")
        return status is not None and status.estop_latched

    def travel(self) -> float:
        """How far the commands to the robot have gone from the first one, rad."""
        positions = np.array([command.position for _, command in self.watcher.kept("robot/joint_command")])
        return float(np.max(np.abs(positions - positions[0]))) if len(positions) else 0.0

    def jog(self) -> None:
        """A heartbeat of the person who drives."""
        order = OverrideState(time.time_ns(), "test", True, 1, (JOINT,), np.array([SPEED]), next(self._seq))
        self._out["safety/override"].publish(to_msg(order))

    def press(self) -> None:
        """A heartbeat of the pressed stop."""
        self._out["safety/estop"].publish(to_msg(EStopState(time.time_ns(), "test", True, next(self._seq))))

    def end(self) -> None:
        self.supervisor.stop()
        self.watcher.stop()


@pytest.fixture
def robots(domain: int) -> Iterator[tuple[Robot, Robot]]:
    context = own_context(domain)
    left, right = Robot(LEFT, context), Robot(RIGHT, context)
    yield left, right
    for robot in (left, right):
        robot.end()
    rclpy.shutdown(context=context)


def drive(robot: Robot, far: float, what: str) -> None:
    def driven() -> bool:
        robot.jog()
        time.sleep(0.05)
        return robot.travel() > far

    wait_for(driven, 60.0, what)


def test_commands_and_stops_of_one_robot_stay_with_it(robots: tuple[Robot, Robot]) -> None:
    left, right = robots
    wait_for(lambda: left.follows and right.follows, 60.0, "both robots to hold")
    names = [name for name, _ in left.watcher.node.get_topic_names_and_types()]
    for robot in robots:  # each topic has the one sender of its own graph
        for topic in ("robot/joint_command", "safety/permit", "safety/status", "robot/mode"):
            assert robot.watcher.node.count_publishers(topic) == 1, f"{robot.name}/{topic}"
    assert not [name for name in names if name.strip("/") in TOPICS], "a topic outside of the namespaces"
    drive(left, 0.2, "the left robot to be driven")
    assert right.travel() < 1e-3

    def stopped() -> bool:
        left.press()
        time.sleep(0.05)
        return left.latched

    wait_for(stopped, 20.0, "the left robot's stop")
    before = right.watcher.count("safety/status")
    wait_for(lambda: right.watcher.count("safety/status") > before + 100, 20.0, "the right robot to go on")
    assert not right.latched
    assert right.travel() < 1e-3
    drive(right, 0.2, "the right robot to be driven while the left one is stopped")
    assert left.latched
