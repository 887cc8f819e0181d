"""What the robot goes on without: announced, bounded, reversible.

A joint that the robot file lists with ``actuator_lost: remove`` leaves the controlled set when its drive reports a
fault or it does not follow its command; what would have been WARNING or DANGER becomes CAUTION, and the gate lets the
joint yield. It comes back when the fault has been gone for `recovery_dwell` *and* a person resets: without the motor's
work a tracking error vanishes by itself, and a drive that fails now and then must not come back now and then. The
reset makes the gate take up the measured pose, so the joint re-enters from where it is. At most `recovery.at_most`
joints are out at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from humanoid_core.timing import NS
from safety_nodes.core.severity import CAUTION, WARNING
from safety_nodes.core.types import Finding, Tick

#: Codes of findings that say a recovery is at work.
RECOVERIES = {
    "BACKUP_ACTIVE": "a backup sensor stands in",
    "ESTIMATED": "the twin's estimate stands in for a joint's sensor",
    "ACTUATOR_REMOVED": "a joint is out of the controlled set",
    "UNCERTAIN": "half speed while the policy is not sure",
}
#: What a failed motor brings about; of a removed joint it is no news.
_OF_THE_MOTOR = frozenset({"ACTUATOR_FAULT", "TRACKING", "JOINT_TORQUE", "TWIN_RESIDUAL"})


@dataclass
class Removed:
    """One joint out of the controlled set. ``clear_ns``: since when its fault is gone, None while it lasts."""

    code: str
    value: float
    limit: float
    clear_ns: int | None = None


@dataclass
class RecoveryMemory:
    """Part of the monitor's memory. ``unsure_ns``: when the policy was last not sure."""

    removed: dict[str, Removed] = field(default_factory=dict)
    unsure_ns: int | None = None


def recover(tick: Tick, found: list[Finding]) -> list[Finding]:
    """The findings of one tick with those of removed motors replaced. Changes the memory."""
    removed, spec = tick.memory.recovery.removed, tick.robot.recovery
    if not spec.remove:
        return found
    lost = {f.subject: f for f in found if f.subject in spec.remove and _lost(f)}
    for joint, f in lost.items():
        if joint not in removed and len(removed) < spec.at_most:
            removed[joint] = Removed(f.code, f.value, f.limit)
    if not removed:
        return found
    for joint, entry in removed.items():
        if joint in lost or _unknown(tick):
            entry.clear_ns = None
        elif entry.clear_ns is None:
            entry.clear_ns = tick.now_ns
    kept = [f for f in found if f.code not in _OF_THE_MOTOR or removed.keys().isdisjoint(f.subject.split())]
    return kept + [Finding("ACTUATOR_REMOVED", joint, r.value, r.limit, CAUTION) for joint, r in removed.items()]


def readmit(memory: RecoveryMemory, now_ns: int, dwell: float) -> tuple[str, ...]:
    """At a reset: the joints that come back, because their fault has been gone for `dwell` s."""
    back = tuple(joint for joint, r in memory.removed.items()
                 if r.clear_ns is not None and now_ns - r.clear_ns >= dwell * NS)
    for joint in back:
        del memory.removed[joint]
    return back


def at_work(found: list[Finding]) -> tuple[tuple[str, str], ...]:
    """(code, subject) of the recoveries among the findings, sorted."""
    return tuple(sorted({(f.code, f.subject) for f in found if f.code in RECOVERIES}))


def _lost(f: Finding) -> bool:
    return f.code == "ACTUATOR_FAULT" or (f.code == "TRACKING" and f.severity >= WARNING)


def _unknown(tick: Tick) -> bool:
    """Nobody says whether the drives are well: a fault is not taken to be gone."""
    return tick.inputs.motors is None or "motor_status" in (tick.state.stale_sources if tick.state is not None else ())
