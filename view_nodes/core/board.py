"""What the page says in words: level and reasons, who is silent, what happened."""

from __future__ import annotations

import html
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from humanoid_core.reasons import REASONS
from humanoid_core.timing import NS
from humanoid_core.types import GateStatus, Level, SafetyEvent, SafetyStatus, TwinState, TwinStatus, VlaStatus

COLOURS = {Level.SAFE: "#2e7d32", Level.CAUTION: "#9e8600", Level.WARNING: "#e07b00", Level.DANGER: "#d32f2f",
           Level.EMERGENCY: "#8e0000"}
SILENT_COLOUR = "#616161"
#: Silence after which a speaker counts as gone, s; slower ones get three periods.
SILENCE = {"safety/status": 0.5, "safety/gate": 1.0, "twin/state": 0.5, "ingest/robot_state": 0.5, "vla/status": 1.0}
EVENTS = 40
REASONS_SHOWN = 6


@dataclass(frozen=True)
class Headline:
    """The level as a word and a colour, and whether anybody says it."""

    word: str
    colour: str
    live: bool


class Board:
    """The newest message of each topic, and the events; arrival times are monotonic nanoseconds."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[int, Any]] = {}
        self._events: deque[SafetyEvent] = deque(maxlen=EVENTS)

    def hear(self, topic: str, value: Any, at_ns: int) -> None:
        """A message, as a dataclass."""
        if isinstance(value, SafetyEvent):
            if value not in self._events:  # a publisher hands its last ones to whoever comes late, more than once
                self._events.append(value)
            return
        self._heard[topic] = (at_ns, value)

    def newest(self, topic: str, now_ns: int) -> Any | None:
        """The newest message of a topic whose speaker is not silent."""
        at_ns, value = self._heard.get(topic, (0, None))
        return value if value is not None and now_ns - at_ns <= SILENCE.get(topic, 1.0) * NS else None

    def silent(self, now_ns: int) -> tuple[str, ...]:
        """Topics that say nothing now."""
        return tuple(topic for topic in SILENCE if self.newest(topic, now_ns) is None)

    def headline(self, now_ns: int) -> Headline:
        """What the monitor says, or that it says nothing."""
        status: SafetyStatus | None = self.newest("safety/status", now_ns)
        if status is None:
            return Headline("NO MONITOR", SILENT_COLOUR, False)
        word = f"{status.level.name}{', stop latched' if status.estop_latched else ''}"
        return Headline(word, COLOURS[status.level], True)

    def reasons(self, now_ns: int) -> list[str]:
        """One line for each violation, the gravest first."""
        status: SafetyStatus | None = self.newest("safety/status", now_ns)
        if status is None:
            return ["safety_monitor is silent: the gate holds the robot by itself"]
        rows = sorted(status.violations, key=lambda v: -v.severity)
        lines = [f"{v.code} {v.subject}: {v.value:.3g}, limit {v.limit:.3g}. {REASONS.get(v.code, '')}".strip()
                 for v in rows[:REASONS_SHOWN]]
        if len(rows) > REASONS_SHOWN:
            lines.append(f"and {len(rows) - REASONS_SHOWN} more")
        return lines or ([status.cause] if status.cause else [])

    def nodes(self, now_ns: int) -> list[str]:
        """One line for gate, twin and policy."""
        gate: GateStatus | None = self.newest("safety/gate", now_ns)
        twin: TwinState | None = self.newest("twin/state", now_ns)
        vla: VlaStatus | None = self.newest("vla/status", now_ns)
        lines = ["gate: silent" if gate is None else
                 f"gate: {' '.join((gate.state, gate.reason)).strip()}, {gate.passed} passed, {gate.held} held"]
        if twin is None or twin.status != TwinStatus.OK:
            lines.append("twin: silent" if twin is None else f"twin: {twin.status.name}")
        else:
            lines.append(f"twin: quality {twin.sync_quality:.2f}, capture point {100 * twin.support_margin:.1f} cm "
                         f"inside{', ' + ', '.join(twin.anomalies) if twin.anomalies else ''}")
        if vla is None:
            lines.append("policy: silent")
        else:
            words = " ".join((vla.state, vla.reason_code, vla.detail)).strip()
            lines.append(f"policy: {words}, {100 * vla.progress:.0f} %")
            if vla.instruction:
                lines.append(f"asked: “{vla.instruction}”")
        return [" ".join(line.split()) for line in lines]

    def events(self) -> list[str]:
        """Newest first, UTC."""
        return [f"{_clock(e.stamp_ns)} {e.kind} {e.level.name} {e.code} {e.subject} {e.text}".replace("  ", " ").strip()
                for e in sorted(self._events, key=lambda e: (e.stamp_ns, e.seq), reverse=True)]

    def as_html(self, now_ns: int, answer: str = "") -> str:
        """The whole board; ``answer``: what became of what a viewer asked for. Whatever came over the network is
        escaped."""
        head = self.headline(now_ns)
        badge = (f'<div data-level="{html.escape(head.word)}" style="background:{head.colour};color:#fff;padding:6px '
                 f'10px;border-radius:6px;font-weight:700;font-size:1.2em">{html.escape(head.word)}</div>')
        lists = (self.reasons(now_ns), self.nodes(now_ns), [answer] if answer else [])
        return f'<div style="padding:0 10px">{badge}{"".join(_list(lines) for lines in lists)}</div>'

    def events_html(self) -> str:
        """The list of events."""
        return f'<div style="padding:0 10px">{_list(self.events())}</div>' if self._events else "<p>none yet</p>"


def _list(lines: list[str]) -> str:
    rows = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul style="margin:6px 0;padding-left:1.2em;font-size:0.85em">{rows}</ul>' if lines else ""


def _clock(stamp_ns: int) -> str:
    return datetime.fromtimestamp(stamp_ns / NS, timezone.utc).strftime("%H:%M:%S.%f")[:-3]
