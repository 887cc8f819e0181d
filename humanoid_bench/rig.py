"""A robot and a policy made of nothing but their messages, so that the safety nodes can be tried alone.

The rig publishes what sensor_ingest, twin_sync and vla_policy would, follows the gate's commands perfectly, and
writes down what the safety nodes say. It runs in the test's own process with its own ROS context.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.types import (
    JointCommand,
    Mode,
    RobotState,
    SensorHealth,
    SourceHealth,
    TwinState,
    TwinStatus,
)
from humanoid_ros import qos
from humanoid_ros.convert import from_msg, to_msg

ROBOT = load_robot("g1")
UPPER = np.array(ROBOT.groups["upper_body"])
NAMES = tuple(ROBOT.joint_names[i] for i in UPPER)
ELBOW = NAMES.index("left_elbow_joint")
HEARD = ("robot/joint_command", "robot/mode", "safety/permit", "safety/gate", "safety/status")
STATE_HZ = 200


@dataclass(frozen=True)
class Heard:
    """A message and the monotonic time of its callback."""

    mono_ns: int
    value: Any


class Speaker:
    """Anyone who publishes on table topics: the rig itself, a second publisher, a stop button."""

    def __init__(self, domain: int, name: str) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node(name, context=self.context)
        self._publishers: dict[str, Any] = {}

    def say(self, topic: str, value: Any) -> None:
        if topic not in self._publishers:
            row = qos.topic(topic)
            self._publishers[topic] = self.node.create_publisher(qos.message_type(row.type), topic, qos.profile(row))
        self._publishers[topic].publish(to_msg(value) if not hasattr(value, "get_fields_and_field_types") else value)

    def now_ns(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def close(self) -> None:
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


class Rig(Speaker):
    """Publishes from a thread of its own; everything heard is in `heard[topic]`."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain, "rig")
        self.heard: dict[str, list[Heard]] = {topic: [] for topic in HEARD}
        for topic in HEARD:
            row = qos.topic(topic)
            self.node.create_subscription(qos.message_type(row.type), topic, self._listener(topic),
                                          qos.profile(row))
        self.q = ROBOT.stand.copy()
        self.state_changes: dict[str, Any] = {}
        self.shown_ns = 0  # when the first state with these changes was published; set it to 0 before
        self.silent: set[str] = set()  # topics not published
        self.command: Callable[[float], JointCommand | None] | None = None  # policy: seconds of motion -> command
        self.seq = 0
        self.began_ns = 0
        self._shift_ns = 0
        self._end = threading.Event()
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._publish, self._spin)]
        for thread in self._threads:
            thread.start()

    # --- what the policy does

    def act(self, epoch: int = 1, amplitude: float = 0.6, omega: float = 1.5, source: str = "rig") -> None:
        """Swing the left elbow from where it is, smoothly, until told otherwise."""
        base = self.q[UPPER].copy()
        self.began_ns = self.now_ns()

        def command(t: float) -> JointCommand:
            q, v = base.copy(), np.zeros(len(base))
            q[ELBOW] -= amplitude * 0.5 * (1.0 - np.cos(omega * t))
            v[ELBOW] = -amplitude * 0.5 * omega * np.sin(omega * t)
            return JointCommand(0, 0, epoch, source, NAMES, q, v)

        self.command = command

    def shift(self, seconds: float) -> None:
        """Publish so much later from now on: the phase to loops of the same rate is another one then."""
        self._shift_ns = round(seconds * NS)

    # --- what the tests ask

    def last(self, topic: str) -> Any:
        return self.heard[topic][-1].value if self.heard[topic] else None

    def gate(self, state: str) -> bool:
        status = self.last("safety/gate")
        return status is not None and status.state == state

    def level(self) -> int:
        status = self.last("safety/status")
        return -1 if status is None else int(status.level)

    def elbow_speed(self) -> float:
        command = self.last("robot/joint_command")
        return 0.0 if command is None else abs(float(command.velocity[ELBOW]))

    def since(self, topic: str, mono_ns: int) -> list[Heard]:
        return [h for h in self.heard[topic] if h.mono_ns >= mono_ns]

    # --- threads

    def _listener(self, topic: str) -> Callable[[Any], None]:
        def listen(message: Any) -> None:
            value = from_msg(message)
            self.heard[topic].append(Heard(time.monotonic_ns(), value))
            if topic == "robot/joint_command":
                mode = self.last("robot/mode")
                if mode is None or mode.mode == Mode.RUN:
                    q = self.q.copy()
                    q[UPPER] = value.position
                    self.q = q
        return listen

    def _spin(self) -> None:
        while not self._end.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def _publish(self) -> None:
        period, k = NS // STATE_HZ, 0
        due = time.monotonic_ns()
        while not self._end.is_set():
            due += period + self._shift_ns
            self._shift_ns = 0
            time.sleep(max(due - time.monotonic_ns(), 0) / NS)
            due = max(due, time.monotonic_ns() - 20 * period)
            now, k = self.now_ns(), k + 1
            self._say("ingest/robot_state", lambda now=now, k=k: self._state(now, k))
            if k % 2 == 0:
                self._say("twin/state", lambda now=now, k=k: self._twin(now, k))
                self._say("vla/joint_command", lambda now=now: self._policy(now))
            if k % 20 == 0:
                self._say("ingest/sensor_health", lambda now=now: self._health(now))

    def _say(self, topic: str, make: Callable[[], Any]) -> None:
        if topic not in self.silent:
            value = make()
            if value is not None:
                self.say(topic, value)

    def _policy(self, now: int) -> JointCommand | None:
        command = None if self.command is None else self.command((now - self.began_ns) / NS)
        if command is None:
            return None
        self.seq += 1
        return replace(command, stamp_ns=command.stamp_ns or now, seq=command.seq or self.seq)

    def _state(self, now: int, k: int) -> RobotState:
        n = ROBOT.n
        state = RobotState(now, k, self.q, np.zeros(n), np.zeros(n), np.full(n, 35.0), np.array([1.0, 0.0, 0.0, 0.0]),
                           np.zeros(3), np.array([0.0, 0.0, 9.81]), np.zeros((2, 3)), 50.0, -3.0, (), "imu/pelvis")
        if self.state_changes and not self.shown_ns:
            self.shown_ns = time.monotonic_ns()
        return replace(state, **self.state_changes)

    def _twin(self, now: int, k: int) -> TwinState:
        zero, n = np.zeros(3), ROBOT.n
        return TwinState(now, k, ROBOT.hash, self.q, np.zeros(n), np.zeros(n), np.zeros(n), zero,
                         np.array([1.0, 0.0, 0.0, 0.0]), zero, zero, zero, zero, 0.08, np.zeros(n), 1.0, 0.003,
                         TwinStatus.OK)

    def _health(self, now: int) -> SensorHealth:
        source = SourceHealth("joint_states", "ok", True, "", 1, 4.0, 200.0, 200.0, 0.1, 5.0, 0)
        return SensorHealth(now, (source,), True)

    def close(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=2.0)
        super().close()
