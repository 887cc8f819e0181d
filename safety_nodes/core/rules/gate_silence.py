"""The gate was heard once and is silent: time since its last command, in s. The robot then falls back by itself, and
a policy that went on moving would be far away when the gate comes back: DANGER takes its leave.
"""

from __future__ import annotations

from humanoid_core.timing import NS
from safety_nodes.core.severity import DANGER
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    command, limit = x.inputs.command, x.config.gate_timeout
    if command is None or x.now_ns - command.mono_ns <= limit * NS:
        return []
    return [Finding("DIED", "command_gate", (x.now_ns - command.mono_ns) / NS, limit, DANGER)]
