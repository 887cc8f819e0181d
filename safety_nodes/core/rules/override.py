"""A human override. Hold: DANGER. Jog with a fresh heartbeat: WARNING, so that no policy's motion begins and joints
move at most at the share that WARNING leaves; the gate refuses the policy meanwhile. A link that is lost holds, and
goes on holding: only a heartbeat that says 'not active' lets go.
"""

from __future__ import annotations

from humanoid_core.timing import NS
from safety_nodes.core.severity import DANGER, WARNING
from safety_nodes.core.types import Finding, Tick

JOG = 1


def check(x: Tick) -> list[Finding]:
    override = x.inputs.override
    if override is None or (override.value is not None and not override.value.active):
        return []
    who = override.value.operator if override.value is not None else "unreadable"
    silence = (x.now_ns - override.mono_ns) / NS
    jogs = override.value is not None and override.value.mode == JOG and silence <= x.config.override_timeout
    return [Finding("OVERRIDE", who, silence, x.config.override_timeout, WARNING if jogs else DANGER)]
