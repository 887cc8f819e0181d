"""What became of every row: a table for the terminal, `faults.json` and a page that needs nothing else."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from humanoid_bench.faults.judge import Answer
from humanoid_cli.figures import Figure, machine, write_figures

COLOUR = {"ok": "green", "LATE": "yellow", "FAILED": "red", "not run": "dim"}
MEANING = (
    "Each fault was injected while an arm moved. <b>Reaction</b>: the highest safety level and the reason codes that "
    "monitor, gate, ingest or twin named, or what was wrong. <b>Time to safe</b>: monotonic clock of the injecting "
    "process, from just before the injection (a service call to the simulated robot is inside) to the first command "
    "of the gate that belongs to no motion of the policy any more, or its word that it brakes; without the gate, to "
    "the robot's own hold; for a fault that the work survives, to its name being heard. Every row also requires that "
    "whatever left the gate was finite, inside the limits, and within the speed and acceleration limits, and that "
    "torque was never taken from a standing robot. <b>LATE</b>: answered well, after the aim.")
STYLE = ("body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fafafa;margin:0 auto;max-width:72rem;"
         "padding:1.5rem}table{border-collapse:collapse;width:100%}td,th{padding:.25rem .7rem;border-bottom:1px solid "
         "#ddd;text-align:left;vertical-align:top}td.n{text-align:right;white-space:nowrap}.ok{color:#2e8b57}"
         ".LATE{color:#b07a00}.FAILED{color:#c0392b;font-weight:600}.not{color:#777}.note{color:#555}")


def verdicts(answers: Sequence[Answer]) -> Mapping[str, int]:
    return Counter(a.verdict for a in answers)


def in_one_line(answers: Sequence[Answer]) -> str:
    count = verdicts(answers)
    return ", ".join(f"{count[v]} {v}" for v in COLOUR if count.get(v))


def as_table(answers: Sequence[Answer]) -> Table:
    table = Table("id", "fault", "reaction", "safe after", "aim", "verdict", box=None, pad_edge=False)
    for a in answers:
        table.add_row(a.id, a.doc, a.why, _ms(a.safe_ms), _ms(a.within_ms), f"[{COLOUR[a.verdict]}]{a.verdict}[/]")
    return table


def write_report(folder: Path, answers: Sequence[Answer], seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.html").write_text(_page(answers, seconds), encoding="utf-8")
    write_figures(folder / "faults.json", figures(answers, seconds), rows=[asdict(a) for a in answers])


def figures(answers: Sequence[Answer], seconds: float) -> dict[str, Figure]:
    count, run = verdicts(answers), [a for a in answers if a.verdict != "not run"]
    rows = {"rows_run": Figure(len(run)), "rows_not_run": Figure(count.get("not run", 0)),
            "rows_failed": Figure(count.get("FAILED", 0), "", 0, len(run)),
            "rows_late": Figure(count.get("LATE", 0), "", 0, len(run)), "seconds": Figure(round(seconds, 1), "s")}
    for a in run:
        if a.safe_ms is not None:
            rows[f"{a.id}_safe_ms"] = Figure(round(a.safe_ms, 1), "ms", a.within_ms)
    return rows


def _page(answers: Sequence[Answer], seconds: float) -> str:
    cell = html.escape
    body = "".join(
        f"<tr><td>{cell(a.id)}</td><td>{cell(a.doc)}</td><td>{cell(a.why)}</td><td class=n>{_ms(a.safe_ms)}</td>"
        f"<td class=n>{_ms(a.within_ms)}</td><td class='{a.verdict.split()[0]}'>{a.verdict}</td></tr>"
        for a in answers)
    facts = "; ".join(f"{k} {v}" for k, v in machine().items())
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Fault matrix</title><style>{STYLE}</style>"
            f"<body><h1>Fault matrix: {cell(in_one_line(answers))}</h1><p class='note'>{MEANING}</p><table><tr>"
            f"<th>id</th><th>fault</th><th>reaction</th><th>safe after</th><th>aim</th><th>verdict</th></tr>{body}"
            f"</table><p class='note'>{seconds:.0f} s on {cell(facts)}</p></body></html>")


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"
