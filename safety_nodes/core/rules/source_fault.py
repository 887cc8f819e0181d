"""Sensors that speak but are not to be believed, as ingest reports them: frozen values, two IMUs that disagree, samples
refused. (Silence and age are `staleness`.) A required one without a working backup: DANGER; another: CAUTION.
"""

from __future__ import annotations

from humanoid_core.reasons import REASONS
from safety_nodes.core.rules.staleness import silent
from safety_nodes.core.severity import CAUTION, DANGER
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    health = x.inputs.health
    if health is None or health.value is None or silent(health.mono_ns, x.now_ns, x.config.health_timeout):
        return []
    well = {s.topic for s in health.value.sources if s.state == "ok"}
    found = []
    for s in health.value.sources:
        if s.state not in ("frozen", "refusing"):
            continue
        spec = x.robot.sources.get(s.topic)
        code = s.last_refusal.split(":")[0].split(" ")[0]
        code = "FROZEN" if s.state == "frozen" else code if code in REASONS else "STALE"
        covered = spec is not None and (not spec.required or spec.backup in well)
        found.append(Finding(code, s.topic, s.age_ms * 1e-3, 0.0, CAUTION if covered else DANGER))
    return found
