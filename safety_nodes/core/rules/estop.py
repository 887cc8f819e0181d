"""Emergency stop: any source pressed, or seen once and silent for longer than the timeout. EMERGENCY, latched."""

from __future__ import annotations

from humanoid_core.timing import NS
from safety_nodes.core.severity import EMERGENCY
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    pressed = x.memory.stops.pressed(x.now_ns, int(x.config.estop_timeout * NS))
    return [Finding("ESTOP", source, silence, x.config.estop_timeout, EMERGENCY) for source, silence in pressed]
