"""The metrics node over the real middleware: an endpoint, diagnostics, and a refusal where it cannot listen."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Process, wait_for
from rclpy.executors import SingleThreadedExecutor

from humanoid_bench.rig import Rig, Speaker
from humanoid_core.types import Level, SafetyStatus
from humanoid_ros import qos


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(name="rig")
def rig_fixture(domain: int) -> Iterator[Rig]:
    rig = Rig(domain)
    yield rig
    rig.close()


def test_the_endpoint_follows_the_graph(rig: Rig, start: Callable[..., Process]) -> None:
    port = free_port()
    node = start("metrics", port=port)

    def page() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2.0) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def level(wanted: Level) -> bool:
        rig.say("safety/status", SafetyStatus(rig.now_ns(), wanted, False, "", (), 1, 3, 0.001))
        return f"humanoid_twin_safety_level {int(wanted)}.0" in page()

    wait_for(lambda: level(Level.SAFE), 20, "the level on the endpoint")
    wait_for(lambda: level(Level.DANGER), 10, "the new level")
    assert 'humanoid_twin_overruns_total{node="safety_monitor"} 3.0' in page()
    wait_for(lambda: 'humanoid_twin_process_cpu_seconds_total{node="metrics"}' in page(), 10, "what the node uses")
    heard: list[Any] = []
    listener = Diagnostics(rig.node.context.get_domain_id(), heard)
    try:
        names = {"metrics", "machine/processor", "machine/memory", "machine/disk", "machine/temperature"}
        wait_for(lambda: listener.spin() or names <= {s.name for s in heard}, 10, "the machine's health")
    finally:
        listener.close()
    second = start("metrics", port=port)
    assert second.wait() == 2
    assert "another port" in second.output
    node.end()
    assert node.popen.returncode == 0, node.output


class Diagnostics(Speaker):
    """Hears diagnostics."""

    def __init__(self, domain: int, heard: list[Any]) -> None:
        super().__init__(domain, "diagnostics_listener")
        row = qos.topic("diagnostics")
        self.node.create_subscription(qos.message_type(row.type), row.name, lambda m: heard.extend(m.status),
                                      qos.profile(row))
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def spin(self) -> None:
        for _ in range(20):
            self._executor.spin_once(timeout_sec=0.0)
