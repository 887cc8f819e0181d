"""A joint that does not follow: |q - q_command| in rad, against what the gate sent last.

The error has a floor in normal work: a hand that leans on something lags by torque / kp (up to 0.25 rad at an arm's
torque limit), so the first step lies above that and the check is k-of-n.
"""

from __future__ import annotations

import numpy as np

from safety_nodes.core.rules.staleness import silent
from safety_nodes.core.severity import over
from safety_nodes.core.types import Finding, Tick

FRESH = 0.1  # s: an older command says nothing about where the joint should be


def check(x: Tick) -> list[Finding]:
    command = x.inputs.command
    if x.state is None or command is None or command.value is None or silent(command.mono_ns, x.now_ns, FRESH):
        return []
    names = command.value.joint_names
    index = [x.robot._index.get(name, -1) for name in names]
    if -1 in index or len(command.value.position) != len(names):
        return []  # the rule `command` says so
    error = np.abs(x.state.position[index] - command.value.position)
    return over("TRACKING", names, error, x.config.steps("tracking"))
