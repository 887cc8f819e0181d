"""The life of nodes: each by its lifecycle services, a graph of small ones by the bring-up of `humanoid-twin up`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from conftest import Process, wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor

from humanoid_cli.supervisor import Supervisor
from humanoid_core.graph import graph_from_data
from humanoid_core.types import Mode
from humanoid_ros.watcher import Watcher, own_context

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
SHUTDOWN = Transition.TRANSITION_ACTIVE_SHUTDOWN

SMALL = '''#!{python}
import sys, time
from dataclasses import dataclass
from humanoid_ros.node import HumanoidNode, run
from humanoid_ros.params import ParameterError, declare, param

@dataclass(frozen=True)
class Params:
    slow: float = param(0.0, "how long it takes to be configured", "s", low=0.0, high=60.0)
    refuse: bool = param(False, "whether it is refused")

class Small(HumanoidNode):
    def __init__(self):
        super().__init__("small")
        self.params = declare(self, Params)
    def configure(self):
        time.sleep(self.params.slow)
        if self.params.refuse:
            raise ParameterError(f"{{self.get_name()}}: refuse = True: as it was told")
        self.steady_loop(50.0, lambda now_ns, loop: None)
    def deactivated(self):
        print("rests", flush=True)

sys.exit(run(Small))
'''


class Manager:
    """Asks one node after the other, as `ros2 lifecycle` does."""

    def __init__(self, domain: int) -> None:
        self.context = own_context(domain)
        self.node = rclpy.create_node("tester", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.watcher = Watcher(self.context)
        self.watcher.start()

    def _call(self, kind: Any, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, name)
        try:
            assert client.wait_for_service(20.0), name
            future = client.call_async(request)
            rclpy.spin_until_future_complete(self.node, future, self.executor, timeout_sec=20.0)
            return future.result()
        finally:
            self.node.destroy_client(client)

    def state(self, node: str) -> str:
        return str(self._call(GetState, f"{node}/get_state", GetState.Request()).current_state.label)

    def change(self, node: str, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self._call(ChangeState, f"{node}/change_state", request).success)

    def end(self) -> None:
        self.watcher.stop()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def manager(domain: int) -> Iterator[Manager]:
    made = Manager(domain)
    yield made
    made.end()


def test_the_gate_holds_whenever_it_is_not_active(start: Callable[..., Process], manager: Manager) -> None:
    seen = manager.watcher
    robot, gate = start("sim_robot", camera=False), start("command_gate", autostart=False)
    start("sensor_ingest", watch_camera=False)
    wait_for(lambda: seen.count("ingest/robot_state") > 20, what="the robot's state")
    assert manager.state("command_gate") == "unconfigured"
    assert seen.count("robot/mode") == 0, "who is not configured says nothing; the robot holds by itself"
    assert manager.change("command_gate", CONFIGURE)
    wait_for(lambda: getattr(seen.latest("robot/mode"), "reason", "") == "INACTIVE", what="HOLD for INACTIVE")
    assert seen.latest("robot/mode").mode is Mode.HOLD
    assert manager.change("command_gate", ACTIVATE)
    wait_for(lambda: seen.latest("robot/mode").mode is Mode.RUN, what="RUN")
    assert manager.change("command_gate", DEACTIVATE)
    wait_for(lambda: seen.latest("robot/mode").mode is Mode.HOLD, what="HOLD again")
    before = seen.count("robot/joint_command")
    wait_for(lambda: seen.count("robot/joint_command") > before + 50, what="a safe command goes on being published")
    assert manager.change("command_gate", ACTIVATE)
    assert manager.change("command_gate", SHUTDOWN)
    assert gate.wait() == 0, gate.output
    assert robot.popen.poll() is None


def test_the_monitor_gives_no_permit_unless_active_and_keeps_a_latched_stop(start: Callable[..., Process],
                                                                            manager: Manager) -> None:
    seen = manager.watcher
    start("safety_monitor", autostart=False)
    assert manager.change("safety_monitor", CONFIGURE)
    wait_for(lambda: seen.count("safety/status") > 50, what="status of the inactive monitor")
    assert seen.count("safety/permit") == 0
    assert manager.change("safety_monitor", ACTIVATE)
    wait_for(lambda: seen.count("safety/permit") > 10, what="permits")
    source = start_stop(manager)
    wait_for(lambda: source() and seen.latest("safety/status").estop_latched, what="the latch")
    assert manager.change("safety_monitor", DEACTIVATE)
    assert not manager.change("safety_monitor", CLEANUP), "a new monitor would know nothing of the stop"
    assert manager.state("safety_monitor") == "inactive"
    assert seen.latest("safety/status").estop_latched


def start_stop(manager: Manager) -> Callable[[], bool]:
    """A stop source that is pressed, each time it is called."""
    from humanoid_twin.msg import EStopState

    from humanoid_ros import qos

    publisher = manager.node.create_publisher(EStopState, "safety/estop", qos.profile(qos.topic("safety/estop")))
    count = iter(range(1, 10**6))

    def press() -> bool:
        message = EStopState(source="test", pressed=True, seq=next(count))
        message.header.stamp = manager.node.get_clock().now().to_msg()
        publisher.publish(message)
        return True

    return press


@pytest.mark.parametrize("executable", ["sim_robot", "sensor_ingest", "twin_sync", "vla_policy", "scene_markers"])
def test_a_node_lives_twice(start: Callable[..., Process], manager: Manager, executable: str) -> None:
    """Cleaned up and configured anew it works as before, and nothing of its first life is left."""
    node = start(executable, autostart=False, **({"camera": False} if executable == "sim_robot" else {}))
    for _ in range(2):
        assert manager.change(executable, CONFIGURE), node.output
        assert manager.change(executable, ACTIVATE), node.output
        assert manager.state(executable) == "active"
        wait_for(lambda: manager.node.count_publishers("diagnostics") == 1, what="one publisher of diagnostics")
        assert manager.change(executable, DEACTIVATE), node.output
        assert manager.change(executable, CLEANUP), node.output
        wait_for(lambda: manager.node.count_publishers("diagnostics") == 0, what="nobody on diagnostics")
    node.signal(signal.SIGINT)
    assert node.wait() == 0, node.output


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, domain: int) -> Iterator[Any]:
    """Starts a graph of small nodes: `graph(a={}, b={"after": ["a"], "parameters": {"slow": 3.0}})`."""
    folder = tmp_path / "lib" / "humanoid_twin"
    folder.mkdir(parents=True)
    (folder / "small").write_text(SMALL.format(python=sys.executable))
    (folder / "small").chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    made: list[Supervisor] = []

    def build(**nodes: dict[str, Any]) -> tuple[Supervisor, list[str]]:
        lines: list[str] = []
        entries = [{"name": name, "executable": "small", **options} for name, options in nodes.items()]
        supervisor = Supervisor(graph_from_data({"description": "test", "nodes": entries}, tmp_path / "g.yaml"),
                                lambda node, line: lines.append(f"{node}: {line}"))
        made.append(supervisor)
        supervisor.start()
        return supervisor, lines

    yield build
    for supervisor in made:
        supervisor.stop((5.0, 1.0))


def until(supervisor: Supervisor, seen: list[str], *words: str) -> None:
    def all_seen() -> bool:
        seen.extend(str(event) for event in supervisor.poll())
        return all(word in seen for word in words)

    wait_for(all_seen, 30.0, f"{words}, seen: {seen}")


def test_a_graph_comes_up_in_order_and_down_in_reverse(graph: Any) -> None:
    supervisor, lines = graph(c={"after": ["b"]}, b={"after": ["a"], "parameters": {"slow": 1.0}}, a={})
    seen: list[str] = []
    until(supervisor, seen, "c is active")
    assert seen == ["a is active", "b is active", "c is active"]
    assert supervisor.stop() == [] == supervisor.restless
    assert [line for line in lines if "rests" in line] == ["c: rests", "b: rests", "a: rests"]


def test_a_slow_node_holds_up_nobody_before_it(graph: Any) -> None:
    supervisor, _ = graph(gate={}, monitor={"after": ["gate"]},
                          policy={"after": ["monitor"], "parameters": {"slow": 20.0}})
    seen: list[str] = []
    until(supervisor, seen, "gate is active", "monitor is active")
    wait_for(lambda: supervisor.waiting() == ["policy is being configured"], 20.0, "the slow policy to be waited for")
    why: set[str] = set()

    def is_active() -> bool:
        why.update(supervisor.waiting())
        seen.extend(map(str, supervisor.poll()))
        return "policy is active" in seen

    wait_for(is_active, 30.0, "the slow policy")
    assert "policy does not answer" not in why, "it is busy with its configuration, and answers no question meanwhile"


def test_who_refuses_is_named_and_ends_the_graph_when_required(graph: Any) -> None:
    supervisor, _ = graph(a={"parameters": {"refuse": True}}, b={"after": ["a"]})
    seen: list[str] = []
    until(supervisor, seen, "a refused to be configured")
    assert str(supervisor.failure) == "a refused to be configured"
    assert supervisor.last_line("a") == "refused: a: refuse = True: as it was told"
    wait_for(lambda: supervisor.waiting() == ["b waits for a"], what="b to be configured and to wait")


def test_who_may_be_missing_is_not_waited_for_when_it_refuses(graph: Any) -> None:
    supervisor, _ = graph(a={"required": False, "parameters": {"refuse": True}}, b={"after": ["a"]})
    until(supervisor, [], "a refused to be configured", "b is active")
    assert supervisor.failure is None


def test_a_node_that_is_started_anew_is_brought_up_again(graph: Any) -> None:
    supervisor, _ = graph(a={}, b={"after": ["a"], "required": False, "respawn": {"delay": 0.1}})
    seen: list[str] = []
    until(supervisor, seen, "b is active")
    os.kill(supervisor.pids()["b"], signal.SIGKILL)
    seen.clear()
    until(supervisor, seen, "b is active")
    assert seen[0] == "b died (SIGKILL)"
