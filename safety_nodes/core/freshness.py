"""How old what the monitor heard is, and whether it may be believed.

Silence is time since arrival on the monotonic clock. Age is monotonic time since the capture that a stamp names
(``SteadyStamps``): setting the wall clock ages nothing, and makes nothing younger.
"""

from __future__ import annotations

from humanoid_core.timing import NS
from humanoid_core.types import TwinState, TwinStatus
from safety_nodes.core.types import Tick


def age(x: Tick, stamp_ns: int) -> float:
    """Seconds since the capture; negative: ahead of now."""
    return (x.now_ns - x.memory.stamps.mono_of(stamp_ns)) / NS


def age_reason(x: Tick, stamp_ns: int, limit: float) -> str:
    """Reason code of a stamp that is zero, ahead, or older than ``limit`` s; '' when it may be used."""
    return x.memory.stamps.age_reason(stamp_ns, int(limit * NS))


def twin(x: Tick) -> TwinState | None:
    """The twin's state while it speaks, calls itself well, and speaks of the present."""
    received, limit = x.inputs.twin, x.config.twin_timeout
    if received is None or received.value is None or received.silent(x.now_ns, limit):
        return None
    if received.value.status != TwinStatus.OK or age_reason(x, received.value.stamp_ns, limit):
        return None
    return received.value
