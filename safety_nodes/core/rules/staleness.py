"""Silence and age. Silence: time since arrival. Age: time since capture. Both on the monotonic clock, which nobody sets
(core/freshness.py).

Robot state missing, silent, old or ahead: DANGER. Twin or health report missing, or a twin that speaks of another time:
WARNING, the robot can still be watched.
A required sensor that is not well: DANGER; one whose backup stands in, or an optional one: CAUTION.
"""

from __future__ import annotations

from humanoid_core.timing import NS
from humanoid_core.types import TwinStatus
from safety_nodes.core.freshness import age, age_reason
from safety_nodes.core.severity import CAUTION, DANGER, WARNING
from safety_nodes.core.types import Finding, Tick

NEVER = float("inf")


def silent(mono_ns: int, now_ns: int, timeout: float) -> bool:
    """Nothing came for `timeout` seconds."""
    return now_ns - mono_ns > timeout * NS


def check(x: Tick) -> list[Finding]:
    return [*_state(x), *_sensors(x), *_health(x), *_twin(x)]


def _state(x: Tick) -> list[Finding]:
    state, limit = x.inputs.state, x.config.state_timeout
    if state is None or state.value is None:
        return [Finding("NEVER_SEEN", "ingest/robot_state", NEVER, limit, DANGER)]
    if silent(state.mono_ns, x.now_ns, limit):
        return [Finding("STALE", "ingest/robot_state", (x.now_ns - state.mono_ns) / NS, limit, DANGER)]
    stamp, limit = state.value.stamp_ns, x.config.state_max_age
    code = age_reason(x, stamp, limit)
    return [Finding(code, "ingest/robot_state", age(x, stamp), limit, DANGER)] if code else []


def _sensors(x: Tick) -> list[Finding]:
    if x.state is None:
        return []
    found = []
    for topic in x.state.stale_sources:
        source = x.robot.sources.get(topic)
        covered = source is not None and source.backup is not None and source.backup == x.state.imu_source
        bad = source is not None and source.required and not covered
        limit = source.max_age_ms * 1e-3 if source is not None else 0.0
        found.append(Finding("BACKUP_ACTIVE" if covered else "STALE", topic, NEVER, limit, DANGER if bad else CAUTION))
    return found


def _health(x: Tick) -> list[Finding]:
    health, limit = x.inputs.health, x.config.health_timeout
    if health is None or health.value is None:
        return [Finding("NEVER_SEEN", "ingest/sensor_health", NEVER, limit, DANGER)]
    if silent(health.mono_ns, x.now_ns, limit):
        return [Finding("STALE", "ingest/sensor_health", (x.now_ns - health.mono_ns) / NS, limit, WARNING)]
    fine = health.value.all_required_ok
    found = []
    for s in health.value.sources:
        source = x.robot.sources.get(s.topic)
        if s.backup:
            found.append(Finding("BACKUP_ACTIVE", s.topic, s.age_ms * 1e-3, 0.0, CAUTION))
        elif not fine and source is not None and source.required and s.state != "ok":
            code = "NEVER_SEEN" if s.state == "waiting" else "STALE"
            found.append(Finding(code, s.topic, s.age_ms * 1e-3, source.max_age_ms * 1e-3, DANGER))
    if not fine and all(f.severity < DANGER for f in found):
        found.append(Finding("STALE", "ingest/sensor_health", 0.0, 0.0, DANGER))
    return found


def _twin(x: Tick) -> list[Finding]:
    twin, limit = x.inputs.twin, x.config.twin_timeout
    if twin is None or twin.value is None:
        return [Finding("NO_TWIN", "twin/state", NEVER, limit, WARNING)]
    if silent(twin.mono_ns, x.now_ns, limit):
        return [Finding("NO_TWIN", "twin/state", (x.now_ns - twin.mono_ns) / NS, limit, WARNING)]
    # It speaks, but of which measurement?
    stamp, status = twin.value.stamp_ns, twin.value.status
    code = age_reason(x, stamp, limit)
    if status == TwinStatus.WAITING or (status == TwinStatus.STALE and code):
        return [Finding("NO_TWIN", f"twin/state {status.name}", age(x, stamp), limit, WARNING)]
    return [Finding(code, "twin/state", age(x, stamp), limit, WARNING)] if code else []
