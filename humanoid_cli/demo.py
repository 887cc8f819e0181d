"""`humanoid-twin demo`: tell the simulated robot what to do, watch it, judge it, show it."""

from __future__ import annotations

import math
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_cli.measure import AIM_CORES, Outcome, figures, judge, latencies, levels, outcome, rate_ok
from humanoid_cli.session import Moment, Record, Session, own_domain
from humanoid_core.graph import Graph, load_graph, parse_setting
from humanoid_core.robot import RobotModel, load_robot
from humanoid_core.timing import NS
from humanoid_core.types import Level
from humanoid_replay.about import about
from humanoid_replay.recorder import Recorder

LEVEL_STYLE = {Level.SAFE: "green", Level.CAUTION: "yellow", Level.WARNING: "dark_orange", Level.DANGER: "red",
               Level.EMERGENCY: "bold red"}
#: So many lines of the nodes are shown at a time; all of them are in nodes.log.
LINES = 4


@dataclass(frozen=True)
class DemoOptions:
    """What `demo` and `eval` can be told. ``policy``: classical, or a contract by name or path."""

    instruction: str
    seed: int = 7
    out: Path = Path("out/demo")
    seconds: float = 40.0
    graph: str = "sim"
    robot: str | None = None
    settings: tuple[str, ...] = ()
    policy: str = "classical"
    pictures: bool = True
    record: bool = True


@dataclass(frozen=True)
class Result:
    """One finished task."""

    options: DemoOptions
    record: Record
    outcome: Outcome
    figures: dict[str, Figure]


def demo(options: DemoOptions, json: Path | None, console: Console | None = None) -> int:
    """Run, judge and show one task. 0: success; 1: failed; 130: interrupted."""
    console = console or Console(highlight=False)
    check_writable(json)
    with stop_on_signals() as stop:
        display = Display(console, options.instruction)
        with display:
            result, robot, graph = run_task(options, display.log, display.show, stop.is_set)
    if not math.isnan(result.record.ready_after):
        console.print(closing_table(result))
    written = write_outputs(result, robot, graph, console)
    write_figures(json, result.figures, instruction=options.instruction, seed=options.seed,
                  success=result.outcome.success, reason=result.outcome.reason, code=result.outcome.code)
    for line in result.record.recording_errors:
        console.print(line, style="red")
    if written:
        console.print(f"written to {options.out}/: {', '.join(written)}")
    word, style = ("SUCCESS", "bold green") if result.outcome.success else ("FAILED", "bold red")
    code = f" {result.outcome.code}:" if result.outcome.code else ":"
    console.print(f"{word}{code} {result.outcome.reason}", style=style, soft_wrap=True)
    if result.record.interrupted:
        return 130
    return 0 if result.outcome.success else 1


def run_task(options: DemoOptions, log: Callable[[str, str], None], show: Callable[[Moment, Any], None],
             stopped: Callable[[], bool]) -> tuple[Result, RobotModel, Graph]:
    """Everything but the showing: graph up, instruction, record, judgement."""
    if not options.instruction.strip():
        raise BadInput("--instruction is empty; for example: --instruction 'touch the blue ball with your left hand'")
    graph = graph_of(options)
    robot = load_robot(str(graph.arguments.get("robot", "g1")))
    logs = NodeLog(options.out if options.pictures or options.record else None)
    with own_domain(), bag_writer(options, log) as sink, logs:

        def both(node: str, line: str) -> None:
            logs.write(node, line)
            log(node, line)

        record = Session(graph, both, show, stopped).run(options.instruction, options.seconds, sink=sink,
                                                         pictures=options.pictures)
    out = outcome(record, judge(record, robot, options.instruction), robot)
    return Result(options, record, out, figures(record, out)), robot, graph


def graph_of(options: DemoOptions) -> Graph:
    """The graph with robot and seed filled in where it takes them."""
    known = load_graph(options.graph).arguments
    given: dict[str, Any] = {"robot": options.robot} if options.robot is not None else {}
    if "seed" in known:
        given["seed"] = options.seed
    settings = *settings_of_policy(options.policy, options.robot or "g1"), *options.settings
    return load_graph(options.graph, given, [parse_setting(s) for s in settings])


def settings_of_policy(policy: str, robot: str) -> tuple[str, ...]:
    """The settings of vla_policy for a policy; refuses one that does not fit the robot."""
    from vla_nodes.core.contract import ContractError, policy_settings

    try:
        return policy_settings(policy, load_robot(robot))
    except ContractError as error:
        raise BadInput(str(error)) from None


