"""The policy's own confidence (0..1) while it acts: below `confidence_low` the robot goes on at half speed (CAUTION),
until it has been above for `recovery_dwell`. NaN counts as low. What a policy says of itself can only slow it down.
"""

from __future__ import annotations

from humanoid_core.timing import NS
from safety_nodes.core.rules.staleness import silent
from safety_nodes.core.severity import CAUTION
from safety_nodes.core.types import Finding, Tick

FRESH = 1.0  # s: vla/status comes ten times a second


def check(x: Tick) -> list[Finding]:
    policy, memory, low = x.inputs.policy, x.memory.recovery, x.config.confidence_low
    if policy is None or policy.value is None or silent(policy.mono_ns, x.now_ns, FRESH):
        return []
    acting, confidence = policy.value.state == "acting", policy.value.confidence
    if acting and not confidence >= low:
        memory.unsure_ns = x.now_ns
    elif memory.unsure_ns is None or not acting or x.now_ns - memory.unsure_ns > x.config.recovery_dwell * NS:
        memory.unsure_ns = None
        return []
    return [Finding("UNCERTAIN", policy.value.policy_id or "policy", confidence, low, CAUTION)]
