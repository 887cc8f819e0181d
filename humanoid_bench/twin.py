"""`humanoid-twin bench twin`: every figure of the twin, with how it was measured."""

from __future__ import annotations

from humanoid_bench.front import Bench

#: Those in simulated time first.
BENCH = Bench("twin", {
    "estimate": ("humanoid_bench.twin_simulated", "estimate"),
    "base": ("humanoid_bench.twin_simulated", "base"),
    "delay": ("humanoid_bench.twin_simulated", "delay"),
    "prediction": ("humanoid_bench.twin_ahead", "prediction"),
    "replay": ("humanoid_bench.twin_ahead", "replay_twice"),
    "faults": ("humanoid_bench.twin_simulated", "faults"),
    "alarms": ("humanoid_bench.twin_simulated", "alarms"),
    "identification": ("humanoid_bench.twin_simulated", "identification"),
    "graph": ("humanoid_bench.twin_graph", "graph"),
}, larger_is_better=("fault_isolated_share", "interval_coverage", "preview_hz", "replay_same_bytes"),
    bands={"nees_in_band": (0.90, 0.99)})
