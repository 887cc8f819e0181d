"""`humanoid-twin bench <what>`: measurements of the suite itself, as a table and as figures in one JSON shape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from humanoid_cli.errors import BadInput

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
    samples: Annotated[int | None, typer.Option(min=1, help="Faults of each kind given to real processes.")] = None,
    log: Annotated[Path | None, typer.Option(metavar="FILE", help="Resumable log of the long measurements.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write distributions and definitions.")] = None,
) -> None:
    """How fast, how surely and how quietly the safety nodes answer."""
    from humanoid_bench.front import run
    from humanoid_bench.measured import Options
    from humanoid_bench.safety import BENCH

    raise typer.Exit(run(BENCH, Options(quick, only, minutes, seeds, pushes, log, samples=samples), json, report))


@bench.command(name="vla")
def vla_command(
    only: Annotated[str, typer.Option(help="overhead, outages, seams, latency, cycles (kill and restart), graph (the "
                                      "whole graph in real time), separated by commas, or all; default: the first "
                                      "four.")] = "",
    policy: Annotated[str, typer.Option(help="A policy contract whose latency is measured too, e.g. g1_small.")] = "",
    server: Annotated[str, typer.Option(help="A running openpi server for overhead; default: test/peers.")] = "",
    protocols: Annotated[str, typer.Option(help="Of openpi, gr00t, openvla, lerobot; default: all.")] = "",
    count: Annotated[int, typer.Option(min=10, help="Questions to the server.")] = 500,
    looks: Annotated[int, typer.Option(min=10, help="Looks for each policy's latency.")] = 100,
    cycles: Annotated[int, typer.Option(min=1, help="Kills and restarts for each protocol.")] = 200,
    seeds: Annotated[int, typer.Option(min=1, help="Recorded sequences of chunks.")] = 10,
    seconds: Annotated[float, typer.Option(min=5.0, help="Length of each.")] = 60.0,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
) -> None:
    """How fast policies answer, what the client costs, how outages end, how smooth set-points are between chunks."""
    from humanoid_bench.vla import GROUPS, SCHEME, USUAL, Options, run

    groups = GROUPS if only.strip() == "all" else _words("--only", only, GROUPS) or USUAL
    options = Options(groups, server, count, seeds, seconds, looks=looks, cycles=cycles,
                      protocols=_words("--protocols", protocols, tuple(SCHEME)) or tuple(SCHEME), policy=policy)
    raise typer.Exit(run(options, json))


def _words(option: str, text: str, valid: tuple[str, ...]) -> tuple[str, ...]:
    """What stands between commas; refuses a word that is none of ``valid``."""
    words = tuple(w.strip() for w in text.split(",") if w.strip())
    for word in words:
        if word not in valid:
            raise BadInput(f"{option}: '{word}' is unknown; valid: {', '.join(valid)}")
    return words


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
    from humanoid_bench.front import run
    from humanoid_bench.measured import Options
    from humanoid_bench.twin import BENCH

    raise typer.Exit(run(BENCH, Options(quick, only, minutes, seeds, None, log), json))


@bench.command(name="replay")
def replay_command(
    quick: Annotated[bool, typer.Option("--quick", help="Few samples of everything.")] = False,
    only: Annotated[str, typer.Option(help="Names of measurements, separated by commas; default: all.")] = "",
    minutes: Annotated[float | None, typer.Option(min=0.2, help="Length of the recording of the running graph; "
                                                  "default: 10.")] = None,
    bag: Annotated[Path | None, typer.Option(help="A recording of a whole graph, to replay instead of making "
                                             "one.")] = None,
    keep: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep the recording that is made, for "
                                              "--bag.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write figures and definitions.")] = None,
) -> None:
    """How fast and how exactly recordings are replayed, what recording costs, and what damage does."""
    from humanoid_bench.front import run
    from humanoid_bench.measured import Options
    from humanoid_bench.replay import BENCH

    raise typer.Exit(run(BENCH, Options(quick, only, minutes, bag=bag, keep=keep), json, report))


@bench.command(name="graph")
def graph_command(
    quick: Annotated[bool, typer.Option("--quick", help="Half a minute.")] = False,
    minutes: Annotated[float | None, typer.Option(min=0.2, help="How long to watch; default: 10.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write distributions and definitions.")] = None,
) -> None:
    """The whole simulated graph in real time: rates, latency from sensor to robot command, processor, memory."""
    from humanoid_bench.front import run
    from humanoid_bench.graph import BENCH
    from humanoid_bench.measured import Options

    raise typer.Exit(run(BENCH, Options(quick, minutes=minutes), json, report))
