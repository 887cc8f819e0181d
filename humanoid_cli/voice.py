"""A small ROS participant for verbs that say something on table topics and watch what the safety nodes answer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from humanoid_ros import qos
from humanoid_ros.convert import from_msg, to_msg
from humanoid_ros.watcher import own_context

HEARD = ("safety/status", "safety/gate", "robot/mode", "robot/joint_command")


@dataclass(frozen=True)
class Heard:
    """A dataclass and the monotonic time at which it came."""

    mono_ns: int
    value: Any


class Voice:
    """Publishes and listens; `heard[topic]` grows while it is open."""

    def __init__(self, name: str, namespace: str = "", listen: tuple[str, ...] = HEARD,
                 simulated_time: bool = False) -> None:
        self._context = own_context()
        given = [Parameter("use_sim_time", value=True)] if simulated_time else []
        self.node = Node(name, namespace=namespace, context=self._context, parameter_overrides=given)
        self.heard: dict[str, list[Heard]] = {topic: [] for topic in listen}
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        for topic in listen:
            self.listen(topic)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def listen(self, topic: str) -> None:
        """From now on everything on a table topic goes to ``heard``."""
        row = qos.topic(topic)
        self.heard.setdefault(topic, [])
        self.node.create_subscription(qos.message_type(row.type), topic, self._listener(topic), qos.profile(row))

    def _listener(self, topic: str) -> Any:
        return lambda message: self.heard[topic].append(Heard(time.monotonic_ns(), from_msg(message)))

    def _spin(self) -> None:
        while not self._end.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def now_ns(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def open(self, topic: str) -> Any:
        """The publisher of a table topic, made at the first use."""
        if topic not in self._publishers:
            row = qos.topic(topic)
            self._publishers[topic] = self.node.create_publisher(qos.message_type(row.type), topic, qos.profile(row))
        return self._publishers[topic]

    def say(self, topic: str, value: Any) -> None:
        self.open(topic).publish(to_msg(value))

    def last(self, topic: str) -> Any:
        return self.heard[topic][-1].value if self.heard[topic] else None

    def call(self, kind: Any, name: str, request: Any, timeout: float = 5.0) -> Any:
        """A service's answer, or None when nobody serves it in time."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        if not client.service_is_ready() and not client.wait_for_service(timeout_sec=timeout):
            return None
        future = client.call_async(request)
        end = time.monotonic() + timeout
        while not future.done() and time.monotonic() < end:
            time.sleep(0.002)
        return future.result() if future.done() else None

    def close(self) -> None:
        self._end.set()
        self._thread.join(timeout=2.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


@contextlib.contextmanager
def voice(name: str, namespace: str = "", listen: tuple[str, ...] = HEARD) -> Iterator[Voice]:
    made = Voice(name, namespace, listen)
    try:
        yield made
    finally:
        made.close()
