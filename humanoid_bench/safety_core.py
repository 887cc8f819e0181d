"""core_*_ms: how long the monitor's core takes for one tick, in place, between the physics and the other cores."""

from __future__ import annotations

import gc
import time
from typing import Any

import humanoid_replay.stages as stages
from humanoid_bench.faults.house import House
from humanoid_bench.measured import Measured, Options, Progress, percentiles
from humanoid_core.robot import load_robot

NOTE = ("monitor.evaluate with every rule (29 joints, self-collision and environment distance where the rule set has "
        "them), timed inside the house in lockstep while an arm moves; physics and the other cores run between two "
        "calls, so caches are as cold as in a node; the collector is frozen after the start as in the node; "
        "core_cpu: processor time of the same calls, in which what else the machine does is not counted")


def measure(options: Options, progress: Progress) -> Measured:
    ticks = 800 if options.quick else 12_000
    times: list[float] = []
    cpu: list[float] = []
    evaluate = stages.evaluate

    def timed(*args: Any) -> Any:
        begin, used = time.perf_counter_ns(), time.thread_time_ns()
        verdict = evaluate(*args)
        cpu.append((time.thread_time_ns() - used) / 1e6)
        times.append((time.perf_counter_ns() - begin) / 1e6)
        return verdict

    with House(load_robot("g1")) as house:
        house.wait(3.0)
        gc.collect()
        gc.freeze()
        stages.evaluate = timed  # type: ignore[assignment]
        try:
            while len(times) < ticks:
                house.wait(1.0)
                house.forget()
                progress(len(times) / ticks)
        finally:
            stages.evaluate = evaluate
            gc.unfreeze()
    figures = {**percentiles("core_%s_ms", times, aim=1.0), **percentiles("core_cpu_%s_ms", cpu)}
    return Measured(figures, {"core_ms": times, "core_cpu_ms": cpu}, NOTE)
