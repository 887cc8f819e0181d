"""`humanoid-twin compare`: does this recording say what that one said?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from humanoid_cli.compare_plots import page
from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_replay.accept import accept_change
from humanoid_replay.compare import CompareError, Comparison, TopicResult, compare, parse_tolerances
from humanoid_replay.errors import BagError

#: Lines of each kind on the terminal; the JSON file holds all.
SHOWN = 8


def compare_command(
    expected: Annotated[Path, typer.Argument(help="The recording that is right.")],
    actual: Annotated[Path, typer.Argument(help="The recording to judge.")],
    tolerance: Annotated[list[str] | None, typer.Option(metavar="NUMBER | TOPIC[.FIELD]=NUMBER", help="Absolute, in "
                                                        "the field's unit; may be given many times.")] = None,
    topic: Annotated[list[str] | None, typer.Option(help="Compare only this topic; may be given many times.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE",
                                              help="Write machine, figures and all differences to FILE.")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="FILE", help="Write an HTML page that shows the fields that "
                                               "differ over time.")] = None,
    accept: Annotated[str | None, typer.Option(metavar="WHY", help="The new behaviour is right: replace the expected "
                                               "recording, and note why.")] = None,
) -> None:
    """Compare two recordings per topic and field. Exit code 0: the same or accepted, 1: different, 2: bad input."""
    check_writable(json)
    check_writable(plots)
    if accept is not None and not accept.strip():
        raise BadInput("--accept needs a reason: who reads the recording's history will ask why")
    try:
        result = compare(expected, actual, parse_tolerances(tolerance or []), topic or [])
    except (BagError, CompareError) as error:
        raise BadInput(str(error)) from None
    _tell(result)
    differing = [t for t in result.topics if not t.same]
    write_figures(json, {"topics_different": Figure(len(differing), "", 0, len(result.topics))}, same=result.same,
                  topics=[asdict(t) for t in result.topics], missed_events=result.missed_events,
                  new_events=result.new_events,
                  levels=None if result.levels is None else {"expected": result.levels[0], "actual": result.levels[1]})
    if plots is not None:
        plots.write_text(page(expected, actual, result), encoding="utf-8")
        typer.echo(str(plots))
    if accept is not None and not result.same:
        typer.echo(f"accepted: {accept_change(expected, actual, accept, result)}")
        return
    raise typer.Exit(0 if result.same else 1)


def _tell(result: Comparison) -> None:
    for line in result.remarks:
        typer.echo(line)
    for row in result.topics:
        if not row.same:
            _tell_topic(row)
    if result.levels is not None:
        typer.echo(f"levels expected: {', '.join(result.levels[0]) or 'none'}")
        typer.echo(f"levels actual:   {', '.join(result.levels[1]) or 'none'}")
    for title, lines in (("missed", result.missed_events), ("new", result.new_events)):
        for line in lines[:SHOWN]:
            typer.echo(f"{title} event: {line}")
        if len(lines) > SHOWN:
            typer.echo(f"... and {len(lines) - SHOWN} more {title} events")
    first = result.first
    if first is not None:
        typer.echo(f"first difference: {first.topic} {first.field} at {first.time_s:.3f} s (message {first.message}): "
                   f"expected {first.expected}, got {first.actual}")
    messages = sum(t.expected for t in result.topics)
    differing = sum(not t.same for t in result.topics)
    what = f"DIFFERENT: {differing} of {len(result.topics)} topics differ" if differing else \
        f"same: all {len(result.topics)} topics"
    typer.echo(f"{what}, {messages} messages expected")


def _tell_topic(row: TopicResult) -> None:
    parts = [f"{n} {word}" for n, word in ((row.differing, "differ"), (row.missed, "missing"), (row.new, "new")) if n]
    typer.echo(f"{row.topic}: {', '.join([*parts, row.note] if row.note else parts)} (of {row.expected})")
    for d in row.differences[:SHOWN]:
        typer.echo(f"  {d.field}: {d.count} x, largest {d.largest:.3g}; first at {d.time_s:.3f} s, message "
                   f"{d.message}: expected {d.expected}, got {d.actual}")
    if len(row.differences) > SHOWN:
        typer.echo(f"  ... and {len(row.differences) - SHOWN} more fields")
