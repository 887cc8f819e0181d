"""One task from start to end: start a graph, wait until it is ready, ask the policy, watch, end everything.

`demo` and `eval` share it. Nothing is judged or drawn here; what was seen comes back as a `Record`.
"""

from __future__ import annotations

import fcntl
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import rclpy

from humanoid_cli.asker import Answer, Asker
from humanoid_cli.readiness import missing
from humanoid_cli.supervisor import Event, Supervisor
from humanoid_core.graph import Graph
from humanoid_core.types import SimTruth
from humanoid_ros.watcher import Rate, Watcher, own_context

#: What is kept in memory for judging and for the report: (messages, each n-th).
KEEP = {"sim/truth": (20_000, 1), "safety/status": (60_000, 1), "vla/action_chunk": (5_000, 1),
        "vla/status": (6_000, 1), "robot/joint_command": (60_000, 1), "joint_states": (30_000, 4),
        "robot/mode": (6_000, 1), "safety/gate": (6_000, 1)}
PICTURES = {"camera/head/image_raw": (900, 1)}
AFTERMATH = 4.0  # s to go on watching when a node ended
STEADY = 1.0  # s for which a graph must be ready before the task is given
SETTLE = 1.0  # s to go on watching when the task ended


@dataclass(frozen=True)
class Moment:
    """For the live display."""

    phase: str  # starting, acting, aftermath, settling
    since_ask: float
    waiting_for: tuple[str, ...] = ()
    answer: Answer | None = None


@dataclass
class Record:
    """What was seen. Arrival times are wall clock nanoseconds."""

    start_ns: int = 0  # the instruction was given
    end_ns: int = 0
    not_ready: tuple[str, ...] = ()
    ready_after: float = float("nan")  # s from the first process to a ready graph
    answer: Answer | None = None
    deaths: list[tuple[float, Event, str]] = field(default_factory=list)  # s after the instruction, event, last line
    rates: list[Rate] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)  # cores, mean over the window
    own_cpu: float = float("nan")
    seen: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    recording_errors: list[str] = field(default_factory=list)
    interrupted: bool = False
    timed_out: bool = False

    def truths(self) -> list[tuple[int, SimTruth]]:
        return self.seen.get("sim/truth", [])


