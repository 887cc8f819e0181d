"""The fields in which two recordings differ, over time, as one HTML page."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_core.timing import NS
from humanoid_replay.compare import Comparison, Difference
from humanoid_replay.reader import BagReader
from humanoid_replay.samples import capture_ns

#: Fields that are drawn, the earliest differences first.
DRAWN = 12


def page(expected: Path, actual: Path, result: Comparison) -> str:
    """Both recordings' values of each differing field, and their difference."""
    from humanoid_cli.report import STYLE

    found = sorted((d for t in result.topics for d in t.differences), key=lambda d: d.time_s)[:DRAWN]
    parts = [f"<h1>{'The same' if result.same else 'Different'}</h1>"
             f"<p>expected {html.escape(str(expected.name))}, actual {html.escape(str(actual.name))}</p>"]
    for line in (*result.missed_events[:20], *result.new_events[:20]):
        parts.append(f"<p class='note'>{'missed' if line in result.missed_events else 'new'}: {html.escape(line)}</p>")
    for d in found:
        parts.append(f"<h2>{html.escape(d.topic)} {html.escape(d.field)}</h2><p>first at {d.time_s:.3f} s: expected "
                     f"{html.escape(d.expected)}, got {html.escape(d.actual)}; {d.count} messages differ</p>")
        tracks = [_track(path, d) for path in (expected, actual)]
        if all(len(t) for t, _ in tracks):
            parts.append(f"<img alt='plot' src='data:image/png;base64,{_plot(tracks)}'>")
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>compare</title><style>{STYLE}</style>"
            f"<body>{''.join(parts)}</body></html>")


def _track(path: Path, difference: Difference) -> tuple[Any, Any]:
    """(s, value) of a numeric field by capture stamp; of an array the element that differs first. Empty for words."""
    found = re.match(r"\[(\d+)\] ", difference.expected)
    index = int(found[1]) if found else 0
    times, values = [], []
    with BagReader(path) as bag:
        for record in bag.messages([difference.topic]):
            value: Any = record.message
            for name in difference.field.split("."):
                value = getattr(value, name, None)
            if isinstance(value, list):
                return np.zeros(0), np.zeros(0)
            flat = np.atleast_1d(np.asarray(value))
            if flat.dtype.kind not in "fiub" or index >= flat.size:
                return np.zeros(0), np.zeros(0)
            times.append((capture_ns(record.message) or record.stamp_ns) / NS)
            values.append(float(flat[index]))
    return np.array(times), np.array(values)


def _plot(tracks: list[tuple[Any, Any]]) -> str:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(10, 2.2), layout="constrained")
    ax = canvas.subplots()
    start = min(t[0] for t, _ in tracks)
    for (t, v), colour, label in zip(tracks, ("#2c5aa0", "#c0392b"), ("expected", "actual"), strict=True):
        ax.plot(t - start, v, lw=1.0, color=colour, label=label)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, frameon=False, ncols=2)
    ax.set_xlabel("s")
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
