"""`report.html`: one file that needs nothing else, from a record and its figures."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
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
        parts.append(_section("What it looked like", _picture(strip_png, "pictures of the run")))
    if record.end_ns:
        parts += [
            _section("Safety level and events", _svg(_timeline(record)) + _events(record)),
            _section("Hand and object", _maybe(_distance_plot(told, record))),
            _section("Joints that moved: command and measurement", _maybe(_joint_plot(told, record))),
            _section("Latencies", _latency_table(record)),
            _section("Rates while the task ran", _rates(record)),
            _section("Processor", _cpu(record, figures)),
        ]
    parts.append(_section("Machine", _table(("", ""), [(k, str(v)) for k, v in machine().items()])))
    title = html.escape(f"humanoid_twin: {told.instruction}")
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
            f"<body>{''.join(parts)}</body></html>")


def _head(told: Told, out: Outcome) -> str:
    kind, word = ("ok", "Success") if out.success else ("bad", "Failed")
    code = f" ({out.code})" if out.code else ""
    text = f"“{html.escape(told.instruction)}” · robot {html.escape(told.robot.name)} · seed {told.seed}"
    return (f"<h1><span class='{kind}'>{word}{code}</span></h1><p>{text}</p><p>{html.escape(out.reason)}"
            + (f"; distance {out.distance * 100:.1f} cm" if math.isfinite(out.distance) else "") + "</p>")


def _section(title: str, body: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{body}"


def _picture(data: bytes, text: str, kind: str = "png") -> str:
    return f"<img alt='{html.escape(text)}' src='data:image/{kind};base64,{base64.b64encode(data).decode()}'>"


def _maybe(figure: Any) -> str:
    return "<p class='note'>nothing to show</p>" if figure is None else _svg(figure)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """``numbers``: columns set to the right. Cells are text, or Mark for coloured text."""
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td{' class=n' if i in numbers else ''}>{html.escape(c)}</td>"
                                    for i, c in enumerate(row)) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def _svg(figure: Any) -> str:
    """A matplotlib figure as a picture inside the page; PNG, because a thousand points as SVG weigh more."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _picture(buffer.getvalue(), "plot")


def _axes(rows: int = 1, height: float = 2.4) -> Any:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(10, height * rows), layout="constrained")
    axes = canvas.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("s after the instruction")
    return canvas, axes


def _timeline(record: Record) -> Any:
    canvas, (ax,) = _axes(height=1.9)
    for span in levels(record):
        ax.barh(0, max(span.end - span.begin, 0.01), left=span.begin, color=LEVEL_COLOUR[span.level], height=0.6)
    for i, (t, text) in enumerate(_moments(record)):
        ax.axvline(t, color="#333", lw=0.8)
        ax.annotate(text, (t, 0.35 + 0.22 * (i % 3)), fontsize=7, xytext=(2, 0), textcoords="offset points")
    ax.set_ylim(-0.4, 1.1)
    ax.set_yticks([0], ["level"])
    return canvas


def _moments(record: Record) -> list[tuple[float, str]]:
    """(s, text) of changes of the policy's state, of the robot's mode and of processes that ended."""
    out: list[tuple[float, str]] = []
    for topic, read in (("vla/status", lambda m: f"policy {m.state}"), ("robot/mode", lambda m: f"mode {m.mode.name}"),
                        ("safety/gate", lambda m: f"gate {m.state}")):
        last = None
        for at, message in record.seen.get(topic, []):
            text, t = read(message), (at - record.start_ns) / NS
            if text != last and t >= -0.3:
                out.append((t, text))
            last = text
    out += [(at, str(event)) for at, event, _ in record.deaths if math.isfinite(at)]
    return sorted(out)


def _events(record: Record) -> str:
    def row(span: Span) -> tuple[str, ...]:
        return (f"{span.begin:.2f}", f"{span.end:.2f}", span.level.name, span.cause)

    spans = levels(record)
    shown = [row(s) for s in spans[:40]] + ([("…", "", f"{len(spans) - 40} more", "")] if len(spans) > 40 else [])
    text = _table(("from s", "to s", "level", "cause"), shown, (0, 1))
    moments = _moments(record)
    return text + "<p></p>" + _table(("at s", "event"), [(f"{t:.2f}", e) for t, e in moments[:60]], (0,))


def _distance_plot(told: Told, record: Record) -> Any:
    words = told.thing.split()
    rows = [((at - record.start_ns) / NS, o) for at, truth in record.truths() for o in truth.objects
            if words and all(w in o.name.split() for w in words)]
    if not rows:
        return None
    canvas, (ax,) = _axes()
    t = [r[0] for r in rows]
    ax.plot(t, [r[1].left_hand_distance * 100 for r in rows], label="left hand")
    ax.plot(t, [r[1].right_hand_distance * 100 for r in rows], label="right hand")
    ax.set_ylabel(f"cm to the {rows[0][1].name}")
    ax.legend(fontsize=8, frameon=False)
    return canvas


def _joint_plot(told: Told, record: Record) -> Any:
    t, measured, tc, commanded = joint_tracks(record, told.robot)
    if not len(tc) or not len(t):
        return None
    known = np.isfinite(commanded).all(axis=0)
    moved = [int(i) for i in np.flatnonzero(known) if np.ptp(commanded[:, i]) > MOVING][:14]
    if not moved:
        return None
    canvas, axes = _axes(len(moved), 1.25)
    for ax, i in zip(axes, moved, strict=True):
        ax.plot(tc, commanded[:, i], lw=1.0, color="#c0392b", label="command")
        ax.plot(t, measured[:, i], lw=1.0, color="#2c5aa0", label="measured")
        ax.set_ylabel(told.robot.joint_names[i].removesuffix("_joint"), rotation=0, ha="right", fontsize=8)
    axes[0].legend(fontsize=8, frameon=False, ncols=2, loc="upper right")
    return canvas


def _latency_table(record: Record) -> str:
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
    return _table(("", "p50 ms", "p95 ms", "worst ms", "plans"), rows, (1, 2, 3, 4))


def _rates(record: Record) -> str:
    rows = [(r.topic, f"{r.hz:.2f}", "–" if r.aim is None else f"{r.aim:g}",
             "" if r.aim is None or not r.count else f"{100 * r.deviation:+.1f} %", str(r.count),
             "" if math.isnan(r.longest_gap_ms) else f"{r.longest_gap_ms:.0f}", "" if rate_ok(r) else "off")
            for r in record.rates]
    head = ("topic", "Hz seen", "Hz aimed at", "off by", "messages", "longest gap ms", "")
    return _table(head, rows, (1, 2, 3, 4, 5))


def _cpu(record: Record, figures: dict[str, Figure]) -> str:
    rows = [(name, f"{share:.2f}") for name, share in record.cpu.items()]
    total = figures["graph_cores"]
    rows.append((f"the whole graph (aim ≤ {total.aim})", f"{total.value:.2f}"))
    rows.append(("this recorder and its display, not part of the graph", f"{record.own_cpu:.2f}"))
    return _table(("", "cores"), rows, (1,))
