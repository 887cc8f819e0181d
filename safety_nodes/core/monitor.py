"""The monitor: rules -> severities -> one level, with immediate escalation, slow de-escalation and a latch."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_core.reasons import SETTLING
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import Level, Violation
from safety_nodes.core.config import MonitorConfig
from safety_nodes.core.memory import MAX_NONCES, KOfN, Memory
from safety_nodes.core.posture import choose
from safety_nodes.core.recovery import at_work, readmit, recover
from safety_nodes.core.rules import RULES, Rule, estop
from safety_nodes.core.rules.shape import well_formed
from safety_nodes.core.severity import DANGER, EMERGENCY, level_of
from safety_nodes.core.types import Finding, Inputs, Tick, Verdict

_MOST = 16  # violations in one report


def evaluate(inputs: Inputs, now_ns: int, robot: RobotModel, config: MonitorConfig, memory: Memory,
             rules: tuple[Rule, ...] = RULES) -> Verdict:
    """Judge one tick at monotonic time `now_ns`. Changes `memory`; the same inputs give the same verdicts."""
    memory.stamps.tick(now_ns, inputs.ros_ns)
    memory.stops.hear(inputs.estops, int(config.estop_timeout * NS), memory.latched)
    for said in inputs.overrides:
        memory.overrides.hear(said, config.override_timeout)
    received = inputs.state.value if inputs.state is not None else None
    state = received if received is not None and well_formed(received, robot.n) else None
    tick = Tick(inputs, now_ns, robot, config, memory, state)
    found: list[Finding] = []
    for rule in rules:
        found += _run(rule, tick)
    found = recover(tick, found)
    memory.last_tick_ns = now_ns
    memory.history.keep(state, inputs.command.value if inputs.command is not None else None)
    found.sort(key=lambda f: -f.severity)
    raw = level_of(found[0].severity) if found else Level.SAFE
    _settle(raw, found, now_ns, config, memory)
    level = memory.level
    posture = choose(tick, memory.latched, found)
    return Verdict(
        level=level, raw_level=raw, latched=memory.latched, cause=_cause(found, memory),
        violations=_violations(found, inputs.ros_ns, memory), scale=_scale(level, config),
        accept_new=level <= Level.CAUTION, reset_count=memory.reset_count, posture=posture,
        removed=tuple(sorted(memory.recovery.removed)), recoveries=at_work(found))


def _run(rule: Rule, tick: Tick) -> list[Finding]:
    """A rule's findings after its k-of-n. A rule that fails is a finding, never silence."""
    try:
        found = rule.check(tick)
    except Exception as error:
        text = f"rule {rule.name}: {type(error).__name__}: {error}"
        return [Finding("EXCEPTION", text, 0.0, 0.0, EMERGENCY if rule.stop else DANGER)]
    if rule.n == 1:
        return found
    keep = tick.memory.filters.get(rule.name)
    if keep is None:
        keep = tick.memory.filters[rule.name] = KOfN(rule.k, rule.n)
    return keep(found)


def _settle(raw: Level, found: list[Finding], now_ns: int, config: MonitorConfig, memory: Memory) -> None:
    """Up at once; down one level after each `dwell` in which everything stayed below; EMERGENCY latches."""
    memory.raw_level = raw
    if raw == Level.EMERGENCY and not memory.latched:
        memory.latched, memory.latch_cause = True, _text(found[0])
    if memory.latched:
        memory.level, memory.below_since_ns = Level.EMERGENCY, None
        return
    if raw >= memory.level:
        memory.level, memory.below_since_ns = raw, None
    elif memory.below_since_ns is None:
        memory.below_since_ns = now_ns
    elif now_ns - memory.below_since_ns >= config.dwell * NS:
        memory.level, memory.below_since_ns = Level(memory.level - 1), now_ns


def _scale(level: Level, config: MonitorConfig) -> float:
    return {Level.SAFE: 1.0, Level.CAUTION: config.caution_scale, Level.WARNING: config.warning_scale}.get(level, 0.0)


def _text(finding: Finding) -> str:
    return f"{finding.code}: {finding.subject} {finding.value:.4g} (limit {finding.limit:.4g})"


def _cause(found: list[Finding], memory: Memory) -> str:
    if memory.latched:
        return f"latched by {memory.latch_cause}"
    if found:
        return _text(found[0])
    return SETTLING if memory.level > Level.SAFE else ""


def _violations(found: list[Finding], ros_ns: int, memory: Memory) -> tuple[Violation, ...]:
    """Findings with the ROS time since which each one lasts."""
    if not found:
        memory.since.clear()
        return ()
    shown = found[:_MOST]
    memory.since = {(f.code, f.subject): memory.since.get((f.code, f.subject), ros_ns) for f in shown}
    return tuple(Violation(f.code, f.subject, f.value, f.limit, f.severity, memory.since[(f.code, f.subject)])
                 for f in shown)


def _held(now_ns: int, config: MonitorConfig, memory: Memory) -> str:
    """Which stop sources keep the latch, and the way out; '' when none does."""
    stops, texts = memory.stops, []
    pressed = stops.pressed(now_ns, int(config.estop_timeout * NS))
    if pressed:
        names = ", ".join(name for name, _ in pressed[:_MOST])
        names += f" and {len(pressed) - _MOST} more" if len(pressed) > _MOST else ""
        texts.append(f"still pressed or silent: {names}; release it, or start it anew under its name")
    if stops.too_many:
        texts.append("of too many sources let some sign off (q)")
    texts += [estop.not_there(name) for name in stops.missing(config.required_stop_sources)]
    return "; ".join(texts)


@dataclass(frozen=True)
class ResetAnswer:
    accepted: bool
    code: str  # reason code of a refusal
    text: str


def reset(nonce: int, operator: str, now_ns: int, config: MonitorConfig, memory: Memory) -> ResetAnswer:
    """Let go of the latch, when a named person asks with a fresh nonce and nothing holds it any more.

    An accepted reset counts up `reset_count` even when nothing was latched here: the gate flushes and re-bases on
    it, and so recovers from a stop that an earlier monitor latched.
    """
    if not operator.strip():
        return ResetAnswer(False, "RESET_OPERATOR", "give operator_name: who answers for this reset?")
    if nonce in memory.nonces:
        return ResetAnswer(False, "RESET_NONCE", f"nonce {nonce} was used before; draw a fresh one")
    if memory.last_reset_ns is not None and now_ns - memory.last_reset_ns < config.reset_interval * NS:
        return ResetAnswer(False, "RESET_RATE", f"wait {config.reset_interval:g} s between resets")
    memory.last_reset_ns = now_ns
    if len(memory.nonces) >= MAX_NONCES:
        del memory.nonces[next(iter(memory.nonces))]
    memory.nonces[nonce] = None
    held = _held(now_ns, config, memory)
    if held:
        return ResetAnswer(False, "RESET_PRESSED", held)
    if memory.raw_level == Level.EMERGENCY:
        return ResetAnswer(False, "RESET_CAUSE", f"the cause lasts: {memory.latch_cause}")
    memory.latched, memory.latch_cause = False, ""
    memory.level, memory.below_since_ns = Level.DANGER, None  # comes down by itself, one dwell at a time
    memory.reset_count += 1
    readmit(memory.recovery, now_ns, config.recovery_dwell)
    return ResetAnswer(True, "", "")
