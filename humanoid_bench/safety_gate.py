"""inline_fault_to_safe_*_ms: a bad command at the gate until a safe one leaves it, through real processes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from humanoid_bench.measured import Measured, Options, Progress, percentiles
from humanoid_bench.rig import ELBOW
from humanoid_bench.safety_world import safety_world
from humanoid_cli.figures import Figure
from humanoid_core.timing import NS
from humanoid_core.types import JointCommand


def _nan(c: JointCommand) -> JointCommand:
    return replace(c, position=np.full(len(c.position), np.nan))


def _limit(c: JointCommand) -> JointCommand:
    position = c.position.copy()
    position[ELBOW] = 9.0
    return replace(c, position=position)


KINDS: dict[str, Callable[[JointCommand], JointCommand]] = {"nan": _nan, "limit": _limit}
NOTE = ("real command_gate and safety_monitor, the rest played by a rig in the measuring process: from just before the "
        "bad command (NaN, past a limit) is published by the policy's own sender, at a random phase, to the arrival of "
        "the first command of the gate that belongs to no motion any more; both ways through the middleware and this "
        "Python process are inside. 'stale': the policy falls silent; from when its last command is older than the "
        "limit to the gate's word that it brakes")
STALE_MS = 60.0  # GateParams.command_max_age


def measure(options: Options, progress: Progress) -> Measured:
    n = options.samples or (8 if options.quick else 100)
    times: dict[str, list[float]] = {"nan": [], "limit": [], "stale": []}
    missed = 0
    rng = random.Random(1)
    with safety_world() as world:
        for k in range(3 * n):
            kind = ("nan", "limit", "stale")[k % 3]
            if not world.move():
                missed += 1
                continue
            world.rig.shift(rng.uniform(0.0, 0.01))
            time.sleep(0.03)
            took = _stale(world) if kind == "stale" else _bad(world, KINDS[kind])
            if took is None:
                missed += 1
            else:
                times[kind].append(took)
            progress((k + 1) / (3 * n))
    every = [t for values in times.values() for t in values]
    figures = {**percentiles("inline_fault_to_safe_%s_ms", every, aim=5.0),
               "inline_fault_missed": Figure(missed, "", 0, 3 * n)}
    for kind, values in times.items():
        figures.update(percentiles(f"inline_{kind}_to_safe_%s_ms", values))
    return Measured(figures, {f"inline_{k}_ms": v for k, v in times.items()}, NOTE)


def _bad(world, change) -> float | None:  # type: ignore[no-untyped-def]
    """Published in the rig's own rhythm: one bad command, then silence."""
    rig, at, done = world.rig, list[int](), threading.Event()
    good = rig.command

    def command(t: float) -> JointCommand | None:
        if done.is_set():
            return None
        done.set()
        made = change(good(t))
        at.append(time.monotonic_ns())
        return made

    rig.command = command
    if not world.wait(1.0, lambda: bool(at)):
        return None
    return world.safe_after_ms(at[0])


def _stale(world) -> float | None:  # type: ignore[no-untyped-def]
    rig, last, good = world.rig, list[int](), world.rig.command
    silent = threading.Event()

    def command(t: float) -> JointCommand | None:
        if silent.is_set():
            return None
        last[:] = [time.monotonic_ns()]
        return good(t)

    rig.command = command
    world.wait(0.05, lambda: False)
    silent.set()
    found: list[int] = []

    def seen() -> bool:
        found[:] = [h.mono_ns for h in rig.since("safety/gate", last[0]) if h.value.state != "passing"][:1]
        return bool(found)

    if not world.wait(2.0, seen):
        return None
    return max((found[0] - last[0]) / NS * 1e3 - STALE_MS, 0.0)
