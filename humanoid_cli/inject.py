"""`humanoid-twin inject <id>`: a row of the fault matrix against a running graph; `--all`: every row, on its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from humanoid_bench.faults import NOT_RUN, ROWS, SETTINGS
from humanoid_bench.faults.judge import Answer
from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_core.robot_schema import nearest


def inject_command(
    fault: Annotated[str, typer.Argument(help="A row's id; --list shows all.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Play every row on graphs of its own.")] = False,
    only: Annotated[str, typer.Option(help="With --all: ids or their beginnings, such as 'D,T' or 'P1'.")] = "",
    report: Annotated[Path, typer.Option(help="With --all: folder for faults.json and faults.html.")] =
    Path("out/faults"),
    show: Annotated[bool, typer.Option("--list", help="Show every row and end.")] = False,
    robot: Annotated[str | None, typer.Option(help="Robot file: a name in config/robots, or a path.")] = None,
    namespace: Annotated[str, typer.Option(help="The robot's namespace.")] = "",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
) -> None:
    """Inject a fault, or all, and say how the robot answered. Exit code 1 when one was not answered as it must."""
    console = Console(highlight=False)
    if show or not (fault or every):
        console.print(_list())
        raise typer.Exit(0 if show else 2)
    check_writable(json)
    if every:
        raise typer.Exit(_all(only, report, robot, json, console))
    if fault in NOT_RUN:
        raise BadInput(f"{fault} cannot be played: {NOT_RUN[fault]}")
    if fault not in ROWS and fault not in SETTINGS:
        raise BadInput(f"no fault '{fault}'; {nearest(fault, [*ROWS, *SETTINGS]).replace('valid key', 'id')}")
    answer = _one(fault, robot, namespace)
    console.print(f"{fault}  {answer.doc}: {answer.verdict}. {answer.why}")
    nan = float("nan")
    write_figures(json, {f"{fault}_named_ms": Figure(answer.named_ms or nan, "ms"),
                         f"{fault}_safe_ms": Figure(answer.safe_ms or nan, "ms", answer.within_ms),
                         f"{fault}_ok": Figure(answer.verdict != "FAILED", "", True)})
    raise typer.Exit(0 if answer.good else 1)


def _list() -> Table:
    table = Table("id", "fault", "must be named", "aim", "where", box=None)
    for row in ROWS.values():
        table.add_row(row.id, row.doc, " or ".join(row.expect) or "–",
                      f"{row.within_ms:g} ms" if row.within_ms else "", row.where)
    for setting in SETTINGS.values():
        table.add_row(setting.id, setting.doc, " and ".join(setting.words), "", "graph")
    for id, why in NOT_RUN.items():
        table.add_row(id, f"not run: {why}", "–", "", "")
    return table


def _all(only: str, report: Path, robot: str | None, json: Path | None, console: Console) -> int:
    from humanoid_cli.inject_all import chosen, not_run, run_all
    from humanoid_cli.inject_report import as_table, figures, in_one_line, write_report

    wanted = chosen(only)
    check_writable(report / "faults.json")
    begin = time.monotonic()
    answers = run_all(wanted, robot, console, report / "logs") + ([] if only else not_run())
    seconds = time.monotonic() - begin
    console.print(as_table(answers))
    write_report(report, answers, seconds)
    write_figures(json, figures(answers, seconds))
    console.print(f"{in_one_line(answers)} in {seconds:.0f} s; {report / 'faults.html'}, {report / 'faults.json'}")
    return 1 if any(a.verdict in ("FAILED", "LATE") for a in answers) else 0


def _one(fault: str, robot_name: str | None, namespace: str) -> Answer:
    """One row against the graph that runs in this ROS_DOMAIN_ID."""
    from humanoid_cli.inject_all import AGAIN, play
    from humanoid_cli.inject_settings import loosen, refuse
    from humanoid_cli.inject_world import graph_world
    from humanoid_core.robot import load_robot

    robot = load_robot(robot_name or "g1")
    setting, row = SETTINGS.get(fault), ROWS.get(fault)
    if setting is not None and not setting.running:
        return refuse(setting)
    if row is not None and row.where == "lockstep":
        raise BadInput(f"{fault} cannot be played on a running graph (see docs/faults.md); --all plays it in lockstep")
    with graph_world(robot, None, namespace=namespace) as world:
        if not world.wait(5.0, lambda: None not in (world.last("safety/status"), world.last("safety/gate"))):
            raise BadInput("no safety_monitor or command_gate is heard: is a graph running in this ROS_DOMAIN_ID (and "
                           "--namespace)? Start one with 'humanoid-twin up'")
        if setting is not None:
            return loosen(world, setting)
        assert row is not None
        world.bring_to_work(AGAIN)  # where nothing moves the fault is injected all the same
        answer = play(world, row, robot)
        world.recover()
        return answer
