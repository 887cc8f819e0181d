"""`humanoid-twin log`: is the event log whole, and what does it say?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from humanoid_cli.errors import BadInput
from safety_nodes.core import chain
from safety_nodes.event_log import ENVIRONMENT, chains, log_folder

KINDS = ("START", "STOP", "LEVEL", "LATCH", "RESET", "REFUSAL", "RECOVERY", "OVERRIDE")
_COLUMNS = ("utc", "source", "seq", "kind", "level", "code", "subject", "text")
_STYLE = {"EMERGENCY": "bold red", "DANGER": "red", "WARNING": "yellow", "CAUTION": "cyan"}

log = typer.Typer(no_args_is_help=True, rich_markup_mode=None,
                  help="The event logs of safety_monitor and command_gate.")

Where = Annotated[Path | None, typer.Argument(metavar="PATH", help=f"A log's folder or one file; default: "
                                              f"${ENVIRONMENT} or ~/.humanoid_twin/log.")]


@log.command()
def verify(
    path: Where = None,
    head: Annotated[bool, typer.Option("--head", help="Print the digest of each log's newest line, to be kept "
                                       "elsewhere.")] = False,
    expect_head: Annotated[str, typer.Option(metavar="DIGEST", help="A digest printed earlier: a log must still hold "
                                             "that line.")] = "",
) -> None:
    """Check that no line is missing, changed, moved or added. Exit code 1: something is wrong, with file and line.

    Lines cut off at the end, or a log that was computed anew, show only against a digest kept elsewhere.
    """
    reports = _reports(path)
    wrong = 0
    for name, report in reports.items():
        for fault in report.faults:
            typer.echo(f"{fault.file}:{fault.line}: {fault.text}" if fault.line else f"{fault.file}: {fault.text}")
        wrong += len(report.faults)
        if head:
            typer.echo(f"{name} {report.head}")
            continue
        notes = [f"{len(report.events)} lines", f"head {report.head[:12]}"]
        notes += [f"torn last line in {', '.join(report.torn)} (power loss or kill -9)"] if report.torn else []
        notes += [f"{report.lost} events were lost (disk full, or too slow)"] if report.lost else []
        typer.echo(f"{name}: {'WRONG' if report.faults else 'whole'}, {', '.join(notes)}")
    if expect_head and not any(expect_head in report.digests for report in reports.values()):
        typer.echo(f"no log holds the line {expect_head}: lines were cut off, or a log was written anew")
        wrong += 1
    raise typer.Exit(1 if wrong else 0)


@log.command()
def show(
    path: Where = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest lines.")] = 40,
    kind: Annotated[list[str] | None, typer.Option(help=f"{', '.join(KINDS)}; may be given many times.")] = None,
) -> None:
    """Print the newest events of all logs, in order of time."""
    wanted = {k.upper() for k in kind or KINDS}
    if not wanted <= set(KINDS):
        raise BadInput(f"--kind {', '.join(sorted(wanted - set(KINDS)))}: valid: {', '.join(KINDS)}")
    reports = _reports(path)
    events = [e for report in reports.values() for e in report.events if e.get("kind") in wanted]
    events.sort(key=lambda e: str(e.get("utc", "")))
    table = Table("time (UTC)", "from", "seq", "kind", "level", "code", "subject", "text", box=None, pad_edge=False)
    for e in events[-last:]:
        table.add_row(*(escape(str(e.get(key, ""))) for key in _COLUMNS), style=_STYLE.get(str(e.get("level")), ""))
    Console().print(table)
    if any(report.faults for report in reports.values()):
        typer.echo("these logs are not whole; see 'humanoid-twin log verify'")


def _reports(path: Path | None) -> dict[str, chain.Report]:
    """Each chain's report. One file: by itself, its links to other files are not checked."""
    where = path if path is not None else log_folder()
    try:
        if where.is_dir():
            found = chains(where)
            if not found:
                raise BadInput(f"{where}: no event log here")
            return {name: chain.check([(f.name, f.read_bytes()) for f in files]) for name, files in found.items()}
        content: Any = where.read_bytes()
    except OSError as error:
        raise BadInput(f"{where}: {error.strerror}; name a log's folder or file") from None
    return {where.stem: chain.check([(where.name, content)], whole=False)}
