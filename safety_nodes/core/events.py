"""From what the monitor and the gate say, tick by tick, to the lines of their event logs: only what changed.

A flood stays readable and nothing in it is lost: of the same kind of line the first is written at once, what follows
within `EVERY_NS` becomes one line with its count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from humanoid_core.reasons import Refusals
from humanoid_core.timing import NS
from humanoid_core.types import Level, OverrideState, SafetyEvent
from safety_nodes.core.recovery import RECOVERIES
from safety_nodes.core.types import Verdict

if TYPE_CHECKING:
    from safety_nodes.core.gate import GateOutput
    from safety_nodes.core.monitor import ResetAnswer

#: Lines of the same kind and code come at most this often.
EVERY_NS = NS
#: Kinds whose line must be on the disk, not only with the operating system.
SYNCED = frozenset({"LATCH", "RESET"})


@dataclass
class _Flow:
    """One kind of line that may come in floods."""

    last_ns: int
    waiting: int = 0
    text: str = ""


class Flood:
    """Counts of things that may come hundreds of times a second, as few lines."""

    def __init__(self) -> None:
        self._flows: dict[str, _Flow] = {}
        self._due_ns: int | None = None

    def add(self, key: str, count: int, now_ns: int, text: str = "") -> int:
        """How many to write now: `count`, or 0 when a line of this key was written lately."""
        flow = self._flows.get(key)
        if flow is None or (flow.waiting == 0 and now_ns - flow.last_ns >= EVERY_NS):
            self._flows[key] = _Flow(now_ns)
            return count
        flow.waiting += count
        flow.text = text
        due = flow.last_ns + EVERY_NS
        self._due_ns = due if self._due_ns is None else min(self._due_ns, due)
        return 0

    def due(self, now_ns: int, all_of_it: bool = False) -> list[tuple[str, int, str]]:
        """(key, count, latest text) of what has waited long enough."""
        if self._due_ns is None or not (all_of_it or now_ns >= self._due_ns):
            return []
        ready, self._due_ns = [], None
        for key, flow in self._flows.items():
            if flow.waiting == 0:
                continue
            due = flow.last_ns + EVERY_NS
            if all_of_it or now_ns >= due:
                ready.append((key, flow.waiting, flow.text))
                flow.last_ns, flow.waiting = now_ns, 0
            else:
                self._due_ns = due if self._due_ns is None else min(self._due_ns, due)
        return ready


class RefusalEvents:
    """New counts of a `Refusals`, by code."""

    def __init__(self, refused: Refusals) -> None:
        self._refused, self._total = refused, refused.total
        self._known = dict(refused.items())
        self._flood = Flood()

    def look(self, now_ns: int, end: bool = False) -> list[tuple[str, str]]:
        """(code, text) of the lines to write."""
        lines = []
        if self._refused.total != self._total:
            self._total = self._refused.total
            for code, count in self._refused.items():
                new = count - self._known.get(code, 0)
                if new:
                    self._known[code] = count
                    if self._flood.add(code, new, now_ns, self._refused.last):
                        lines.append((code, f"{new} refused, {count} in all; last {self._refused.last}"))
        for code, count, last in self._flood.due(now_ns, end):
            lines.append((code, f"{count} more refused, {self._known[code]} in all; last {last}"))
        return lines


class Source:
    """What both nodes' events have in common. ``seq`` is given by the log."""

    def __init__(self, name: str, refused: Refusals) -> None:
        self.name = name
        self.level = Level.DANGER
        self._refusals = RefusalEvents(refused)
        self._override: str | None = None  # operator while one is at work

    def event(self, ros_ns: int, kind: str, code: str = "", subject: str = "", text: str = "") -> SafetyEvent:
        return SafetyEvent(ros_ns, self.name, 0, kind, self.level, code, subject, text)

    def end(self, mono_ns: int, ros_ns: int) -> list[SafetyEvent]:
        """The last lines of a node that ends in order."""
        return [*self.more(mono_ns, ros_ns, True), *self.refusals(mono_ns, ros_ns, True),
                self.event(ros_ns, "STOP", text="ended in order")]

    def more(self, mono_ns: int, ros_ns: int, end: bool = False) -> list[SafetyEvent]:
        """Counts of the node's own floods that are due."""
        return []

    def refusals(self, mono_ns: int, ros_ns: int, end: bool = False) -> list[SafetyEvent]:
        return [self.event(ros_ns, "REFUSAL", code, "", text) for code, text in self._refusals.look(mono_ns, end)]

    def overridden(self, ros_ns: int, operator: str | None) -> list[SafetyEvent]:
        before, self._override = self._override, operator
        if before == operator:
            return []
        events = [] if before is None else [self.event(ros_ns, "OVERRIDE", "OVERRIDE", before, "end")]
        return events if operator is None else [*events, self.event(ros_ns, "OVERRIDE", "OVERRIDE", operator, "begin")]


