"""A human override. Hold: DANGER. Jog with a fresh heartbeat: WARNING, so that no policy's motion begins and joints
move at most at the share that WARNING leaves; the gate refuses the policy meanwhile. A link that is lost holds, and
goes on holding: only the holder's own 'not active' lets go (core/overrides.py).
"""

from __future__ import annotations

from humanoid_core.timing import NS
from humanoid_core.types import OverrideState
from safety_nodes.core.severity import DANGER, WARNING
from safety_nodes.core.types import Finding, Received, Tick

JOG = 1


def check(x: Tick) -> list[Finding]:
    return [_finding(x, held) for held in x.memory.overrides.held()]


def _finding(x: Tick, held: Received[OverrideState]) -> Finding:
    who = held.value.operator if held.value is not None else "unreadable"
    silence = (x.now_ns - held.mono_ns) / NS
    jogs = held.value is not None and held.value.mode == JOG and silence <= x.config.override_timeout
    return Finding("OVERRIDE", who, silence, x.config.override_timeout, WARNING if jogs else DANGER)
