"""`humanoid-twin bench safety`: every figure of the safety nodes, with how it was measured and its distribution."""

from __future__ import annotations

import html
import importlib
import json as json_module
import time
import traceback
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from humanoid_bench.measured import Measured, Options
from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, machine, write_figures
from humanoid_core.robot_schema import nearest

__all__ = ["Options", "run"]

#: Measurement -> (module, function); those in lockstep first.
MEASUREMENTS = {
    "core": ("humanoid_bench.safety_core", "measure"),
    "lateness": ("humanoid_bench.safety_lateness", "measure"),
    "injections": ("humanoid_bench.safety_injections", "measure"),
    "alarms": ("humanoid_bench.safety_alarms", "measure"),
    "pushes": ("humanoid_bench.safety_pushes", "measure"),
    "gate": ("humanoid_bench.safety_gate", "measure"),
    "tick": ("humanoid_bench.safety_tick", "measure"),
    "dropouts": ("humanoid_bench.safety_loss", "dropouts"),
    "losses": ("humanoid_bench.safety_loss", "losses"),
    "cpu": ("humanoid_bench.safety_loss", "cpu"),
}
#: Figures of which a larger value is the better one.
LARGER_IS_BETTER = ("push_lead_share",)


def run(options: Options, json: Path | None, report: Path | None) -> int:
    """Measure, show, write. Exit code 1 when a measurement could not be made; a missed aim is shown, not failed."""
    wanted = _wanted(options.only)
    check_writable(json)
    check_writable(report / "safety.json" if report else None)
    console, done, failed, begin = Console(highlight=False), dict[str, Measured](), dict[str, str](), time.monotonic()
    with Progress(TextColumn("{task.description:12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
                  console=console) as bars:
        for name in wanted:
            task = bars.add_task(name, total=1.0)
            module, function = MEASUREMENTS[name]
            try:
                measure = getattr(importlib.import_module(module), function)
                done[name] = measure(options, lambda share, task=task: bars.update(task, completed=share))
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"
                console.print(traceback.format_exc(limit=-3), style="dim")
            bars.update(task, completed=1.0)
    figures = {name: figure for measured in done.values() for name, figure in measured.figures.items()}
    figures["quick"] = Figure(options.quick)
    console.print(_table(done, options.quick))
    for name, why in failed.items():
        console.print(f"{name}: not measured: {why}", style="red")
    console.print(f"{time.monotonic() - begin:.0f} s on {machine()['cores']} cores, {machine()['processor']}")
    notes = {name: measured.note for name, measured in done.items()}
    write_figures(json, figures, notes=notes, not_measured=failed)
    if report is not None:
        _write_report(report, done, figures, notes, failed)
        console.print(f"{report / 'safety.html'}, {report / 'safety.json'}, {report / 'distributions.json'}")
    return 1 if failed else 0


def _wanted(only: str) -> list[str]:
    names = [n.strip() for n in only.split(",") if n.strip()]
    for name in names:
        if name not in MEASUREMENTS:
            raise BadInput(f"--only: no measurement '{name}'; "
                           f"{nearest(name, list(MEASUREMENTS)).replace('valid key', 'name')}")
    return names or list(MEASUREMENTS)


def reached(name: str, figure: Figure) -> bool | None:
    """Whether the aim was reached; None without an aim."""
    if figure.aim is None:
        return None
    if name in LARGER_IS_BETTER:
        return bool(figure.value >= figure.aim)  # type: ignore[operator]
    return bool(figure.value <= figure.aim)  # type: ignore[operator]


def _table(done: dict[str, Measured], quick: bool) -> Table:
    title = "quick: few samples, for a look and not for publication" if quick else None
    table = Table("figure", "value", "aim", "n", "", box=None, pad_edge=False, title=title, title_justify="left")
    for measured in done.values():
        for name, figure in measured.figures.items():
            good = reached(name, figure)
            mark = "" if good is None else "[green]ok[/]" if good else "[red]missed[/]"
            table.add_row(name, f"{figure.value} {figure.unit}", "" if figure.aim is None else f"{figure.aim:g}",
                          str(figure.n), mark)
    return table


def _write_report(folder: Path, done: dict[str, Measured], figures: dict[str, Figure], notes: dict[str, str],
                  failed: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_figures(folder / "safety.json", figures, notes=notes, not_measured=failed)
    every = {key: [round(v, 4) for v in values] for m in done.values() for key, values in m.distributions.items()}
    (folder / "distributions.json").write_text(json_module.dumps(every) + "\n", encoding="utf-8")
    parts = []
    for name, measured in done.items():
        rows = "".join(f"<tr><td>{html.escape(k)}</td><td class=n>{f.value} {f.unit}</td><td class=n>"
                       f"{'' if f.aim is None else f.aim}</td><td class=n>{f.n}</td><td>"
                       f"{ {None: '', True: 'ok', False: 'missed'}[reached(k, f)]}</td></tr>"
                       for k, f in measured.figures.items())
        parts.append(f"<h2>{name}</h2><p>{html.escape(measured.note)}</p><table><tr><th>figure</th><th>value</th>"
                     f"<th>aim</th><th>n</th><th></th></tr>{rows}</table>")
    facts = "; ".join(f"{k} {v}" for k, v in machine().items())
    (folder / "safety.html").write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Safety figures</title><style>body{font:15px/1.5 "
        "system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem}td,th{padding:.2rem .8rem;text-align:left;"
        "border-bottom:1px solid #ddd}.n{text-align:right}</style><body><h1>Safety figures</h1>"
        f"<p>{html.escape(facts)}</p>{''.join(parts)}</body></html>", encoding="utf-8")
