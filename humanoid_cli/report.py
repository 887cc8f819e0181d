"""`report.html`: one file that needs nothing else, from a record and its figures."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from humanoid_cli.figures import Figure, machine
from humanoid_cli.measure import Outcome, Span, joint_tracks, latencies, levels, rate_ok
from humanoid_core.robot import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import Level

if TYPE_CHECKING:
    from humanoid_cli.session import Record

LEVEL_COLOUR = {Level.SAFE: "#2e8b57", Level.CAUTION: "#d9b310", Level.WARNING: "#e07b00", Level.DANGER: "#c0392b",
                Level.EMERGENCY: "#7d0000"}
MOVING = 0.05  # rad: joints that were told to move more than this are drawn
SHADES = ("#c9d3df", "#a9c7e8", "#cfe3cf", "#eed9b7", "#d8c9e6", "#e8b9b4")
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fafafa;margin:0 auto;max-width:68rem;padding:1.5rem}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}table{border-collapse:collapse}
td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.ok{color:#2e8b57}.bad{color:#c0392b}img{max-width:100%}.note{color:#666}
"""


@dataclass(frozen=True)
class Told:
    """What the report is about."""

    instruction: str
    seed: int
    robot: RobotModel
    thing: str = ""


def write_report(told: Told, record: Record, out: Outcome, figures: dict[str, Figure], strip_png: bytes | None) -> str:
    """The whole page."""
    parts = [_head(told, out)]
    if strip_png is not None:
        parts.append(section("What it looked like", picture(strip_png, "pictures of the run")))
    if record.end_ns:
        parts += [
            section("Safety level and events", svg(timeline(record)) + events(record)),
            section("Hand and object", maybe(_distance_plot(told, record))),
            section("Joints that moved: command and measurement", maybe(joint_plot(told.robot, record))),
            section("Latencies", latency_table(record)),
            section("Rates while the task ran", _rates(record)),
            section("Processor", _cpu(record, figures)),
        ]
    parts.append(section("Machine", table(("", ""), [(k, str(v)) for k, v in machine().items()])))
    title = html.escape(f"humanoid_twin: {told.instruction}")
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
            f"<body>{''.join(parts)}</body></html>")


def _head(told: Told, out: Outcome) -> str:
    kind, word = ("ok", "Success") if out.success else ("bad", "Failed")
    code = f" ({out.code})" if out.code else ""
    text = f"“{html.escape(told.instruction)}” · robot {html.escape(told.robot.name)} · seed {told.seed}"
    return (f"<h1><span class='{kind}'>{word}{code}</span></h1><p>{text}</p><p>{html.escape(out.reason)}"
            + (f"; distance {out.distance * 100:.1f} cm" if math.isfinite(out.distance) else "") + "</p>")


