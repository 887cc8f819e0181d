"""ros2_control_bridge against a controller that does what it is told: forward and trajectory, and no command lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rclpy
from conftest import Process, wait_for
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from humanoid_core.robot import load_robot
from humanoid_core.types import JointCommand, Mode, RobotMode
from humanoid_ros import qos
from humanoid_ros.convert import stamp_to_msg, to_msg

T1 = load_robot("t1")
UPPER = tuple(T1.joint_names[i] for i in T1.groups["upper_body"])
EMPTY = np.zeros(0)


class Ros2Control:
    """joint_state_broadcaster (with a joint that is not ours, in an order of its own) and one controller."""

    def __init__(self, kind: type, topic: str) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node("controller_manager", context=self.context)
        self.q = dict(zip(T1.joint_names, T1.rest, strict=True))
        self.got: list[Any] = []
        self.node.create_subscription(kind, topic, self._obey, 10)
        self._states = self.node.create_publisher(JointState, "joint_states", 10)
        self._out = {name: self.node.create_publisher(qos.message_type(qos.topic(name).type), name,
                                                      qos.profile(qos.topic(name)))
                     for name in ("robot/joint_command", "robot/mode")}
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._seq = 0

    def _obey(self, message: Any) -> None:
        self.got.append(message)
        if isinstance(message, Float64MultiArray):
            names, values = UPPER, message.data
        else:
            names, values = message.joint_names, message.points[0].positions
        self.q.update(zip(names, values, strict=True))

    def command(self, q: np.ndarray, until: Callable[[], Any], what: str) -> None:
        """joint_states and the gate's commands at 100 Hz until something is so."""
        def once() -> Any:
            self._seq += 1
            now = time.time_ns()
            names = ["gripper", *reversed(self.q)]
            state = JointState(name=names, position=[0.0, *reversed(self.q.values())])
            state.header.stamp = stamp_to_msg(now)
            self._states.publish(state)
            if self._seq % 10 == 1:
                self._out["robot/mode"].publish(to_msg(RobotMode(now, Mode.RUN, "test", self._seq)))
            self._out["robot/joint_command"].publish(
                to_msg(JointCommand(now, self._seq, 1, "gate", UPPER, q, EMPTY, EMPTY, EMPTY, EMPTY)))
            end = time.monotonic() + 0.01
            while time.monotonic() < end:
                self._executor.spin_once(timeout_sec=0.002)
            return until()

        wait_for(once, 20.0, what)

    def end(self) -> None:
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.mark.parametrize(("controller", "kind", "topic"), [
    ("forward", Float64MultiArray, "position_controller/commands"),
    ("trajectory", JointTrajectory, "arms/joint_trajectory"),
])
def test_the_robot_goes_where_the_gate_says(start: Callable[..., Process], controller: str, kind: type,
                                            topic: str) -> None:
    process = start("ros2_control_bridge", robot="t1", controller=controller, topic=topic)
    robot = Ros2Control(kind, topic)
    try:
        goal = np.array([robot.q[n] for n in UPPER])
        goal[UPPER.index("Waist")] += 0.25
        robot.command(goal, lambda: abs(robot.q["Waist"] - goal[UPPER.index("Waist")]) < 1e-6, "the waist there")
        path = [m.data[UPPER.index("Waist")] if controller == "forward" else
                m.points[0].positions[list(m.joint_names).index("Waist")] for m in robot.got]
        assert np.all(np.diff(path) >= 0.0)
        assert len(path) > 10, "a way, not a jump"
        if controller == "trajectory":
            assert robot.got[-1].points[0].time_from_start.nanosec == 30_000_000
    finally:
        robot.end()
    process.signal(2)
    assert process.wait() == 0


def test_a_joint_that_the_robot_has_not_is_named(start: Callable[..., Process]) -> None:
    process = start("ros2_control_bridge", robot="t1", joints="['Waste']")
    assert process.wait(20.0) == 2
    assert "groups.upper_body = 'Waste'" in process.output
    assert "nearest valid joint: 'Waist'" in process.output
