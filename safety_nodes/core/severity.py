"""Severity, one scale for every rule: 0.25 CAUTION, 0.5 WARNING, 0.75 DANGER, 1.0 EMERGENCY."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from humanoid_core.robot_model import Array
from humanoid_core.types import Level
from safety_nodes.core.types import Finding

CAUTION, WARNING, DANGER, EMERGENCY = 0.25, 0.5, 0.75, 1.0
_SHOWN = 3  # joints named by one rule


def level_of(severity: float) -> Level:
    """The level whose band holds `severity`; NaN counts as EMERGENCY."""
    if not severity < EMERGENCY:
        return Level.EMERGENCY
    return Level(max(int(severity / 0.25), 0))


def grade(value: float, steps: Sequence[float]) -> float:
    """Severity of a value that is worse the larger it is; `steps` = where CAUTION, WARNING, DANGER (and, when a
    fourth is given, EMERGENCY) begin. Linear inside a band, so it also says how near the next one is. NaN
    counts as DANGER."""
    if value < steps[0]:
        return 0.0
    if not value >= steps[0]:
        return DANGER
    for k in range(1, len(steps)):
        if value < steps[k]:
            share = (value - steps[k - 1]) / (steps[k] - steps[k - 1])
            return 0.25 * k + 0.2499 * share
    return 0.25 * len(steps)


def over(code: str, names: Sequence[str], values: Array, steps: Sequence[float], unit: float = 1.0) -> list[Finding]:
    """Findings for the worst of `values`, one per name; empty when all lie below the first step. `unit` scales
    value and limit for the report."""
    if bool((values < steps[0]).all()):
        return []
    worst = np.argsort(-np.nan_to_num(values, nan=np.inf))[:_SHOWN]
    found = []
    for i in worst:
        severity = grade(float(values[i]), steps)
        if severity > 0.0:
            limit = steps[min(int(severity / 0.25), len(steps)) - 1]
            found.append(Finding(code, names[i], float(values[i]) * unit, limit * unit, severity))
    return found
