"""tick_lateness_ratio: the monitor's loop beside a plain loop, both with absolute wake-ups, in turn in the same run."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import humanoid_replay.stages as stages
from humanoid_bench.faults.house import House
from humanoid_bench.measured import Measured, Options, Progress, percentiles
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS, Metronome
from humanoid_ros.realtime import raise_priority

PERIOD_NS = NS // 100
SLICE = 2.0  # s before the other loop has its turn
NOTE = ("one thread, 100 Hz, absolute wake-ups, real-time priority where it may be had ({priority}); in turn for "
        f"{SLICE:g} s each: a loop that evaluates the monitor's core on inputs recorded from moving arms, and one that "
        "does nothing; lateness of each wake-up, ratio of the two p99")


def measure(options: Options, progress: Progress) -> Measured:
    slices = 6 if options.quick else 60
    work = _work()
    late: dict[str, list[float]] = {"monitor": [], "plain": []}
    said: list[str] = []

    def run() -> None:
        said.append(raise_priority() or "yes")
        for k in range(slices):
            name = ("monitor", "plain")[k % 2]
            late[name] += _loop(work if name == "monitor" else None)
            progress((k + 1) / slices)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # as in a node
    gc.collect()
    gc.freeze()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    gc.unfreeze()
    sys.setswitchinterval(switch)
    ratio = float(np.percentile(late["monitor"], 99) / max(np.percentile(late["plain"], 99), 1e-6))
    figures = {"tick_lateness_ratio": Figure(round(ratio, 3), "", 1.5, len(late["monitor"])),
               **percentiles("tick_lateness_monitor_%s_ms", late["monitor"]),
               **percentiles("tick_lateness_plain_%s_ms", late["plain"])}
    return Measured(figures, {f"lateness_{k}_ms": v for k, v in late.items()}, NOTE.format(priority=said[0]))


def _work() -> Callable[[int], None]:
    """Evaluate recorded inputs, one set after the other, again and again."""
    recorded: list[tuple[Any, ...]] = []
    evaluate = stages.evaluate

    def record(*args: Any) -> Any:
        recorded.append(args)
        return evaluate(*args)

    with House(load_robot("g1")) as house:
        house.wait(2.0)
        stages.evaluate = record  # type: ignore[assignment]
        try:
            house.wait(2.0)
        finally:
            stages.evaluate = evaluate
    return lambda k: evaluate(*recorded[k % len(recorded)]) and None  # type: ignore[func-returns-value]


def _loop(work: Callable[[int], None] | None) -> list[float]:
    metronome = Metronome(PERIOD_NS, time.monotonic_ns())
    late = []
    for k in range(round(SLICE * NS / PERIOD_NS)):
        wait = metronome.next_ns - time.monotonic_ns()
        if wait > 0:
            time.sleep(wait / NS)
        metronome.tick(time.monotonic_ns())
        late.append(metronome.lateness_ns / 1e6)
        if work is not None:
            work(k)
    return late
