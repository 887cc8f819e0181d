"""`humanoid-twin bench <what>`: measurements of the suite itself, as a table and as figures in one JSON shape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure the suite itself.")


@bench.callback()
def _front() -> None:
    """Measure the suite itself."""


@bench.command(name="safety")
def safety_command(
    quick: Annotated[bool, typer.Option("--quick", help="Few samples, in less than two minutes.")] = False,
    only: Annotated[str, typer.Option(help="Names of measurements, separated by commas; default: all.")] = "",
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Simulated minutes for false emergencies.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds a class of injected faults.")] = None,
    pushes: Annotated[int | None, typer.Option(min=1, help="Pushes.")] = None,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Resumable log of the long measurements.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write distributions and definitions.")] = None,
) -> None:
    """How fast, how surely and how quietly the safety nodes answer."""
    from humanoid_bench.safety import Options, run

    raise typer.Exit(run(Options(quick, only, minutes, seeds, pushes, log), json, report))


@bench.command(name="vla")
def vla_command(
    server: Annotated[str, typer.Option(help="A running openpi server; default: test/peers.")] = "",
    count: Annotated[int, typer.Option(min=10, help="Questions to the server.")] = 500,
    seeds: Annotated[int, typer.Option(min=1, help="Recorded sequences of chunks.")] = 10,
    seconds: Annotated[float, typer.Option(min=5.0, help="Length of each.")] = 60.0,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
) -> None:
    """What the policy client costs over the bare server, and how smooth set-points are where chunks meet."""
    from humanoid_bench.vla import run

    raise typer.Exit(run(server, count, seeds, seconds, json))


@bench.command(name="twin")
def twin_command(
    quick: Annotated[bool, typer.Option("--quick", help="Few samples of everything.")] = False,
    only: Annotated[str, typer.Option(help="Names of measurements, separated by commas; default: all.")] = "",
    minutes: Annotated[float | None, typer.Option(min=1.0, help="Simulated minutes for false alarms.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of each measurement.")] = None,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Resumable log of what was simulated.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
) -> None:
    """How well the twin knows the robot, what it sees ahead, which faults it names, and what it costs."""
    from humanoid_bench.measured import Options
    from humanoid_bench.twin import run

    raise typer.Exit(run(Options(quick, only, minutes, seeds, None, log), json))
