"""`humanoid-twin golden`: are the golden scenarios still what they were?"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from humanoid_bench.scenarios import KEPT, SCENARIOS, STAGES, Scenario, record
from humanoid_cli.errors import BadInput
from humanoid_replay.accept import accept_change, copy
from humanoid_replay.compare import Comparison, compare, parse_tolerances
from humanoid_replay.through import Settings, make_stages, replay
from humanoid_replay.writer import BagWriter

#: Another processor may round the last bits differently.
TOLERANCE = "1e-6"
FOLDER = Path("test/replay/golden")


def golden_command(
    folder: Annotated[Path, typer.Option(help="Where the scenarios are kept.")] = FOLDER,
    only: Annotated[list[str] | None, typer.Option(help="A scenario; may be given many times.")] = None,
    accept: Annotated[str | None, typer.Option(metavar="WHY", help="What they do now is right: keep it, with the "
                                               "reason.")] = None,
    again: Annotated[bool, typer.Option("--record", help="Make the inputs anew as well.")] = False,
) -> None:
    """Replay the golden scenarios and compare. Exit code 0: all the same or accepted, 1: one differs, 2: bad input."""
    names = only or list(SCENARIOS)
    for name in names:
        if name not in SCENARIOS:
            raise BadInput(f"--only {name}: there are {', '.join(SCENARIOS)}")
    if again and accept is None:
        raise BadInput("--record needs --accept WHY: it replaces what is kept")
    bad = 0
    for name in names:
        place = folder / name
        if again or (accept is not None and not (place / "inputs").exists()):
            make(SCENARIOS[name], place)
            typer.echo(f"{name}: recorded")
        with tempfile.TemporaryDirectory() as scratch:
            result = check(SCENARIOS[name], place, Path(scratch) / "actual")
            if result.same:
                typer.echo(f"{name}: the same")
                continue
            first = result.first
            where = "" if first is None else f"; first {first.topic} {first.field} at {first.time_s:.3f} s"
            if accept is not None:
                accept_change(place / "expected", Path(scratch) / "actual", accept, result)
                typer.echo(f"{name}: accepted{where}")
            else:
                bad += 1
                typer.echo(f"{name}: DIFFERENT{where}")
    raise typer.Exit(1 if bad else 0)


def make(scenario: Scenario, place: Path) -> None:
    """Inputs and expected outputs of a scenario, anew; a robot file of its own stays."""
    for part in ("inputs", "expected"):
        shutil.rmtree(place / part, ignore_errors=True)
    record(scenario, scenario.load_robot(place), place / "inputs")
    with tempfile.TemporaryDirectory() as scratch:
        run(scenario, place, Path(scratch) / "whole")
        copy(Path(scratch) / "whole", place / "expected", {f"/{t}" for t in KEPT})


def run(scenario: Scenario, place: Path, out: Path, settings: Settings = ()) -> None:
    """Replay a scenario's inputs into the new folder ``out``."""
    robot = scenario.load_robot(place)
    with BagWriter(out, {"robot": robot.name, "model_hash": robot.hash}) as writer:
        replay(place / "inputs", make_stages(STAGES, robot, (*scenario.settings, *settings)), robot, writer)


def check(scenario: Scenario, place: Path, out: Path, settings: Settings = ()) -> Comparison:
    """Replay and compare what is kept."""
    run(scenario, place, out, settings)
    return compare(place / "expected", out, parse_tolerances([TOLERANCE]), KEPT)
