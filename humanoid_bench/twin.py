"""`humanoid-twin bench twin`: every figure of the twin, with how it was measured."""

from __future__ import annotations

import importlib
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

#: Measurement -> (module, function); those in simulated time first.
MEASUREMENTS = {
    "estimate": ("humanoid_bench.twin_simulated", "estimate"),
    "base": ("humanoid_bench.twin_simulated", "base"),
    "delay": ("humanoid_bench.twin_simulated", "delay"),
    "prediction": ("humanoid_bench.twin_ahead", "prediction"),
    "replay": ("humanoid_bench.twin_ahead", "replay_twice"),
    "faults": ("humanoid_bench.twin_simulated", "faults"),
    "alarms": ("humanoid_bench.twin_simulated", "alarms"),
    "identification": ("humanoid_bench.twin_simulated", "identification"),
    "graph": ("humanoid_bench.twin_graph", "graph"),
}
#: Figures of which a larger value is the better one, and those that shall lie in a band.
LARGER_IS_BETTER = ("fault_isolated_share", "interval_coverage", "preview_hz", "replay_same_bytes")
BANDS = {"nees_in_band": (0.90, 0.99)}


def run(options: Options, json: Path | None) -> int:
    """Measure, show, write. Exit code 1 when a measurement could not be made; a missed aim is shown, not failed."""
    wanted = _wanted(options.only)
    check_writable(json)
    console, done, failed, begin = Console(highlight=False), dict[str, Measured](), dict[str, str](), time.monotonic()
    with Progress(TextColumn("{task.description:14}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
                  console=console) as bars:
        for name in wanted:
            task = bars.add_task(name, total=1.0)
            module, function = MEASUREMENTS[name]
            try:
                measure = getattr(importlib.import_module(module), function)
                done[name] = measure(options, lambda share, task=task: bars.update(task, completed=share))
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"
                console.print(traceback.format_exc(limit=-3), style="dim", markup=False)
            bars.update(task, completed=1.0)
    figures = {name: figure for measured in done.values() for name, figure in measured.figures.items()}
    figures["quick"] = Figure(options.quick)
    console.print(_table(figures, options.quick))
    for name, measured in done.items():
        console.print(f"{name}: {measured.note}", markup=False, soft_wrap=True, style="dim")
    for name, why in failed.items():
        console.print(f"{name}: not measured: {why}", markup=False, style="red")
    console.print(f"{time.monotonic() - begin:.0f} s on {machine()['cores']} cores, {machine()['processor']}")
    write_figures(json, figures, notes={name: measured.note for name, measured in done.items()}, not_measured=failed)
    return 1 if failed else 0


def reached(name: str, figure: Figure) -> bool | None:
    """Whether the aim was reached; None without an aim."""
    if figure.aim is None:
        return None
    value = float(figure.value)
    if name in BANDS:
        low, high = BANDS[name]
        return low <= value <= high
    aim = float(figure.aim)
    return value >= aim if name in LARGER_IS_BETTER else value <= aim


def _wanted(only: str) -> list[str]:
    names = [n.strip() for n in only.split(",") if n.strip()]
    for name in names:
        if name not in MEASUREMENTS:
            raise BadInput(f"--only: no measurement '{name}'; "
                           f"{nearest(name, list(MEASUREMENTS)).replace('valid key', 'name')}")
    return names or list(MEASUREMENTS)


def _table(figures: dict[str, Figure], quick: bool) -> Table:
    title = "quick: few samples, for a look and not for publication" if quick else None
    table = Table("figure", "value", "aim", "n", "", box=None, pad_edge=False, title=title, title_justify="left")
    for name, figure in figures.items():
        good = reached(name, figure)
        mark = "" if good is None else "[green]ok[/]" if good else "[red]missed[/]"
        value = f"{figure.value:.4g}" if isinstance(figure.value, float) else str(figure.value)
        aim = "" if figure.aim is None else f"{BANDS[name][0]:g}..{BANDS[name][1]:g}" if name in BANDS \
            else f"{figure.aim:g}" if isinstance(figure.aim, float | int) else str(figure.aim)
        table.add_row(name, f"{value} {figure.unit}", aim, str(figure.n), mark)
    return table
