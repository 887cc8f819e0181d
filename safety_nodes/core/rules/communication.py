"""How fast the two topics that motion hangs on really come, in messages per second over one second.

`ingest/robot_state` against its nominal rate (share; less is worse: half the samples are half the reaction),
`vla/joint_command` against `command_rate_*` (more is worse: a burst or a loop that runs away fills queues). The gate
says how old the permit was that it used last: WARNING when it does not hear this monitor. What was lost on the way, and
ticks that the gate missed, are `queues`; who speaks at all is `publisher`; silence is `staleness` and `gate_silence`.
"""

from __future__ import annotations

from safety_nodes.core.history import Rate
from safety_nodes.core.rules.staleness import silent
from safety_nodes.core.severity import CAUTION, WARNING, grade
from safety_nodes.core.types import Finding, Tick

STATE, COMMAND, GATE = "ingest/robot_state", "vla/joint_command", "safety/gate"
COUNTED = (STATE, COMMAND)
WINDOW = 1.0
FRESH = 0.5  # s: safety/gate comes ten times a second


def check(x: Tick) -> list[Finding]:
    return [*_rates(x), *_gate(x)]


def _rates(x: Tick) -> list[Finding]:
    rates, found = x.memory.history.rates, []
    for topic, count in x.inputs.heard or ():  # a recording does not say how often something came
        rates.setdefault(topic, Rate(WINDOW)).add(x.now_ns, count)
    nominal = next((s.rate for s in x.robot.sources.values() if s.kind == "joints"), 0.0)
    rate = rates[STATE].value(x.now_ns) if STATE in rates else None
    if rate is not None and nominal > 0.0 and x.state is not None:
        steps = (-x.config.state_rate_caution, -x.config.state_rate_warning)
        found += _finding(STATE, rate, -rate / nominal, steps, nominal)
    rate = rates[COMMAND].value(x.now_ns) if COMMAND in rates else None
    if rate is not None:
        found += _finding(COMMAND, rate, rate, (x.config.command_rate_caution, x.config.command_rate_warning), 1.0)
    return found


def _gate(x: Tick) -> list[Finding]:
    gate, limit = x.inputs.gate, 3.0 * x.config.permit_validity
    if gate is None or gate.value is None or silent(gate.mono_ns, x.now_ns, FRESH):
        return []
    age = gate.value.permit_age
    if age <= limit or gate.value.reason != "NO_PERMIT":
        return []
    return [Finding("NO_PERMIT", GATE, age, limit, WARNING)]


def _finding(topic: str, rate: float, value: float, steps: tuple[float, float], unit: float) -> list[Finding]:
    severity = min(grade(value, steps), WARNING)
    if severity <= 0.0:
        return []
    limit = steps[1] if severity >= WARNING else steps[0]
    return [Finding("RATE", topic, rate, abs(limit) * unit, max(severity, CAUTION))]
