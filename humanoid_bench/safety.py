"""`humanoid-twin bench safety`: every figure of the safety nodes, with how it was measured and its distribution."""

from __future__ import annotations

from humanoid_bench.front import Bench

#: Those in lockstep first.
BENCH = Bench("safety", {
    "core": ("humanoid_bench.safety_core", "measure"),
    "lateness": ("humanoid_bench.safety_lateness", "measure"),
    "injections": ("humanoid_bench.safety_injections", "measure"),
    "alarms": ("humanoid_bench.safety_alarms", "measure"),
    "reaches": ("humanoid_bench.safety_alarms", "reaches"),
    "pushes": ("humanoid_bench.safety_pushes", "measure"),
    "gate": ("humanoid_bench.safety_gate", "measure"),
    "tick": ("humanoid_bench.safety_tick", "measure"),
    "dropouts": ("humanoid_bench.safety_loss", "dropouts"),
    "losses": ("humanoid_bench.safety_loss", "losses"),
    "cpu": ("humanoid_bench.safety_loss", "cpu"),
}, larger_is_better=("push_lead_share",))
