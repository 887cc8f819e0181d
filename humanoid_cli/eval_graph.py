"""`humanoid-twin eval --graph`: seeds x instructions through the demo's path (real nodes, real time), no pictures."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from humanoid_bench.eval_figures import wilson
from humanoid_cli.demo import DemoOptions, Result, graph_of, run_task, stop_on_signals
from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_cli.measure import AIM_CORES, fell_at, rate_ok

#: Asked for one per seed and verb: hands and colours take turns.
DEFAULT = (
    ("touch the blue ball with your left hand", "touch the red cube with your right hand"),
    ("point at the red cube with your right hand", "point at the green cylinder with your left hand"),
    ("wave with your left hand", "wave with your right hand"),
)


def parse_seeds(text: str) -> list[int]:
    """'1-5' or '1,4,9-11' -> whole numbers, each once."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise BadInput(f"--seeds: '{part.strip()}' is neither a number nor a range such as 1-5")
        seeds += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(seeds))


def plan(seeds: list[int], instructions: list[str]) -> list[tuple[int, str]]:
    """(seed, instruction) of every run."""
    if instructions:
        return [(seed, text) for seed in seeds for text in instructions]
    return [(seed, pair[i % 2]) for i, seed in enumerate(seeds) for pair in DEFAULT]


def evaluate(seeds: str, instructions: list[str], seconds: float, out: Path, json: Path | None, robot: str | None,
             settings: tuple[str, ...], at_least: float, policy: str = "classical") -> int:
    """0: the share of successes is at least `at_least` and the robot never fell; 1 otherwise."""
    runs = plan(parse_seeds(seeds), instructions)
    check_writable(json)
    graph_of(DemoOptions("check", robot=robot, settings=settings, policy=policy))
    console = Console(highlight=False)
    results: list[Result] = []
    with stop_on_signals() as stop:
        for number, (seed, text) in enumerate(runs, start=1):
            options = DemoOptions(text, seed=seed, out=out / f"{number:02d}", seconds=seconds, robot=robot,
                                  settings=settings, policy=policy, pictures=False, record=False)
            result, _, _ = run_task(options, lambda *_: None, lambda *_: None, stop.is_set)
            if stop.is_set():
                break
            results.append(result)
            word = Text("success", style="green") if result.outcome.success else Text("failed ", style="red")
            console.print(Text.assemble(f"[{number}/{len(runs)}] ", word, f" seed {seed}, “{text}”: "
                                        f"{result.outcome.reason}"), soft_wrap=True)
    if not results:
        return 130
    console.print(summary(results))
    rows = eval_figures(results, at_least)
    write_figures(json, rows, policy=policy, runs=[
        {"seed": r.options.seed, "instruction": r.options.instruction, "success": r.outcome.success,
         "code": r.outcome.code, "reason": r.outcome.reason, "distance": r.outcome.distance,
         "seconds": r.figures["task_seconds"].value, "cores": r.figures["graph_cores"].value,
         "rates_off": [rate.topic for rate in r.record.rates if not rate_ok(rate)]} for r in results])
    if stop.is_set():
        return 130
    return 0 if float(rows["success_rate"].value) >= at_least and not rows["falls"].value else 1


def summary(results: list[Result]) -> Table:
    """One row per run and a last one for all."""
    table = Table("seed", "instruction", "", "distance", "s", "cores", "rates off", "why", box=None)
    for r in results:
        out = r.outcome
        off = sum(not rate_ok(rate) for rate in r.record.rates)
        mark = Text("✓", "green") if out.success else Text("✗", "red")
        table.add_row(str(r.options.seed), r.options.instruction, mark,
                      f"{out.distance * 100:.1f} cm" if math.isfinite(out.distance) else "–",
                      f"{float(r.figures['task_seconds'].value):.1f}", f"{float(r.figures['graph_cores'].value):.2f}",
                      str(off) if r.record.rates else "–", "" if out.success else f"{out.code}: {out.reason}")
    won = sum(r.outcome.success for r in results)
    table.add_row("", f"{won} of {len(results)} succeeded", style="bold")
    return table


def eval_figures(results: list[Result], at_least: float) -> dict[str, Figure]:
    """Success, falls, time and processor share over all runs."""
    n = len(results)
    won = sum(r.outcome.success for r in results)
    low, high = wilson(won, n)
    cores = [c for r in results if math.isfinite(c := float(r.figures["graph_cores"].value))]
    times = sorted(float(r.figures["task_seconds"].value) for r in results if r.outcome.success)
    return {
        "success_rate": Figure(won / n, "", at_least, n),
        "success_rate_low": Figure(low, "", None, n),
        "success_rate_high": Figure(high, "", None, n),
        "falls": Figure(sum(fell_at(r.record) is not None for r in results), "", 0, n),
        "median_seconds": Figure(times[len(times) // 2] if times else math.nan, "s", None, len(times)),
        "mean_cores": Figure(sum(cores) / len(cores) if cores else math.nan, "cores", AIM_CORES, len(cores)),
    }