class NodeLog:
    """nodes.log: what every node wrote, whole."""

    def __init__(self, folder: Path | None) -> None:
        self._file = None
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = (folder / "nodes.log").open("w", encoding="utf-8")
            except OSError as error:
                raise BadInput(f"cannot write into {folder}: {error.strerror}") from None

    def write(self, node: str, line: str) -> None:
        if self._file is not None and not self._file.closed:
            self._file.write(f"{node}: {line}\n")

    def __enter__(self) -> NodeLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def bag_writer(options: DemoOptions, log: Callable[[str, str], None]) -> Iterator[Any]:
    """A writer of `out/demo/bag`, or None when nothing shall be recorded."""
    if not options.record:
        yield None
        return
    folder = options.out / "bag"
    _remove_old(folder)
    with Recorder(folder, about(load_robot(options.robot or "g1"))) as recorder:
        yield recorder


def _remove_old(folder: Path) -> None:
    """The bag of the run before makes room; a folder that holds anything else is refused."""
    if not folder.exists():
        return
    strange = [p.name for p in folder.iterdir() if p.suffix not in (".mcap", ".growing") and p.name != "metadata.yaml"]
    if strange:
        raise BadInput(f"{folder} is no recording of a demo (it holds {strange[0]}); choose another --out")
    shutil.rmtree(folder)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set an event, so that everything started is ended in order."""
    stop = threading.Event()
    before = {n: signal.signal(n, lambda *_: stop.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Display:
    """Live progress on a terminal; one line every two seconds elsewhere."""

    def __init__(self, console: Console, instruction: str) -> None:
        self._console, self._instruction = console, instruction
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._lines: deque[str] = deque(maxlen=LINES)
        self._unsaid = 0
        self._said, self._next = "", 0.0
        self._counts: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Display:
        self._console.print(f"“{self._instruction}”", style="bold")
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def log(self, node: str, line: str) -> None:
        self._lines.append(f"{node}: {line}")
        self._unsaid += 1
        if self._live is None and self._unsaid <= LINES:
            self._console.print(Text(f"  {node}: {line}", style="dim"), soft_wrap=True)

    def show(self, moment: Moment, watcher: Any) -> None:
        """Called by the session about four times a second."""
        text = self._sentence(moment, watcher)
        if self._live is not None:
            body = Text(text)
            for line in self._lines:
                body.append(f"\n  {line}", style="dim")
            self._live.update(body, refresh=True)
            return
        key = f"{moment.phase}{moment.waiting_for}"
        if key != self._said or moment.since_ask >= self._next:
            self._said, self._next = key, moment.since_ask + 2.0
            if self._unsaid > LINES:
                self._console.print(f"  … {self._unsaid - LINES} more lines in nodes.log", style="dim")
            self._unsaid = 0
            self._console.print(text, soft_wrap=True)

    def _sentence(self, moment: Moment, watcher: Any) -> str:
        if moment.phase == "starting":
            if not moment.waiting_for:
                return "ready"
            more = f" and {len(moment.waiting_for) - 3} more" if len(moment.waiting_for) > 3 else ""
            return f"starting; waiting for {', '.join(moment.waiting_for[:3])}{more}"
        parts = [f"{moment.since_ask:5.1f} s", moment.phase]
        status, safety, truth = (watcher.latest(n) for n in ("vla/status", "safety/status", "sim/truth"))
        if status is not None:
            parts.append(f"policy {status.state} {100 * status.progress:.0f} % ({status.detail})")
        if safety is not None:
            cause = f" ({safety.cause})" if safety.cause else ""
            parts.append(f"level {Level(safety.level).name}{cause}")
        if truth is not None and truth.objects:
            near = min(truth.objects, key=lambda o: min(o.left_hand_distance, o.right_hand_distance))
            parts.append(f"{near.name}: left {near.left_hand_distance * 100:.0f} cm, right "
                         f"{near.right_hand_distance * 100:.0f} cm")
        return " · ".join([*parts, self._rates(moment.since_ask, watcher)])

    def _rates(self, now: float, watcher: Any) -> str:
        """Messages per second since the last look, of three topics that tell whether the graph lives."""
        out = []
        for name in ("joint_states", "twin/state", "robot/joint_command"):
            count = watcher.count(name)
            then, before = self._counts.get(name, (now, count))
            if now - then >= 1.0 or name not in self._counts:
                self._counts[name] = (now, count)
            out.append(f"{name} {(count - before) / (now - then):.0f} Hz" if now > then else f"{name} – Hz")
        return ", ".join(out)


def closing_table(result: Result) -> Table:
    """Outcome, rates, latencies, levels and processor share, in one table."""
    record, out = result.record, result.outcome
    table = Table(title=f"“{result.options.instruction}”, seed {result.options.seed}", title_justify="left",
                  show_header=False, box=None, pad_edge=False)
    distance = f"{out.distance * 100:.1f} cm" if math.isfinite(out.distance) else "–"
    seconds = record.answer.seconds if record.answer else (record.end_ns - record.start_ns) / NS
    table.add_row("outcome", Text("success" if out.success else f"failed ({out.code})",
                                  style="green" if out.success else "red"))
    table.add_row("distance, time", f"{distance}, {seconds:.1f} s")
    for name, values in zip(("camera → plan", "camera → plan received", "camera → command to the robot"),
                            (latencies(record).made, latencies(record).received, latencies(record).commanded),
                            strict=True):
        good = sorted(v for v in values if math.isfinite(v))
        if good:
            table.add_row(name, f"median {good[len(good) // 2]:.0f} ms, worst {good[-1]:.0f} ms, {len(good)} plans")
    table.add_row("safety level", _levels(record))
    rates = [r for r in record.rates if r.aim is not None and (r.count or not rate_ok(r))]
    off = [r for r in rates if not rate_ok(r)]
    table.add_row("rates", Text.assemble(*_rate_texts(rates)))
    table.add_row("", f"{len(rates) - len(off)} of {len(rates)} topics within 5 % of the table")
    shares = ", ".join(f"{n} {s:.2f}" for n, s in record.cpu.items())
    total = sum(record.cpu.values())
    table.add_row("cores", f"{total:.2f} of at most {AIM_CORES} ({shares}); this program {record.own_cpu:.2f}")
    for at, event, _ in record.deaths:
        table.add_row("process", Text(f"{event} at {at:.1f} s", style="red"))
    return table


def _levels(record: Record) -> Text:
    text, merged = Text(), list[tuple[Level, float, float]]()
    for span in levels(record):
        if merged and merged[-1][0] == span.level:
            merged[-1] = (span.level, merged[-1][1], span.end)
        else:
            merged.append((span.level, span.begin, span.end))
    for level, begin, end in merged[:12]:
        text.append(f"{level.name} {max(begin, 0.0):.1f}–{end:.1f} s  ", style=LEVEL_STYLE[level])
    if len(merged) > 12:
        text.append(f"… {len(merged) - 12} more changes")
    return text if merged else Text("nothing heard", style="red")


def _rate_texts(rates: list[Any]) -> list[tuple[str, str]]:
    out = []
    for rate in rates:
        out.append((f"{rate.topic} {rate.hz:.1f}", "" if rate_ok(rate) else "red"))
        out.append((f"/{rate.aim:g} Hz, " if rate is not rates[-1] else f"/{rate.aim:g} Hz", ""))
    return out


def write_outputs(result: Result, robot: RobotModel, graph: Graph, console: Console) -> list[str]:
    """Pictures, video and report into the folder; the names of what was written."""
    options, record = result.options, result.record
    written = ["bag/"] if options.record and (options.out / "bag").is_dir() else []
    if not options.pictures:
        return written
    os.environ.setdefault("MUJOCO_GL", "egl")
    from humanoid_cli.report import Told, write_report
    from vla_nodes.core.instruction import Task, parse

    options.out.mkdir(parents=True, exist_ok=True)
    picture = None
    try:
        picture = draw(result, robot, graph, written)
    except Exception as error:  # the run counts even when a picture of it fails
        console.print(f"pictures failed: {type(error).__name__}: {error}", style="yellow")
    task = parse(options.instruction)
    thing = task.thing if isinstance(task, Task) and (task.colour or task.kind) else ""
    page = write_report(Told(options.instruction, options.seed, robot, thing), record, result.outcome, result.figures,
                        picture)
    (options.out / "report.html").write_text(page, encoding="utf-8")
    return [*written, "report.html", "nodes.log"]


def draw(result: Result, robot: RobotModel, graph: Graph, written: list[str]) -> bytes | None:
    """strip.png and run.mp4; returns the strip."""
    from humanoid_cli import pictures as p

    record, folder = result.record, result.options.out
    if not record.end_ns:
        return None
    seconds = (record.end_ns - record.start_ns) / NS
    head = [f for f in p.head_frames(record) if -0.2 <= f[0] <= seconds + 0.2]
    times = [k / p.FPS for k in range(int(seconds * p.FPS) + 1)]
    parameters = next((n.parameters for n in graph.nodes if n.executable == "sim_robot"), {})
    outside = p.outside_frames(record, robot, parameters, times)
    strip = p.strip([("outside", p.spread(outside, 6, 0.0, seconds)), ("head camera", p.spread(head, 6, 0.0, seconds))])
    if strip is None:
        return None
    data = p.png(strip)
    (folder / "strip.png").write_bytes(data)
    written.append("strip.png")
    if p.write_video(folder / "run.mp4", outside, p.spread(head, len(times), 0.0, seconds)):
        written.append("run.mp4")
    return data
