"""Is the twin's robot the monitor's? Each state of the twin names its robot file by hash (SHA-256 of what it and
the model file hold).

With another file the twin's limits, masses and balance are those of another machine. WARNING, as without a twin:
nothing new is begun on it.
"""

from __future__ import annotations

from safety_nodes.core import freshness
from safety_nodes.core.severity import WARNING
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    twin = freshness.twin(x)
    if twin is None or twin.model_hash == x.robot.hash:
        return []
    return [Finding("WRONG_MODEL", f"twin {twin.model_hash[:8]}, monitor {x.robot.hash[:8]}", 1.0, 0.0, WARNING)]
