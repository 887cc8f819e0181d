"""tick_fault_to_safe_*_ms: a fault that the monitor's tick sees, until a safe command leaves the gate."""

from __future__ import annotations

import random
import time

import numpy as np

from humanoid_bench.measured import Measured, Options, Progress, percentiles
from humanoid_bench.rig import ROBOT
from humanoid_bench.safety_world import SafetyWorld, safety_world
from humanoid_cli.figures import Figure

NOTE = ("real safety_monitor and command_gate beside a rig: from when a joint is 0.3 rad past its limit (a hard limit, "
        "every sample counts; the next state, up to 5 ms later, shows it) to the arrival of the gate's first command "
        "that belongs to no motion any more; monitor's and gate's tick, 10 ms each, are inside")


def measure(options: Options, progress: Progress) -> Measured:
    n = options.samples or (8 if options.quick else 150)
    times, missed, rng = list[float](), 0, random.Random(2)
    with safety_world() as world:
        for k in range(n):
            if world.move():
                world.rig.shift(rng.uniform(0.0, 0.01))
                time.sleep(0.03)
                took = _past_limit(world)
                times += [] if took is None else [took]
                missed += took is None
            else:
                missed += 1
            progress((k + 1) / n)
    return Measured({**percentiles("tick_fault_to_safe_%s_ms", times, aim=15.0),
                     "tick_fault_missed": Figure(missed, "", 0, n)}, {"tick_fault_ms": times}, NOTE)


def _past_limit(world: SafetyWorld) -> float | None:
    rig = world.rig
    q = rig.q.copy()
    leg = ROBOT.index("right_knee_joint")
    q[leg] = ROBOT.upper[leg] + 0.3
    begin = time.monotonic_ns()
    rig.state_changes = {"position": np.array(q)}
    return world.safe_after_ms(begin)
