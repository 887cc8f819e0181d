"""tick_fault_to_safe_*_ms: a fault that the monitor's tick sees, until a safe command leaves the gate."""

from __future__ import annotations

import random
import time

import numpy as np

from humanoid_bench.measured import Measured, Options, Progress, percentiles
from humanoid_bench.rig import ROBOT
from humanoid_bench.safety_world import SafetyWorld, safety_world
from humanoid_cli.figures import Figure
from humanoid_core.timing import MS

NOTE = ("real safety_monitor and command_gate beside a rig: from just before the first state is published that shows a "
        "joint 0.3 rad past its limit (a hard limit, every sample counts) to the arrival of the gate's first command "
        "that belongs to no motion any more; the monitor's tick, 10 ms, is inside. joint_fault_to_safe: the same from "
        "when the joint is there, up to 5 ms before the next state of 200 a second shows it")


def measure(options: Options, progress: Progress) -> Measured:
    n = options.samples or (8 if options.quick else 150)
    seen, whole, missed, rng = list[float](), list[float](), 0, random.Random(2)
    with safety_world() as world:
        for k in range(n):
            if world.move():
                world.rig.shift(rng.uniform(0.0, 0.01))
                time.sleep(0.03)
                took = _past_limit(world)
                if took is not None:
                    seen.append(took[0])
                    whole.append(took[1])
                missed += took is None
            else:
                missed += 1
            progress((k + 1) / n)
    return Measured({**percentiles("tick_fault_to_safe_%s_ms", seen, aim=15.0),
                     **percentiles("joint_fault_to_safe_%s_ms", whole),
                     "tick_fault_missed": Figure(missed, "", 0, n)},
                    {"tick_fault_ms": seen, "joint_fault_ms": whole}, NOTE)


def _past_limit(world: SafetyWorld) -> tuple[float, float] | None:
    """ms (from the state that shows it, from when it is there)."""
    rig = world.rig
    q = rig.q.copy()
    leg = ROBOT.index("right_knee_joint")
    q[leg] = ROBOT.upper[leg] + 0.3
    begin = time.monotonic_ns()
    rig.state_changes = {"position": np.array(q)}
    took = world.safe_after_ms(begin)
    return None if took is None else (took - (rig.shown_ns - begin) / MS, took)
