"""The two safety nodes write what happens, at once, in chains that go on over a kill -9 and a restart."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import Process, wait_for
from humanoid_twin.srv import ResetEStop
from safety_graph import Graph, graph_fixture  # noqa: F401
from test_safety_nodes import call

from humanoid_bench.rig import Speaker
from humanoid_cli.main import main
from humanoid_core.types import EStopState, Level


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    """Whole lines of a node's log, oldest first."""
    content = b"".join(path.read_bytes() for path in sorted(folder.glob(f"{name}-*.jsonl")))
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def kinds(folder: Path, name: str) -> list[str]:
    return [line["kind"] for line in lines(folder, name)]


@pytest.fixture(name="folder")
def folder_fixture(graph: Graph, tmp_path: Path) -> Path:
    assert graph.monitor.popen.poll() is None
    return tmp_path / "events"


def test_a_stop_and_its_reset_are_in_both_logs_and_on_the_topic(graph: Graph, folder: Path) -> None:
    rig, seq, nonce = graph.rig, count(1), count(1)
    button = graph.speaker("button")

    def beating(condition: Callable[[], Any], pressed: bool) -> Callable[[], Any]:
        def poll() -> Any:
            button.say("safety/estop", EStopState(button.now_ns(), "panel", pressed, next(seq)))
            return condition()
        return poll

    def reset() -> Any:
        return call(rig, ResetEStop, "safety/reset", ResetEStop.Request(nonce=next(nonce), operator_name="Ada"))

    wait_for(beating(lambda: rig.gate("latched"), True), 20, "a latched gate")
    assert not reset().accepted
    wait_for(beating(lambda: reset().accepted, False), 20, "an accepted reset")
    wait_for(beating(lambda: rig.level() == Level.SAFE, False), 20, "SAFE again")
    wait_for(beating(lambda: "RESET" in kinds(folder, "command_gate"), False), 10, "the gate's line")
    monitor = lines(folder, "safety_monitor")
    told = [(e["kind"], e["code"]) for e in monitor]
    assert told[0] == ("START", "")
    latch = told.index(("LATCH", "ESTOP"))
    assert ("RESET", "RESET_PRESSED") in told[latch:]
    assert ("RESET", "") in told[latch:]
    assert [e["text"].split(":")[0] for e in monitor if e["kind"] == "LEVEL"][-1] == "CAUTION -> SAFE"
    assert "LATCH" in kinds(folder, "command_gate")
    assert main(["log", "verify", str(folder)]) == 0


def test_kill_9_loses_nothing_and_the_next_start_goes_on(graph: Graph, folder: Path,
                                                         start: Callable[..., Process]) -> None:
    heard: list[Any] = []
    listener = Listener(graph.domain, heard)
    try:
        button = graph.speaker("button")
        seq = count(1)

        def pressed() -> bool:
            button.say("safety/estop", EStopState(button.now_ns(), "panel", True, next(seq)))
            listener.spin()
            return any(e.kind == "LATCH" and e.source == "safety_monitor" for e in heard)

        wait_for(pressed, 20, "the latch on safety/events")
        graph.monitor.signal(signal.SIGKILL)
        graph.monitor.popen.wait()
        written = {e["seq"] for e in lines(folder, "safety_monitor")}
        assert {e.seq for e in heard if e.source == "safety_monitor"} <= written
        start("safety_monitor")
        wait_for(lambda: kinds(folder, "safety_monitor").count("START") == 2, 20, "the second start")
        assert main(["log", "verify", str(folder)]) == 0
    finally:
        listener.close()


class Listener(Speaker):
    """Hears safety/events."""

    def __init__(self, domain: int, heard: list[Any]) -> None:
        super().__init__(domain, "listener")
        from rclpy.executors import SingleThreadedExecutor

        from humanoid_ros import qos
        from humanoid_ros.convert import from_msg

        row = qos.topic("safety/events")
        self.node.create_subscription(qos.message_type(row.type), row.name, lambda m: heard.append(from_msg(m)),
                                      qos.profile(row))
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def spin(self) -> None:
        for _ in range(20):
            self._executor.spin_once(timeout_sec=0.0)


def test_a_log_that_cannot_be_written_is_said_and_the_robot_still_moves(
        graph: Graph, tmp_path: Path, start: Callable[..., Process]) -> None:
    in_the_way = tmp_path / "a_file"
    in_the_way.write_text("")
    graph.gate.signal(signal.SIGTERM)
    graph.gate.wait()
    start("command_gate", log_dir=str(in_the_way))
    graph.wait_safe()
    graph.move(epoch=7)
    heard: list[Any] = []
    row_heard = DiagnosticsListener(graph.domain, heard)
    try:
        wait_for(lambda: row_heard.spin() or any("event log" in text for text in heard), 20, "the diagnostics")
    finally:
        row_heard.close()


class DiagnosticsListener(Speaker):
    """Messages of command_gate's diagnostics."""

    def __init__(self, domain: int, heard: list[str]) -> None:
        super().__init__(domain, "diagnostics_listener")
        from rclpy.executors import SingleThreadedExecutor

        from humanoid_ros import qos

        row = qos.topic("diagnostics")
        self.node.create_subscription(
            qos.message_type(row.type), row.name,
            lambda m: heard.extend(s.message for s in m.status if s.name == "command_gate"), qos.profile(row))
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def spin(self) -> None:
        for _ in range(20):
            self._executor.spin_once(timeout_sec=0.0)
