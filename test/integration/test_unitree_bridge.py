"""unitree_bridge against a robot that speaks the same DDS types, and dies, lags and lies when told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import Process, wait_for

pytest.importorskip("cyclonedds", reason="no CycloneDDS: pip install -r requirements/unitree.txt")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from peers.unitree_g1 import WEIGHT, FakeG1
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from humanoid_core.types import JointCommand, Mode, RobotMode
from humanoid_ros import qos
from humanoid_ros.convert import from_msg, to_msg

EMPTY = np.zeros(0)


class Suite:
    """The other side: listens to what the bridge publishes and commands as the gate does."""

    def __init__(self, robot: FakeG1) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node("suite", context=self.context)
        self.robot, self.model, self.seq = robot, robot.robot, 0
        self.got: dict[str, list[Any]] = {}
        for name in ("joint_states", "imu/torso", "battery_state", "motor_status"):
            row = qos.topic(name)
            got: list[Any] = self.got.setdefault(name, [])
            self.node.create_subscription(qos.message_type(row.type), name, lambda m, g=got: g.append(from_msg(m)),
                                          qos.profile(row))
        self.said: dict[str, str] = {}
        self.text = ""
        self.node.create_subscription(DiagnosticArray, "diagnostics", self._diagnose, 10)
        self._out = {name: self.node.create_publisher(qos.message_type(row.type), name, qos.profile(row))
                     for name in ("robot/joint_command", "robot/mode") for row in [qos.topic(name)]}
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def _diagnose(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name == "unitree_bridge":
                self.text = status.message
                self.said = {v.key: v.value for v in status.values}

    def until(self, predicate: Callable[[], Any], what: str, q: np.ndarray | None = None, mode: Mode = Mode.RUN,
              timeout: float = 20.0) -> Any:
        """Command at 100 Hz (a pose, or nothing) until something is so."""
        names = tuple(self.model.joint_names[i] for i in self.model.groups["upper_body"])

        def once() -> Any:
            self.seq += 1
            now = time.time_ns()
            if self.seq % 10 == 1:
                self._out["robot/mode"].publish(to_msg(RobotMode(now, mode, "test", self.seq)))
            if q is not None:
                pose = q[list(self.model.groups["upper_body"])]
                self._out["robot/joint_command"].publish(
                    to_msg(JointCommand(now, self.seq, 1, "gate", names, pose, EMPTY, EMPTY, EMPTY, EMPTY)))
            end = time.monotonic() + 0.01
            while time.monotonic() < end:
                self._executor.spin_once(timeout_sec=0.002)
            return predicate()

        return wait_for(once, timeout, what)

    def end(self) -> None:
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def robot(domain: int) -> Iterator[FakeG1]:
    fake = FakeG1(domain, rate=100.0)
    yield fake
    fake.end()


@pytest.fixture
def suite(robot: FakeG1) -> Iterator[Suite]:
    listener = Suite(robot)
    yield listener
    listener.end()


@pytest.fixture
def bridge(start: Callable[..., Process], domain: int) -> Callable[..., Process]:
    return lambda **params: start("unitree_bridge", dds_domain=domain, **params)


def test_it_reaches_holds_with_the_reason_and_goes_on(robot: FakeG1, suite: Suite,
                                                      bridge: Callable[..., Process]) -> None:
    """One run through everything that a robot may do wrong; the node lives through all of it."""
    robot.start()
    process = bridge(hold_time=60.0)
    elbow = robot.robot.index("left_elbow_joint")
    q = robot.robot.stand.copy()
    q[elbow] += 0.25
    suite.until(lambda: len(suite.got["joint_states"]) > 20, "joint samples")
    suite.until(lambda: suite.got["imu/torso"] and suite.got["battery_state"] and suite.got["motor_status"], "others")
    assert suite.got["battery_state"][-1].voltage == pytest.approx(50.4)
    assert suite.got["battery_state"][-1].current == pytest.approx(-2.5), "ROS: negative while discharging"
    assert suite.got["motor_status"][-1].temperature.tolist() == [42.0] * 29
    suite.until(lambda: robot.arm and float(robot.arm[-1]["motor_cmd"]["q"][WEIGHT]) == 1.0, "full weight", q)
    suite.until(lambda: abs(robot.q[elbow] - q[elbow]) < 0.01, "the elbow there", q)
    assert robot.bad_crc == 0
    assert not robot.low

    def trouble(switch: str, code: str, reason: str = "NO_STATE") -> None:
        robot.set(switch)
        suite.until(lambda: suite.said.get("reason") == reason and (not code or int(
            suite.said.get(f"refused {code}", "0")) > 0), f"{switch}: {reason} for {code}", q)
        robot.set("ok")
        suite.until(lambda: suite.said.get("phase") == "active", f"active after {switch}", q)

    trouble("crc", "BAD_CRC")
    trouble("mode_machine 11", "WRONG_ROBOT")
    trouble("nan", "NON_FINITE")
    trouble("lag 0.2", "STALE")
    trouble("dead", "")
    robot.set("back 50000")
    suite.until(lambda: int(suite.said.get("refused TICK_BACK", "0")) > 0
                and suite.said.get("counter restarts") == "1", "a restart", q)
    suite.until(lambda: suite.said.get("phase") == "active", "active after the restart", q)
    robot.set("fsm 1")
    suite.until(lambda: suite.said.get("reason") == "ONBOARD" and "is in state 1" in suite.text, "ONBOARD", q)
    robot.set("fsm 500")
    suite.until(lambda: suite.said.get("phase") == "active", "active again", q)
    suite.until(lambda: 706 in robot.fsm_wishes, "a squat asked for", q, Mode.CROUCH)
    suite.until(lambda: 1 in robot.fsm_wishes, "damping asked for", q, Mode.DAMP)
    suite.until(lambda: np.all(robot.arm[-1]["motor_cmd"]["kp"] == 0.0), "arms without stiffness", q, Mode.DAMP)
    process.signal(2)
    assert process.wait() == 0


def test_a_robot_of_another_variant_ends_it_with_one_line(robot: FakeG1, suite: Suite,
                                                          bridge: Callable[..., Process]) -> None:
    robot.set("mode_machine 13")
    robot.start()
    process = bridge()
    suite.until(lambda: process.popen.poll() is not None, "the end", robot.robot.stand)
    assert process.wait() == 2
    assert "the robot says mode_machine 13, the file is for 5" in process.output
    assert not robot.arm


def test_a_dry_run_says_everything_and_sends_nothing(robot: FakeG1, suite: Suite,
                                                     bridge: Callable[..., Process]) -> None:
    robot.start()
    bridge(actuate=False)
    suite.until(lambda: suite.said.get("phase") == "active" and int(suite.said["kept back (dry run)"]) > 50,
                "active, kept back", robot.robot.stand)
    assert "dry run" in suite.text
    suite.until(lambda: suite.said.get("reason") == "robot/mode CROUCH", "crouch", robot.robot.stand, Mode.CROUCH)
    assert not robot.arm
    assert not robot.low
    assert not robot.fsm_wishes
