"""A robot for integration tests: publishes the G1's raw topics from a thread, and does what a test asks of it."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.types import BatterySample, ImuSample, JointSample, MotorSample, WrenchSample
from humanoid_ros import qos
from humanoid_ros.convert import from_msg, stamp_to_msg, to_msg

Change = Callable[[Any], Any]


class FakeRobot:
    """Stands still with a little noise. ``changes[topic]`` alters each sample on its way; None drops it.

    ``pause`` holds the topics in it back. Everything received with ``listen`` is in ``got[topic]``.
    """

    def __init__(self, rate: float = 200.0, simulated_clock: bool = False) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node("fake_robot", context=self.context)
        self.robot = load_robot("g1")
        self.changes: dict[str, Change] = {}
        self.got: dict[str, list[Any]] = {}
        self._rng = np.random.default_rng(3)
        self._rate = rate
        # Simulated time runs with the wall's, begins at 1000 s, and jumps by `jump_ns` when a test sets that.
        self.jump_ns = 0
        self._zero_ns = time.time_ns() - 1000 * NS if simulated_clock else 0
        self._clock = self.node.create_publisher(Clock, "/clock", 10) if simulated_clock else None
        self._publishers: dict[str, Any] = {}
        for topic in ("joint_states", *(i.topic for i in self.robot.imus), *(f.topic for f in self.robot.feet),
                      "battery_state", "motor_status"):
            row = qos.topic(topic)
            self._publishers[topic] = self.node.create_publisher(qos.message_type(row.type), topic, qos.profile(row))
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._publish, daemon=True),
                         threading.Thread(target=self._spin, daemon=True)]
        self._threads[1].start()

    def start(self) -> FakeRobot:
        """Begin to publish; it listens from the beginning."""
        self._threads[0].start()
        return self

    def listen(self, topic: str) -> list[Any]:
        row = qos.topic(topic)
        got: list[Any] = self.got.setdefault(topic, [])
        self.node.create_subscription(qos.message_type(row.type), topic, lambda m: got.append(from_msg(m)),
                                      qos.profile(row))
        return got

    def call(self, service: str, kind: Any, request: Any, timeout: float = 10.0) -> Any:
        """Answer of a service; None when none came in time."""
        client = self.node.create_client(kind, service)
        if not client.wait_for_service(timeout):
            return None
        future, done = client.call_async(request), threading.Event()
        future.add_done_callback(lambda _f: done.set())
        return future.result() if done.wait(timeout) else None

    def send(self, topic: str, value: Any) -> None:
        """Publish once on any topic of the table."""
        if topic not in self._publishers:
            row = qos.topic(topic)
            self._publishers[topic] = self.node.create_publisher(qos.message_type(row.type), topic, qos.profile(row))
        self._publishers[topic].publish(to_msg(value))

    def samples(self, stamp_ns: int, tick: int) -> dict[str, Any]:
        """What the robot senses at one tick."""
        robot, n = self.robot, self.robot.n
        noise = self._rng.normal(0.0, 1e-4, (4, n))
        out: dict[str, Any] = {
            imu.topic: ImuSample(stamp_ns, np.array([1.0, 0.0, 0.0, 0.0]), noise[2, :3],
                                 np.array([0.0, 0.0, 9.81]) + noise[2, 3:6]) for imu in robot.imus}
        for foot in robot.feet:
            out[foot.topic] = WrenchSample(stamp_ns, np.array([0.0, 0.0, 163.0]), np.zeros(3))
        if tick % 40 == 0:
            out["battery_state"] = BatterySample(stamp_ns, 50.0, -2.0, 0.8)
        if tick % 20 == 0:
            out["motor_status"] = MotorSample(stamp_ns, robot.joint_names, np.full(n, 40.0), np.zeros(n),
                                              np.full(n, 50.0), (0,) * n)
        out["joint_states"] = JointSample(stamp_ns, robot.joint_names, robot.stand + noise[0], noise[1], noise[3])
        return out

    def now_ns(self) -> int:
        return time.time_ns() - self._zero_ns + self.jump_ns

    def _publish(self) -> None:
        period, start, tick = 1.0 / self._rate, time.monotonic(), 0
        while not self._stop.is_set():
            now_ns = self.now_ns()
            if self._clock is not None:
                self._clock.publish(Clock(clock=stamp_to_msg(now_ns)))
            for topic, sample in self.samples(now_ns, tick).items():
                change = self.changes.get(topic)
                if change is not None:
                    sample = change(sample)
                if sample is not None:
                    self._publishers[topic].publish(to_msg(sample))
            tick += 1
            time.sleep(max(0.0, start + tick * period - time.monotonic()))

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5.0)
        self.node.destroy_node()
        self.context.try_shutdown()


def drop(_sample: Any) -> None:
    """A change that stops a sensor."""
    return None


def with_values(**values: Any) -> Change:
    """A change that replaces fields."""
    return lambda sample: dataclasses.replace(sample, **values)
