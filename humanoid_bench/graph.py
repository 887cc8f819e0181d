"""`humanoid-twin bench graph`: the whole graph of the simulated robot in real time, seen from outside."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import psutil
import rclpy

from humanoid_bench.front import Bench
from humanoid_bench.measured import Measured, Options, Progress, percentiles
from humanoid_cli.asker import Asker
from humanoid_cli.figures import Figure
from humanoid_cli.measure import AIM_CORES, SILENT, rate_ok
from humanoid_cli.session import Cpu, own_domain
from humanoid_cli.supervisor import Supervisor
from humanoid_core.graph import load_graph
from humanoid_core.latency import SensorToCommand
from humanoid_core.types import Level
from humanoid_ros.head import stamp_ns
from humanoid_ros.watcher import Rate, Watcher, own_context

BENCH = Bench("graph", {"graph": ("humanoid_bench.graph", "graph")})

#: From a sensor's sample to the command that knew it, ms; and what memory may grow by, MiB per hour.
AIM_LATENCY, AIM_GROWTH = 15.0, 10.0
MINUTES, QUICK_MINUTES = 10.0, 0.5
SETTLE = 5.0  # s of acting before anything is counted
READY = 90.0  # s
LEAST_GROWTH = 60.0  # s that must be seen before anything is said of growth
LOOK = 5.0  # s between two looks at the processes
INSTRUCTION = "wave with your right hand"
STATES, COMMANDS = "ingest/robot_state", "robot/joint_command"
NOTE = ("the graph 'sim' with camera and policy, which waves again and again, started and ended by the bench, "
        "{minutes:g} min; sensor_to_command: arrival of a robot command at a process beside the graph, minus the "
        "capture of the newest measurement that had arrived there when the gate had taken its inputs (the command's "
        "own stamp); cores and memory (proportional set size) of the nodes' processes; growth: slope of a straight "
        "line through the memory of the second half, from two minutes on; the process that measures runs beside it on "
        "the same cores")


class Tap:
    """A sink of a Watcher: latencies and levels from the raw messages, while ``open``."""

    def __init__(self) -> None:
        self.open = False
        self.latencies: list[float] = []
        self._latency = SensorToCommand()

    def write(self, topic: str, message_type: str, stamp_ns_: int, data: bytes) -> None:
        if topic == STATES:
            self._latency.state(stamp_ns_, stamp_ns(data))
        elif topic == COMMANDS:
            seconds = self._latency.command(stamp_ns_, stamp_ns(data))
            if seconds is not None and self.open:
                self.latencies.append(1e3 * seconds)


@dataclass
class Seen:
    """What the bench saw while it counted. ``memory``: (s since the start, MiB by node)."""

    rates: list[Rate] = field(default_factory=list)
    cores: dict[str, float] = field(default_factory=dict)
    own_cores: float = float("nan")
    memory: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    levels: Counter[str] = field(default_factory=Counter)
    overruns: dict[str, int] = field(default_factory=dict)
    deaths: list[str] = field(default_factory=list)
    asked: int = 0


def graph(options: Options, progress: Progress) -> Measured:
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    tap = Tap()
    with own_domain():
        environment = {"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
        with (Supervisor(load_graph("sim"), lambda node, line: None, environment=environment) as supervisor,
              _outside(tap) as (watcher, asker)):
            _ready(supervisor, watcher, asker)
            seen = _watch(supervisor, watcher, asker, tap, 60.0 * minutes, progress)
    return Measured(figures(seen, tap.latencies), {"sensor_to_command_ms": tap.latencies}, NOTE.format(minutes=minutes))


@contextmanager
def _outside(tap: Tap) -> Iterator[tuple[Watcher, Asker]]:
    context = own_context()
    watcher, asker = Watcher(context, sink=tap), Asker(context)
    watcher.start()
    try:
        yield watcher, asker
    finally:
        watcher.stop()
        asker.close()
        rclpy.shutdown(context=context)


def _ready(supervisor: Supervisor, watcher: Watcher, asker: Asker) -> None:
    """The robot has leave to move, and the policy takes instructions."""
    end = time.monotonic() + READY
    while True:
        supervisor.poll()
        asker.spin()
        status = watcher.latest("safety/status")
        if asker.ready and status is not None and status.level <= Level.CAUTION and watcher.count(COMMANDS):
            return
        if supervisor.failure is not None:
            raise RuntimeError(f"{supervisor.failure}: {supervisor.last_line(supervisor.failure.node)}")
        if time.monotonic() > end:
            raise RuntimeError(f"the graph did not come to work in {READY:g} s: {status and status.cause}")
        time.sleep(0.1)


def _watch(supervisor: Supervisor, watcher: Watcher, asker: Asker, tap: Tap, seconds: float,
           progress: Progress) -> Seen:
    """Let it wave; count from ``SETTLE`` on."""
    seen, cpu, own = Seen(), Cpu(), Cpu()
    began = time.monotonic()
    _ask(asker, seen)
    while time.monotonic() - began < SETTLE:
        asker.spin()
        time.sleep(0.02)
    cpu.mark(supervisor.pids())
    own.mark({"own": os.getpid()})
    at_start, begin, begin_ns, looked = _overruns(watcher), time.monotonic(), time.time_ns(), 0.0
    tap.open = True
    while (passed := time.monotonic() - begin) < seconds:
        asker.spin()
        seen.deaths += [str(e) for e in supervisor.poll() if e.kind == "ended"]
        if asker.answer is not None:
            _ask(asker, seen)
        if passed - looked >= min(LOOK, seconds / 10.0) or not seen.memory:
            looked = passed
            seen.memory.append((passed, memory(supervisor.pids())))
            progress(passed / seconds)
        status = watcher.latest("safety/status")
        if status is not None:
            seen.levels[status.level.name] += 1
        time.sleep(0.05)
    tap.open = False
    cpu.sample(supervisor.pids())
    own.sample({"own": os.getpid()})
    seen.cores, seen.own_cores = cpu.shares(), own.shares()["own"]
    seen.rates = watcher.rates(begin_ns, time.time_ns())
    seen.overruns = {node: count - at_start.get(node, 0) for node, count in _overruns(watcher).items()}
    return seen


def _ask(asker: Asker, seen: Seen) -> None:
    asker.answer = None
    asker.ask(INSTRUCTION, 60.0)
    seen.asked += 1


def _overruns(watcher: Watcher) -> dict[str, int]:
    rows = {"safety_monitor": watcher.latest("safety/status"), "command_gate": watcher.latest("safety/gate")}
    return {node: row.overruns for node, row in rows.items() if row is not None}


def memory(pids: dict[str, int]) -> dict[str, float]:
    """Proportional set size of each process in MiB (shared pages are divided among those who share them)."""
    out = {}
    for name, pid in pids.items():
        try:
            out[name] = psutil.Process(pid).memory_full_info().pss / 2**20
        except psutil.Error:
            continue
    return out


def growth(samples: list[tuple[float, dict[str, float]]]) -> float:
    """MiB per hour of all nodes together: slope of a straight line through the second half; NaN when that is less than
    a minute or three looks, in which nodes still settle."""
    half = [(t, sum(nodes.values())) for t, nodes in samples[len(samples) // 2 :]]
    if len(half) < 3 or half[-1][0] - half[0][0] < LEAST_GROWTH:
        return float("nan")
    t, mib = np.array(half).T
    return float(3600.0 * np.polyfit(t, mib, 1)[0])


def figures(seen: Seen, latencies: list[float]) -> dict[str, Figure]:
    """The table's rows."""
    rows = percentiles("sensor_to_command_%s_ms", latencies, aim=AIM_LATENCY)
    rows["graph_cores"] = Figure(round(sum(seen.cores.values()), 3), "cores", AIM_CORES)
    rows |= {f"{name}_cores": Figure(round(share, 3), "cores") for name, share in seen.cores.items()}
    rows["watcher_cores"] = Figure(round(seen.own_cores, 3), "cores")
    if seen.memory:
        last = seen.memory[-1][1]
        rows["graph_memory"] = Figure(round(sum(last.values()), 1), "MiB", None, len(seen.memory))
        rows |= {f"{name}_memory": Figure(round(mib, 1), "MiB") for name, mib in last.items()}
        if np.isfinite(slope := growth(seen.memory)):
            rows["graph_growth"] = Figure(round(slope, 2), "MiB/h", AIM_GROWTH, len(seen.memory))
    aimed = [r for r in seen.rates if r.aim is not None and not (r.count == 0 and r.topic in SILENT)]
    rows["rates_off"] = Figure(sum(not rate_ok(r) for r in aimed), "", 0, len(aimed))
    rows |= {f"rate {r.topic}": Figure(round(r.hz, 2), "Hz", None, r.count) for r in aimed}
    rows |= {f"{node}_overruns": Figure(count, "", None) for node, count in seen.overruns.items()}
    looks = sum(seen.levels.values())
    calm = sum(count for name, count in seen.levels.items() if name in ("SAFE", "CAUTION"))
    rows["at_work_share"] = Figure(round(calm / looks, 4) if looks else float("nan"), "", None, looks)
    rows["instructions"] = Figure(seen.asked, "")
    rows["deaths"] = Figure(len(seen.deaths), "", 0)
    return rows
