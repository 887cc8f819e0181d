"""Emergency stop: any source pressed, if only for a moment, or seen once and silent for longer than the timeout:
EMERGENCY, latched. A required source that was never heard, or has left: DANGER, because every start and every
restart of the monitor begins so; nothing moves until it is there, and no reset lets go of a latch.
"""

from __future__ import annotations

from humanoid_core.timing import NS
from safety_nodes.core.severity import DANGER, EMERGENCY
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    stops, timeout = x.memory.stops, x.config.estop_timeout
    pressed = stops.pressed(x.now_ns, int(timeout * NS))
    shown = {source for source, _ in pressed}
    pressed += [(source, silence) for source, silence in stops.tapped() if source not in shown]
    found = [Finding("ESTOP", source, silence, timeout, EMERGENCY) for source, silence in pressed]
    return found + [Finding("ESTOP", not_there(name), 0.0, timeout, DANGER)
                    for name in stops.missing(x.config.required_stop_sources)]


def not_there(name: str) -> str:
    """What to say, and to do, about a required source that is missing."""
    return f"{name}, a required stop source, is not there; start it (humanoid-twin estop --source {name})"