@contextmanager
def own_domain() -> Iterator[int]:
    """A ROS domain for this run alone, unless ROS_DOMAIN_ID is set; other runs on this machine take others."""
    given = os.environ.get("ROS_DOMAIN_ID")
    if given is not None:
        yield int(given)
        return
    numbers = list(range(1, 100))  # up to 101 every port lies below the ephemeral ones
    random.shuffle(numbers)
    for number in numbers:
        with open(Path(tempfile.gettempdir()) / f"humanoid_twin_domain_{number}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            os.environ["ROS_DOMAIN_ID"] = str(number)
            os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
            try:
                yield number
            finally:
                del os.environ["ROS_DOMAIN_ID"]
            return
    raise RuntimeError("every ROS domain from 1 to 99 is taken on this machine")


class Cpu:
    """Mean CPU share of processes since `mark`, in cores; a process that ended keeps its last value."""

    def __init__(self) -> None:
        self._begin: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._since = time.monotonic()

    def sample(self, pids: dict[str, int]) -> None:
        for name, pid in pids.items():
            try:
                used = psutil.Process(pid).cpu_times()
            except psutil.Error:
                continue
            self._last[name] = used.user + used.system

    def mark(self, pids: dict[str, int]) -> None:
        self.sample(pids)
        self._begin, self._since = dict(self._last), time.monotonic()

    def shares(self) -> dict[str, float]:
        passed = max(time.monotonic() - self._since, 1e-9)
        return {n: (used - self._begin.get(n, 0.0)) / passed for n, used in self._last.items()}


class Session:
    """Runs one task. ``show`` is called about four times a second with (moment, watcher)."""

    def __init__(self, graph: Graph, log: Callable[[str, str], None], show: Callable[[Moment, Watcher], None],
                 stopped: Callable[[], bool] = lambda: False) -> None:
        self.graph, self._log, self._show, self._stopped = graph, log, show, stopped
        self.record = Record()
        self._cpu, self._own = Cpu(), {"self": os.getpid()}
        self._own_cpu = Cpu()

    def run(self, instruction: str, seconds: float, ready_within: float = 90.0, sink: Any = None,
            pictures: bool = True) -> Record:
        """Give `instruction` to a fresh graph and watch for at most `seconds`."""
        keep = {**KEEP, **(PICTURES if pictures else {})}
        context = own_context()
        watcher = Watcher(context, sink=sink, keep={n: k for n, (k, _) in keep.items()},
                          thin={n: e for n, (_, e) in keep.items()})
        asker = Asker(context)
        watcher.start()
        try:
            with Supervisor(self.graph, self._log, respawn=False) as supervisor:
                if self._wait_until_ready(supervisor, watcher, asker, ready_within):
                    self._watch_task(supervisor, watcher, asker, instruction, seconds)
        finally:
            watcher.stop()
            asker.close()
            rclpy.shutdown(context=context)
            self.record.recording_errors = watcher.errors
            self.record.seen = {name: watcher.kept(name) for name in keep}
        return self.record

    def _wait_until_ready(self, supervisor: Supervisor, watcher: Watcher, asker: Asker, limit: float) -> bool:
        began, shown, ready_since = time.monotonic(), 0.0, math.inf
        while True:
            now = time.monotonic()
            asker.spin()
            if self._note_deaths(supervisor, 0):
                return False
            if now - shown >= 0.25:
                shown = now
                lacking = missing(watcher, asker.ready)
                self._show(Moment("starting", 0.0, lacking), watcher)
                ready_since = math.inf if lacking else min(ready_since, now)
                if now - ready_since >= STEADY:
                    self.record.ready_after = now - began
                    return True
                if now - began > limit:
                    self.record.not_ready = lacking
                    return False
            if self._stopped():
                self.record.interrupted = True
                return False
            time.sleep(0.02)

    def _watch_task(self, supervisor: Supervisor, watcher: Watcher, asker: Asker, instruction: str,
                    seconds: float) -> None:
        record, pids = self.record, supervisor.pids()
        self._cpu.mark(pids)
        self._own_cpu.mark(self._own)
        began, record.start_ns = time.monotonic(), time.time_ns()
        asker.ask(instruction, seconds)
        until, phase, shown = began + seconds + 2.0, "acting", 0.0
        while (now := time.monotonic()) < until:
            asker.spin()
            if self._note_deaths(supervisor, began) and phase != "aftermath":
                phase, until = "aftermath", now + AFTERMATH
            if phase == "acting" and asker.answer is not None:
                phase, until = "settling", now + SETTLE
            if now - shown >= 0.25:
                shown = now
                self._cpu.sample(supervisor.pids())
                self._show(Moment(phase, now - began, answer=asker.answer), watcher)
            if self._stopped():
                record.interrupted = True
                break
            time.sleep(0.02)
        record.timed_out = phase == "acting" and not record.interrupted
        record.answer, record.end_ns = asker.answer, time.time_ns()
        self._cpu.sample(supervisor.pids())
        self._own_cpu.sample(self._own)
        record.cpu, record.own_cpu = self._cpu.shares(), self._own_cpu.shares()["self"]
        record.rates = watcher.rates(record.start_ns, record.end_ns)

    def _note_deaths(self, supervisor: Supervisor, began: float) -> bool:
        ended = [e for e in supervisor.poll() if e.kind in ("ended", "refused")]
        for event in ended:
            at = event.at - began if began else float("nan")
            self.record.deaths.append((at, event, supervisor.last_line(event.node)))
        return bool(ended)
