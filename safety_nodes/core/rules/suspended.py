"""The monitor itself was held up: time since its last tick, in s. What was heard before is not believed: DANGER for
this tick, so motion starts only after fresh inputs and the dwell.
"""

from __future__ import annotations

from humanoid_core.timing import NS
from safety_nodes.core.severity import DANGER
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    if x.memory.last_tick_ns is None:
        return []
    gap = (x.now_ns - x.memory.last_tick_ns) / NS
    if gap <= x.config.suspend_gap:
        return []
    return [Finding("OVERRUN", "safety_monitor", gap, x.config.suspend_gap, DANGER)]
