"""`humanoid-twin bench replay`: how fast and how exactly recordings are replayed, and what recording costs."""

from __future__ import annotations

from humanoid_bench.front import Bench

#: Those in one process first.
BENCH = Bench("replay", {
    "hashes": ("humanoid_bench.replay_core", "hashes"),
    "fuzz": ("humanoid_bench.replay_core", "fuzz"),
    "graph": ("humanoid_bench.replay_graph", "graph"),
}, larger_is_better=("replay_speed",))
