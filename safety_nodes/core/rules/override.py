"""A human override holds the robot. A lost link keeps holding: only a heartbeat that says 'not active' lets go."""

from __future__ import annotations

from humanoid_core.timing import NS
from safety_nodes.core.severity import DANGER
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    override = x.inputs.override
    if override is None or (override.value is not None and not override.value.active):
        return []
    who = override.value.operator if override.value is not None else "unreadable"
    silence = (x.now_ns - override.mono_ns) / NS
    return [Finding("OVERRIDE", who, silence, x.config.override_timeout, DANGER)]
