"""age_p99_ms, preview_ms, preview_hz: twin_sync in the whole graph of the simulated robot, in real time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray

from humanoid_bench.measured import Measured, Options, Progress
from humanoid_cli.figures import Figure
from humanoid_cli.inject_graphs import make_graph
from humanoid_cli.inject_world import GraphWorld, graph_world
from humanoid_cli.session import own_domain
from humanoid_cli.supervisor import Supervisor
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_ros.head import stamp_ns
from humanoid_ros.watcher import Watcher, own_context

START = 90.0
NOTE = ("the whole graph of the simulated robot with camera and policy, which waves again and again, started and ended "
        "by the bench, {seconds:g} s; age: from a joint sample's stamp to the publication, by the middleware's stamp, "
        "of the twin's state that knows it first (the sensor's own way and the twin's work are inside); preview_ms: "
        "wall time of a look ahead, the greatest p99 of the latest 100 in twin_sync's diagnostics; preview_hz: "
        "messages on twin/prediction; the process that measures runs beside it")


def graph(options: Options, progress: Progress) -> Measured:
    seconds = 15.0 if options.quick else 60.0
    robot = load_robot("g1")
    with own_domain():
        environment = {"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
        with (Supervisor(make_graph("whole"), lambda node, line: None, environment=environment) as supervisor,
              graph_world(robot, supervisor, moves=False) as world):
            told: list[dict[str, str]] = []
            world.speaker.node.create_subscription(DiagnosticArray, "diagnostics", _listener(told), 10)
            if not world.bring_to_work(START):
                raise RuntimeError(f"the graph did not come to work: {world.last('safety/status')}")
            with _watching() as heard:
                time.sleep(1.0)
                begin = time.monotonic_ns()
                heard.open = True
                _watch(world, seconds, progress)
                heard.open = False
            span = (time.monotonic_ns() - begin) / NS
    ages, states, predictions = heard.ages, heard.states, heard.looks
    gaps = np.diff(predictions) / MS
    last = told[-1] if told else {}
    lengths = {q: [float(t[f"look ms {q}"]) for t in told if f"look ms {q}" in t] for q in ("p50", "p99")}
    n = len(predictions)
    figures = {"age_p99_ms": Figure(_percentile(ages, 99), "ms", 5.0, len(ages)),
               "age_p50_ms": Figure(_percentile(ages, 50), "ms", None, len(ages)),
               "twin_state_hz": Figure(states / span, "Hz", None, states),
               "preview_ms": Figure(max(lengths["p99"], default=float("nan")), "ms", 15.0, n),
               "preview_p50_ms": Figure(_percentile(lengths["p50"], 50), "ms", None, n),
               "preview_hz": Figure(round(n / span, 2), "Hz", 10, n),
               "preview_gap_max_ms": Figure(float(gaps.max()) if len(gaps) else float("nan"), "ms", None, len(gaps)),
               "preview_left_out": Figure(int(last.get("looks left out", 0)), "", None,
                                          int(last.get("looks ahead", 0)))}
    return Measured(figures, {"age_ms": ages}, NOTE.format(seconds=seconds))


class _Heard:
    """A sink of a Watcher: when the twin's messages were published, while ``open``. A state that says silence repeats
    the stamp of the one before."""

    def __init__(self) -> None:
        self.open = False
        self.states = 0
        self.ages: list[float] = []  # ms
        self.looks: list[int] = []  # ns
        self._known_ns = 0

    def write(self, topic: str, message_type: str, stamp_ns_: int, data: bytes) -> None:
        if not self.open:
            return
        if topic == "twin/prediction":
            self.looks.append(stamp_ns_)
            return
        self.states += 1
        captured_ns = stamp_ns(data)
        if captured_ns > self._known_ns:
            self._known_ns = captured_ns
            self.ages.append((stamp_ns_ - captured_ns) / MS)


@contextmanager
def _watching() -> Iterator[_Heard]:
    heard, context = _Heard(), own_context()
    watcher = Watcher(context, sink=heard, topics=("twin/state", "twin/prediction"))
    watcher.start()
    try:
        yield heard
    finally:
        watcher.stop()
        rclpy.shutdown(context=context)


def _listener(told: list[dict[str, str]]) -> Any:
    def hear(message: DiagnosticArray) -> None:
        told.extend({v.key: v.value for v in s.values} for s in message.status if s.name == "twin_sync")

    return hear


def _watch(world: GraphWorld, seconds: float, progress: Progress) -> None:
    """Let it work; a wave that has ended is asked for again."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0.0:
        world.wait(min(left, 2.0))
        if not world.working() and end - time.monotonic() > 3.0:
            world.bring_to_work(min(end - time.monotonic(), 10.0))
        progress(1.0 - max(left, 0.0) / seconds)


def _percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share)) if values else float("nan")
