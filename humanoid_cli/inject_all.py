"""Every row of the fault matrix, one after the other: graphs are started, an arm moves, faults come and go."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from humanoid_bench.faults import NOT_RUN, ROWS, SETTINGS
from humanoid_bench.faults.configuration import Refusal
from humanoid_bench.faults.judge import Answer, judge
from humanoid_bench.faults.row import NotPossible, Row, Wrong
from humanoid_cli.errors import BadInput
from humanoid_cli.inject_graphs import make_graph
from humanoid_cli.inject_settings import loosen, refuse
from humanoid_cli.inject_world import GraphWorld, graph_world
from humanoid_cli.session import own_domain
from humanoid_cli.supervisor import Supervisor
from humanoid_cli.witness import Witness, witness
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import RobotModel

START = 90.0  # s for a graph to come to work
AGAIN = 15.0  # s to come back to work between two rows
PLAYS = 3  # of a row at which the machine itself stood still

Wanted = Row | Refusal


def chosen(only: str) -> list[Wanted]:
    """Rows by id or by the beginning of ids ('D,T', 'P1', 'B1-left'); all when empty."""
    every: list[Wanted] = [*ROWS.values(), *SETTINGS.values()]
    words = [w.strip() for w in only.split(",") if w.strip()]
    found = [row for row in every if not words or any(_fits(row.id, w) for w in words)]
    if not found:
        raise BadInput(f"no fault begins with '{only}'; 'humanoid-twin inject --list' shows all")
    return found


def _fits(id: str, word: str) -> bool:
    return id == word or (id.startswith(word) and (len(word) == 1 or not id[len(word):][:1].isdigit()))


def run_all(wanted: Sequence[Wanted], robot_name: str | None, console: Console, logs: Path) -> list[Answer]:
    """Play every row and say how it was answered, in the order given."""
    robot = load_robot(robot_name or "g1")
    logs.mkdir(parents=True, exist_ok=True)
    answers: dict[str, Answer] = {}
    with own_domain(), _progress(console, len(wanted)) as advance, witness() as seen:
        if not seen.trusted:
            console.print("no right to real-time priority: a row that fails while the machine stands still has failed")
        for row in wanted:
            if isinstance(row, Refusal) and not row.running:
                advance(row.id, answers, refuse(row))
            elif isinstance(row, Row) and row.where == "lockstep":
                advance(row.id, answers, _in_lockstep(robot, row))
        for graph, rows in _sessions(wanted):
            _session(graph, rows, robot, robot_name, logs, answers, advance, seen)
    return [answers[row.id] for row in wanted if row.id in answers]


def _in_lockstep(robot: RobotModel, row: Row) -> Answer:
    from humanoid_bench.faults.house import House, play

    with House(robot, table=row.graph == "table", deaf=row.graph == "deaf") as house:
        answer = play(house, row, robot)
    return replace(answer, why=f"{answer.why} (in lockstep)")


def _sessions(wanted: Iterable[Wanted]) -> Iterator[tuple[str, list[Wanted]]]:
    """Rows by graph; those after which the graph is gone come last."""
    on_graph = [r for r in wanted if (r.running if isinstance(r, Refusal) else r.where != "lockstep")]
    on_graph.sort(key=lambda r: (_graph(r), isinstance(r, Row) and r.after == "restart"))
    for graph, rows in groupby(on_graph, key=_graph):
        yield graph, list(rows)


def _graph(row: Wanted) -> str:
    return "arms" if isinstance(row, Refusal) else row.graph


def _session(kind: str, rows: list[Wanted], robot: RobotModel, robot_name: str | None, logs: Path,
             answers: dict[str, Answer], advance, seen: Witness) -> None:  # type: ignore[no-untyped-def]
    """Rows on graphs of one kind; a fresh graph whenever the last one is used up."""
    left, tried, stood = list(rows), set[str](), dict[str, list[float]]()
    while left:
        with open(logs / f"{kind}.log", "a") as log, _running(kind, robot, robot_name, log) as world:
            fresh = True
            while left:
                row = left[0]
                if isinstance(row, Refusal):
                    advance(row.id, answers, loosen(world, row))
                    left.pop(0)
                    continue
                if not _ready(world, row, START if fresh else AGAIN):
                    if not fresh and row.id not in tried:
                        tried.add(row.id)
                        break  # with a fresh graph once more
                    advance(row.id, answers, Answer(row.id, row.doc, "FAILED", f"nothing moved before the injection: "
                                                    f"{_state(world)}"))
                    left.pop(0)
                    break
                fresh = False
                begin_ns = time.monotonic_ns()
                answer = play(world, row, robot)
                pause, pauses = seen.longest_ms(begin_ns), stood.setdefault(row.id, [])
                if counts(answer, pause, len(pauses) + 1):
                    advance(row.id, answers, explained(answer, pauses))
                    left.pop(0)
                else:
                    pauses.append(pause)
                if row.after == "restart" or world.recover():
                    break


def counts(answer: Answer, pause_ms: float, plays: int) -> bool:
    """Whether the answer is the row's, and not the machine's, which stood still for ``pause_ms`` meanwhile."""
    return answer.verdict not in ("FAILED", "LATE") or not pause_ms > 0.0 or plays >= PLAYS


def explained(answer: Answer, pauses: Sequence[float]) -> Answer:
    """With how often it was played before, and why that does not count."""
    if not pauses:
        return answer
    times = ", ".join(f"{ms:.0f}" for ms in pauses)
    return replace(answer, why=f"{answer.why} (played {len(pauses) + 1} times: the machine stood still for {times} ms)")


def _ready(world: GraphWorld, row: Row, seconds: float) -> bool:
    """At work; a graph without a joint sensor never is: its monitor speaks."""
    if row.graph == "deaf":
        return world.wait(seconds, lambda: world.last("safety/status") is not None)
    return world.bring_to_work(seconds)


def play(world: GraphWorld, row: Row, robot: RobotModel) -> Answer:
    """Inject into a graph at work, watch, judge."""
    world.prepare(row)
    world.mover.willing = row.stops is False
    begin = world.now_ns()
    try:
        row.do(world)
        world.wait(max(row.watch - (world.now_ns() - begin) / 1e9, 0.3))
        return judge(world, row, begin, robot)
    except NotPossible as reason:
        return Answer(row.id, row.doc, "not run", str(reason))
    except Wrong as wrong:
        return Answer(row.id, row.doc, "FAILED", str(wrong))


def _state(world: GraphWorld) -> str:
    status, gate = world.last("safety/status"), world.last("safety/gate")
    if status is None or gate is None:
        return "monitor or gate is silent"
    return f"level {status.level.name} {status.cause}; gate {gate.state} {gate.reason}"


@contextmanager
def _running(kind: str, robot: RobotModel, robot_name: str | None, log) -> Iterator[GraphWorld]:  # type: ignore[no-untyped-def]
    """A graph, and a world on it. Respawned nodes come back; the monitor and the gate never do."""
    graph = make_graph(kind, robot_name)
    with (Supervisor(graph, lambda node, line: print(f"{time.monotonic():.3f} {node}: {line}", file=log, flush=True),
                     environment={"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}) as supervisor,
          graph_world(robot, supervisor, moves=kind != "whole", simulated_time=kind == "clock") as world):
        yield world


@contextmanager
def _progress(console: Console, total: int) -> Iterator[object]:
    """Shows what is being played; one line a row where there is no terminal."""
    with Progress(SpinnerColumn(), TextColumn("{task.completed}/{task.total} {task.description}"),
                  TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("the fault matrix", total=total)

        def advance(id: str, answers: dict[str, Answer], answer: Answer) -> None:
            answers[id] = answer
            bar.update(task, advance=1, description=f"{id} {answer.verdict}")
            if not console.is_terminal:
                console.print(f"{answer.verdict:8}{id:16}{answer.why}", highlight=False, soft_wrap=True)

        yield advance


def not_run() -> list[Answer]:
    """Rows of the matrix that nobody can play yet."""
    return [Answer(id, "security row of the matrix", "not run", why) for id, why in NOT_RUN.items()]
