"""Messages that were lost on the way, and periods that the gate missed, within one second.

`ingest/robot_state` is numbered: lost is by how much its number grew beyond the messages that came, because a queue
overflowed or the network dropped them. A state that a newer one replaced before anybody opened it did come; what was
not sent, or not for so long that `staleness` says so, is not lost. Overruns are the periods in which the gate had no
tick (safety/gate counts them since its start). Neither is a danger yet, but less room until there is one: CAUTION.
Of a recording nobody knows what came, and losses are not judged. Counted over a second, so no k of n is needed.
"""

from __future__ import annotations

from safety_nodes.core.rules.communication import GATE, STATE
from safety_nodes.core.severity import CAUTION
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    return [*_lost(x), *_overruns(x)]


def _lost(x: Tick) -> list[Finding]:
    if x.inputs.heard is None:
        return []
    received, losses = x.inputs.state, x.memory.history.lost
    seq = received.value.seq if received is not None and received.value is not None else None
    if received is not None and received.silent(x.now_ns, x.config.state_timeout):
        losses.forget()
        seq = None
    losses.add(x.now_ns, seq, dict(x.inputs.heard).get(STATE, 0))
    count, limit = float(losses.count), x.config.lost_caution
    return [Finding("LOST", STATE, count, limit, CAUTION)] if count >= limit else []


def _overruns(x: Tick) -> list[Finding]:
    gate, missed = x.inputs.gate, x.memory.history.overruns
    missed.add(x.now_ns, gate.value.overruns if gate is not None and gate.value is not None else None)
    count, limit = float(missed.count), x.config.overruns_caution
    return [Finding("OVERRUN", f"{GATE}, periods missed", count, limit, CAUTION)] if count >= limit else []
