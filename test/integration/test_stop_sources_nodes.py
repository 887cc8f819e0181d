"""Stop sources before the running monitor: a short press, one that cannot be read, a source that is required."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conftest import EXECUTABLES, Process, wait_for
from humanoid_twin.msg import EStopState as EStopMessage
from humanoid_twin.srv import ResetEStop
from rclpy.serialization import serialize_message
from safety_graph import Graph, graph_fixture  # noqa: F401
from test_safety_nodes import call

from humanoid_bench.rig import Rig, Speaker
from humanoid_core.types import Level
from humanoid_ros import qos


def lines(folder: Path) -> list[dict[str, Any]]:
    """Whole lines of the monitor's event log."""
    content = b"".join(path.read_bytes() for path in sorted(folder.glob("safety_monitor-*.jsonl")))
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def estop_publisher(graph: Graph, name: str) -> Any:
    """A publisher of stop messages that the monitor has found."""
    row = qos.topic("safety/estop")
    publisher = graph.speaker(name).node.create_publisher(EStopMessage, row.name, qos.profile(row))
    wait_for(lambda: publisher.get_subscription_count() > 0, 20, "the monitor")
    return publisher


def test_a_press_of_a_moment_latches(graph: Graph) -> None:
    publisher, seq = estop_publisher(graph, "button"), count(1)

    def beat(pressed: bool) -> None:
        publisher.publish(EStopMessage(source="panel", pressed=pressed, seq=next(seq)))

    beat(False)
    beat(True)
    beat(False)
    wait_for(lambda: (beat(False), graph.rig.gate("latched"))[1], 10, "a latched gate")
    cause = re.search(r"latched by ESTOP: panel (\S+) ", graph.rig.last("safety/status").cause)
    assert cause is not None
    assert float(cause[1]) < 0.4, "pressed, not silent"


def test_a_message_that_cannot_be_read_stops_and_is_counted(graph: Graph, tmp_path: Path) -> None:
    publisher = estop_publisher(graph, "button")
    whole = bytearray(serialize_message(EStopMessage(source="panel", seq=1)))
    whole[whole.index(b"panel")] = 0xff  # no UTF-8
    publisher.publish(bytes(whole))
    wait_for(lambda: graph.rig.last("safety/status").estop_latched, 10, "a latch")
    assert "unreadable" in graph.rig.last("safety/status").cause
    found = wait_for(lambda: [e for e in lines(tmp_path / "events") if e["kind"] == "REFUSAL"], 10, "the refusal")
    assert any("safety/estop" in e["text"] for e in found)


@pytest.fixture(name="rig")
def rig_fixture(domain: int) -> Iterator[Rig]:
    rig = Rig(domain)
    yield rig
    rig.close()


def test_a_required_source_is_waited_for_and_named(rig: Rig, start: Callable[..., Process],
                                                   run_process: Callable[..., Process]) -> None:
    start("safety_monitor", required_stop_sources="['panel']")
    start("command_gate")
    wait_for(lambda: rig.last("safety/status") is not None
             and "humanoid-twin estop --source panel" in rig.last("safety/status").cause, 20, "what is missing")
    assert rig.level() == Level.DANGER
    run_process([str(EXECUTABLES / "humanoid-twin"), "estop", "--source", "panel"])
    wait_for(lambda: rig.level() == Level.SAFE, 30, "SAFE once it beats")


def test_a_flood_of_resets_is_not_a_flood_in_the_log(graph: Graph) -> None:
    asker: Speaker = graph.rig
    for _ in range(30):
        answer = call(asker, ResetEStop, "safety/reset", ResetEStop.Request(nonce=1, operator_name=" "))
        assert answer.reason.startswith("RESET_OPERATOR")
    said = wait_for(lambda: graph.monitor.output.count("reset by"), 10, "the first refusal")
    assert said <= 5, "one in a second"