def section(title: str, body: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{body}"


def picture(data: bytes, text: str, kind: str = "png") -> str:
    return f"<img alt='{html.escape(text)}' src='data:image/{kind};base64,{base64.b64encode(data).decode()}'>"


def maybe(figure: Any) -> str:
    return "<p class='note'>nothing to show</p>" if figure is None else svg(figure)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """``numbers``: columns set to the right. Cells are text, or Mark for coloured text."""
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td{' class=n' if i in numbers else ''}>{html.escape(c)}</td>"
                                    for i, c in enumerate(row)) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def svg(figure: Any) -> str:
    """A matplotlib figure as a picture inside the page; PNG, because a thousand points as SVG weigh more."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return picture(buffer.getvalue(), "plot")


def axes(rows: int = 1, height: float = 2.4) -> Any:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(10, height * rows), layout="constrained")
    found = canvas.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for ax in found:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    found[-1].set_xlabel("s after the start")
    return canvas, found


def timeline(record: Record) -> Any:
    """Four lanes: the safety level, and what policy, gate and robot were doing."""
    canvas, (ax,) = axes(height=2.6)
    end = (record.end_ns - record.start_ns) / NS
    lanes = [[(s.begin, s.end, s.level.name, LEVEL_COLOUR[s.level]) for s in levels(record)]]
    for _, topic, read in LANES:
        changes = [c for c in _changes(record, topic, read) if c[0] <= end]
        texts = list(dict.fromkeys(text for _, text in changes))
        lanes.append([(t, stop, text, SHADES[texts.index(text) % len(SHADES)])
                      for (t, text), (stop, _) in pairwise([*changes, (end, "")])])
    for y, spans in enumerate(lanes):
        for begin, stop, text, colour in spans:
            begin = max(begin, -0.5)
            ax.barh(-y, max(stop - begin, 0.01), left=begin, color=colour, height=0.7, edgecolor="white", lw=0.5)
            if stop - begin > 0.012 * (end + 0.5) * (len(text) + 1):
                ax.text(begin, -y, f" {text}", va="center", fontsize=7, color="white" if y == 0 else "#222")
    for at, event, _ in record.deaths:
        if math.isfinite(at):
            ax.axvline(at, color="#c0392b", lw=1.5)
            ax.annotate(str(event), (at, 0.5), fontsize=8, color="#c0392b", xytext=(3, 0), textcoords="offset points")
    ax.set_ylim(-3.5, 0.9)
    ax.set_yticks([0, -1, -2, -3], ["safety level", *(name for name, _, _ in LANES)])
    ax.set_xlim(-0.5, max(end, 0.5))
    return canvas


#: Name, topic and what is read of it.
LANES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("policy", "vla/status", lambda m: str(m.state)),
    ("gate", "safety/gate", lambda m: str(m.state)),
    ("robot", "robot/mode", lambda m: str(m.mode.name)),
)


def _changes(record: Record, topic: str, read: Callable[[Any], str]) -> list[tuple[float, str]]:
    """(s after the instruction, text) whenever the text of a topic changes."""
    out: list[tuple[float, str]] = []
    for at, message in record.seen.get(topic, []):
        text = read(message)
        if not out or out[-1][1] != text:
            out.append(((at - record.start_ns) / NS, text))
    return out


def _moments(record: Record) -> list[tuple[float, str]]:
    """Changes of all lanes and processes that ended, in order of time."""
    out = [(t, f"{name} {text}") for name, topic, read in LANES for t, text in _changes(record, topic, read)]
    out += [(at, str(event)) for at, event, _ in record.deaths if math.isfinite(at)]
    return sorted(moment for moment in out if moment[0] >= -0.3)


def events(record: Record) -> str:
    def row(span: Span) -> tuple[str, ...]:
        return (f"{span.begin:.2f}", f"{span.end:.2f}", span.level.name, span.cause)

    spans = levels(record)
    shown = [row(s) for s in spans[:40]] + ([("…", "", f"{len(spans) - 40} more", "")] if len(spans) > 40 else [])
    text = table(("from s", "to s", "level", "cause"), shown, (0, 1))
    moments = _moments(record)
    rows = [(f"{t:.2f}", e) for t, e in moments[:60]]
    rows += [("…", f"{len(moments) - 60} more")] if len(moments) > 60 else []
    return text + "<p></p>" + table(("at s", "event"), rows, (0,))


def _distance_plot(told: Told, record: Record) -> Any:
    words = told.thing.split()
    rows = [((at - record.start_ns) / NS, o) for at, truth in record.truths() for o in truth.objects
            if words and all(w in o.name.split() for w in words)]
    if not rows:
        return None
    canvas, (ax,) = axes()
    rows = [r for r in rows if r[0] >= -0.5] or rows
    t = [r[0] for r in rows]
    ax.plot(t, [r[1].left_hand_distance * 100 for r in rows], label="left hand")
    ax.plot(t, [r[1].right_hand_distance * 100 for r in rows], label="right hand")
    ax.set_ylabel(f"cm to the {rows[0][1].name}")
    ax.legend(fontsize=8, frameon=False)
    return canvas


def joint_plot(robot: RobotModel, record: Record) -> Any:
    t, measured, tc, commanded = joint_tracks(record, robot)
    if not len(tc) or not len(t):
        return None
    known = np.isfinite(commanded).all(axis=0)
    moved = [int(i) for i in np.flatnonzero(known) if np.ptp(commanded[:, i]) > MOVING][:14]
    if not moved:
        return None
    canvas, rows = axes(len(moved), 1.25)
    for ax, i in zip(rows, moved, strict=True):
        ax.plot(tc, commanded[:, i], lw=1.0, color="#c0392b", label="command")
        ax.plot(t, measured[:, i], lw=1.0, color="#2c5aa0", label="measured")
        ax.set_ylabel(robot.joint_names[i].removesuffix("_joint"), rotation=0, ha="right", fontsize=8)
    rows[0].legend(fontsize=8, frameon=False, ncols=2, loc="upper right")
    rows[0].set_xlim(-0.5, None)
    return canvas


def latency_table(record: Record) -> str:
    timing = latencies(record)
    rows = []
    for name, values in (("camera → plan made", timing.made),
                         ("camera → plan received by another process", timing.received),
                         ("camera → first command of that plan to the robot", timing.commanded)):
        good = values[np.isfinite(values)]
        if len(good):
            shown = [f"{v:.0f}" for v in (*np.percentile(good, (50, 95)), good.max())]
            rows.append((name, *shown, str(len(good))))
    if not rows:
        return "<p class='note'>no plan was made</p>"
    return table(("", "p50 ms", "p95 ms", "worst ms", "plans"), rows, (1, 2, 3, 4))


def _rates(record: Record) -> str:
    rows = [(r.topic, f"{r.hz:.2f}", "–" if r.aim is None else f"{r.aim:g}",
             "" if r.aim is None or not r.count else f"{100 * r.deviation:+.1f} %", str(r.count),
             "" if math.isnan(r.longest_gap_ms) else f"{r.longest_gap_ms:.0f}", "" if rate_ok(r) else "off")
            for r in record.rates]
    head = ("topic", "Hz seen", "Hz aimed at", "off by", "messages", "longest gap ms", "")
    return table(head, rows, (1, 2, 3, 4, 5))


def _cpu(record: Record, figures: dict[str, Figure]) -> str:
    rows = [(name, f"{share:.2f}") for name, share in record.cpu.items()]
    total = figures["graph_cores"]
    rows.append((f"the whole graph (aim ≤ {total.aim})", f"{total.value:.2f}"))
    rows.append(("this recorder and its display, not part of the graph", f"{record.own_cpu:.2f}"))
    return table(("", "cores"), rows, (1,))