class MonitorEvents(Source):
    """safety_monitor: levels, latches, resets, recoveries, overrides, unreadable messages."""

    def __init__(self, refused: Refusals, name: str = "safety_monitor") -> None:
        super().__init__(name, refused)
        self._last: Verdict | None = None
        self._resets = Flood()
        self._recoveries: tuple[tuple[str, str], ...] = ()

    def tick(self, verdict: Verdict, override: OverrideState | None, mono_ns: int, ros_ns: int) -> list[SafetyEvent]:
        """The events of one tick, in the order of cause and effect."""
        last, self._last = self._last, verdict
        events = []
        if last is None or verdict.level != last.level:
            worst = verdict.violations[0] if verdict.violations else None
            code, subject = (worst.code, worst.subject) if worst is not None else ("", "")
            before = last.level.name if last is not None else "start"
            self.level = verdict.level
            text = f"{before} -> {verdict.level.name}: {verdict.cause}"
            events.append(self.event(ros_ns, "LEVEL", code, subject, text))
        if verdict.latched and (last is None or not last.latched):
            worst = verdict.violations[0] if verdict.violations else None
            events.append(self.event(ros_ns, "LATCH", worst.code if worst is not None else "",
                                     worst.subject if worst is not None else "", verdict.cause))
        if verdict.recoveries != self._recoveries:
            events += self._recover(verdict.recoveries, ros_ns)
        operator = override.operator if override is not None and override.active else None
        if operator != self._override:
            events += self.overridden(ros_ns, operator)
        return events + self.more(mono_ns, ros_ns) + self.refusals(mono_ns, ros_ns)

    def more(self, mono_ns: int, ros_ns: int, end: bool = False) -> list[SafetyEvent]:
        return [self.event(ros_ns, "RESET", code, "", f"{count} more refused; {text}")
                for code, count, text in self._resets.due(mono_ns, end)]

    def reset(self, answer: ResetAnswer, operator: str, mono_ns: int, ros_ns: int) -> list[SafetyEvent]:
        """The answer to a reset, accepted or refused; refusals that follow one another closely come as a count."""
        if answer.accepted:
            return [self.event(ros_ns, "RESET", "", operator, "accepted")]
        text = f"refused: {answer.text}"
        if not self._resets.add(answer.code, 1, mono_ns, f"last by '{operator}', {text}"):
            return []
        return [self.event(ros_ns, "RESET", answer.code, operator, text)]

    def _recover(self, now: tuple[tuple[str, str], ...], ros_ns: int) -> Iterable[SafetyEvent]:
        before, self._recoveries = self._recoveries, now
        yield from (self.event(ros_ns, "RECOVERY", code, subject, f"begin: {RECOVERIES[code]}")
                    for code, subject in now if (code, subject) not in before)
        yield from (self.event(ros_ns, "RECOVERY", code, subject, f"end: {RECOVERIES[code]}")
                    for code, subject in before if (code, subject) not in now)


class GateEvents(Source):
    """command_gate: its state, latch and release, refusals."""

    def __init__(self, refused: Refusals, name: str = "command_gate") -> None:
        super().__init__(name, refused)
        self._state: tuple[str, str] | None = None
        self._flood = Flood()

    def tick(self, out: GateOutput, level: Level, mono_ns: int, ros_ns: int) -> list[SafetyEvent]:
        """The events of one tick; `level` is the newest permit's."""
        self.level = level
        events = []
        last, self._state = self._state, (out.state, out.reason)
        if last != self._state:
            before, key = last[0] if last is not None else "start", f"{out.state} {out.reason}"
            if (out.state == "latched") != (before == "latched") and last is not None:
                kind, text = ("LATCH", "latched") if out.state == "latched" else ("RESET", f"latch let go, {out.state}")
                events.append(self.event(ros_ns, kind, out.reason, out.state, text))
            elif self._flood.add(key, 1, mono_ns):
                events.append(self.event(ros_ns, "LEVEL", out.reason, out.state, f"{before} -> {key}"))
        return events + self.more(mono_ns, ros_ns) + self.refusals(mono_ns, ros_ns)

    def more(self, mono_ns: int, ros_ns: int, end: bool = False) -> list[SafetyEvent]:
        return [self.event(ros_ns, "LEVEL", key.partition(" ")[2], key.partition(" ")[0], f"{count} more times {key}")
                for key, count, _ in self._flood.due(mono_ns, end)]
