"""What the benches share: which measurements are made, the table, the figures, and a page of how they were measured."""

from __future__ import annotations

import html
import importlib
import json as json_module
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from humanoid_bench.measured import Measured, Options
from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, machine, write_figures
from humanoid_core.robot_schema import nearest

MARKS = {None: "", True: "[green]ok[/]", False: "[red]missed[/]"}


@dataclass(frozen=True)
class Bench:
    """``measurements``: name -> (module, function), in the order in which they are made. ``larger_is_better``: figures
    of which a smaller value misses the aim; ``bands``: those that shall lie between two values."""

    name: str
    measurements: Mapping[str, tuple[str, str]]
    larger_is_better: tuple[str, ...] = ()
    bands: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass
class Results:
    """What was measured, and what could not be, with the reason."""

    done: dict[str, Measured] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, Figure]:
        return {name: figure for measured in self.done.values() for name, figure in measured.figures.items()}

    @property
    def notes(self) -> dict[str, str]:
        return {name: measured.note for name, measured in self.done.items()}


def run(bench: Bench, options: Options, json: Path | None, report: Path | None = None) -> int:
    """Measure, show, write. Exit code 1 when a measurement could not be made; a missed aim is shown, not failed."""
    wanted = _wanted(bench, options.only)
    check_writable(json)
    check_writable(report / f"{bench.name}.json" if report else None)
    console, begin = Console(highlight=False), time.monotonic()
    results = _measure(bench, wanted, options, console)
    figures = {**results.figures, "quick": Figure(options.quick)}
    console.print(_table(bench, figures, options.quick))
    for name, note in results.notes.items():
        console.print(f"{name}: {note}", markup=False, soft_wrap=True, style="dim")
    for name, why in results.failed.items():
        console.print(f"{name}: not measured: {why}", markup=False, style="red")
    console.print(f"{time.monotonic() - begin:.0f} s on {machine()['cores']} cores, {machine()['processor']}")
    write_figures(json, figures, notes=results.notes, not_measured=results.failed)
    if report is not None:
        _write_report(bench, report, results, figures)
        console.print(f"{report / bench.name}.html, {report / bench.name}.json, {report / 'distributions.json'}")
    return 1 if results.failed else 0


def reached(bench: Bench, name: str, figure: Figure) -> bool | None:
    """Whether the aim was reached; None without an aim."""
    if figure.aim is None:
        return None
    value, aim = float(figure.value), float(figure.aim)
    if name in bench.bands:
        low, high = bench.bands[name]
        return low <= value <= high
    return value >= aim if name in bench.larger_is_better else value <= aim


def _wanted(bench: Bench, only: str) -> list[str]:
    names = [n.strip() for n in only.split(",") if n.strip()]
    for name in names:
        if name not in bench.measurements:
            raise BadInput(f"--only: no measurement '{name}'; "
                           f"{nearest(name, list(bench.measurements)).replace('valid key', 'name')}")
    return names or list(bench.measurements)


def _measure(bench: Bench, wanted: list[str], options: Options, console: Console) -> Results:
    results = Results()
    with Progress(TextColumn("{task.description:14}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
                  console=console) as bars:
        for name in wanted:
            task = bars.add_task(name, total=1.0)
            module, function = bench.measurements[name]
            try:
                measure = getattr(importlib.import_module(module), function)
                results.done[name] = measure(options, lambda share, task=task: bars.update(task, completed=share))
            except BadInput:
                raise
            except KeyboardInterrupt:  # what was measured is not lost
                results.failed[name] = "interrupted"
                break
            except Exception as error:
                results.failed[name] = f"{type(error).__name__}: {error}"
                console.print(traceback.format_exc(limit=-3), style="dim", markup=False)
            bars.update(task, completed=1.0)
    return results


def _value(figure: Figure) -> str:
    return f"{figure.value:.4g}" if isinstance(figure.value, float) else str(figure.value)


def _aim(bench: Bench, name: str, figure: Figure) -> str:
    if name in bench.bands and figure.aim is not None:
        low, high = bench.bands[name]
        return f"{low:g}..{high:g}"
    if isinstance(figure.aim, bool) or not isinstance(figure.aim, (int, float)):
        return "" if figure.aim is None else str(figure.aim)
    return f"{figure.aim:g}"


def _table(bench: Bench, figures: Mapping[str, Figure], quick: bool) -> Table:
    title = "quick: few samples, for a look and not for publication" if quick else None
    table = Table("figure", "value", "aim", "n", "", box=None, pad_edge=False, title=title, title_justify="left")
    for name, figure in figures.items():
        table.add_row(name, f"{_value(figure)} {figure.unit}", _aim(bench, name, figure), str(figure.n),
                      MARKS[reached(bench, name, figure)])
    return table


def _write_report(bench: Bench, folder: Path, results: Results, figures: Mapping[str, Figure]) -> None:
    """Figures with their definitions as a page and as JSON, and the distributions behind them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_figures(folder / f"{bench.name}.json", figures, notes=results.notes, not_measured=results.failed)
    every = {key: [round(v, 4) for v in values]
             for m in results.done.values() for key, values in m.distributions.items()}
    (folder / "distributions.json").write_text(json_module.dumps(every) + "\n", encoding="utf-8")
    parts = []
    for name, measured in results.done.items():
        rows = "".join(f"<tr><td>{html.escape(k)}</td><td class=n>{_value(f)} {html.escape(f.unit)}</td><td class=n>"
                       f"{_aim(bench, k, f)}</td><td class=n>{f.n}</td><td>"
                       f"{ {None: '', True: 'ok', False: 'missed'}[reached(bench, k, f)]}</td></tr>"
                       for k, f in measured.figures.items())
        parts.append(f"<h2>{name}</h2><p>{html.escape(measured.note)}</p><table><tr><th>figure</th><th>value</th>"
                     f"<th>aim</th><th>n</th><th></th></tr>{rows}</table>")
    facts = "; ".join(f"{k} {v}" for k, v in machine().items())
    title = f"{bench.name.capitalize()} figures"
    (folder / f"{bench.name}.html").write_text(
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>body{{font:15px/1.5 "
        "system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem}td,th{padding:.2rem .8rem;text-align:left;"
        f"border-bottom:1px solid #ddd}}.n{{text-align:right}}</style><body><h1>{title}</h1>"
        f"<p>{html.escape(facts)}</p>{''.join(parts)}</body></html>", encoding="utf-8")
