"""`humanoid-twin ingest <bag>`: a recording through the ingest core, and what it says of each source."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_core.robot import RobotModel, SourceSpec, load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.topics import TOPICS
from humanoid_core.types import SensorHealth
from humanoid_replay.errors import BagError
from humanoid_replay.mapping import Mapping as Names
from humanoid_replay.mapping import MappingError, load_mapping
from humanoid_replay.reader import BagReader
from humanoid_replay.samples import KINDS, capture_ns, sample_of
from twin_nodes.core.ingest import IngestCore
from twin_nodes.core.verdict import IngestConfig

#: For a recording of an unknown robot: a sample older than so many periods, and than this, is stale.
STALE_PERIODS, STALE_MS = 5.0, 200.0
#: An interval between stamps longer than so many of the median interval is a gap.
GAP_PERIODS = 2.5


@dataclass
class Seen:
    """What came of one source."""

    topic: str
    type: str
    arrival_ns: list[int] = field(default_factory=list)
    stamp_ns: list[int] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceReport:
    """One row of the table. Times in ms; ``rate`` in Hz; by capture stamps except the age (arrival - stamp)."""

    topic: str
    type: str
    messages: int
    rate: float
    age_median: float
    age_p99: float
    jitter: float
    gaps: int
    longest_gap: float
    refusals: Mapping[str, int]


@dataclass(frozen=True)
class BagReport:
    """A whole recording."""

    sources: tuple[SourceReport, ...]
    health: SensorHealth | None
    states: int
    events: tuple[str, ...]
    recorded_s: float
    took_s: float
    unused: tuple[str, ...]
    waiting: tuple[str, ...]
    damage: tuple[str, ...] = ()


def ingest_bag(path: Path, robot: RobotModel | None, config: IngestConfig, stale_ms: float | None = None,
               mapping: Names | None = None) -> BagReport:
    """Run the recording at ``path`` through the ingest core, in order of arrival; BagError when it cannot be read.

    With a robot, its file says what the sources are; without one, every topic of a known sensor type is one.
    """
    started = time.perf_counter()
    with BagReader(path) as bag:
        mapping = mapping or Names()
        names = mapping.topics(bag, _source_names(bag, robot))
        if not names:
            raise BagError(path, f"nothing in it that ingest could use; {_readable(robot)}")
        core = IngestCore(_specs(bag, names, robot, stale_ms), robot, config)
        seen: dict[str, Seen] = {}
        states, events, last_ns = 0, [], 0
        for record in bag.messages(names):
            if record.type not in KINDS:
                continue
            topic = names[record.topic]
            row = seen.setdefault(topic, Seen(topic, record.type))
            row.arrival_ns.append(record.stamp_ns)
            row.stamp_ns.append(capture_ns(record.message))
            output = core.on_sample(topic, mapping.sample(sample_of(record.message, record.type)), record.stamp_ns)
            states += output.state is not None
            events += output.events
            if output.refusal is not None:
                row.refusals[output.refusal.code] = row.refusals.get(output.refusal.code, 0) + 1
            last_ns = record.stamp_ns
        unused = tuple(f"{t.name} ({t.type.split('/')[-1]})" for t in bag.topics if t.name not in names)
        return BagReport(tuple(source_report(s) for s in sorted(seen.values(), key=lambda s: s.topic)),
                         core.health(last_ns) if last_ns else None, states, tuple(events), bag.duration_s,
                         time.perf_counter() - started, unused, core.waiting_for(), tuple(bag.remarks))


def _readable(robot: RobotModel | None) -> str:
    if robot is not None:
        return f"the sources of robot '{robot.name}' are {', '.join(robot.sources)}"
    return f"it reads {', '.join(sorted(k.split('/')[-1] for k in KINDS))}"


def source_report(seen: Seen) -> SourceReport:
    """Figures over the whole recording, of all messages whether accepted or not."""
    arrival, stamps = np.array(seen.arrival_ns), np.array(seen.stamp_ns)
    age = (arrival - stamps)[stamps > 0] / MS
    steps = np.diff(np.unique(stamps[stamps > 0])) / MS
    median, p99 = np.percentile(age, (50, 99)) if age.size else (np.nan, np.nan)
    usual = float(np.median(steps)) if steps.size else np.nan
    rate = NS / MS * steps.size / float(steps.sum()) if steps.size else 0.0
    late = steps > GAP_PERIODS * usual
    jitter = float(steps[~late].std()) if steps.size else np.nan
    return SourceReport(seen.topic, seen.type, len(arrival), rate, float(median), float(p99), jitter,
                        int(late.sum()), float(steps.max()) if steps.size else np.nan, dict(seen.refusals))


def _source_names(bag: BagReader, robot: RobotModel | None) -> dict[str, str]:
    """Recorded topic -> name of the source. A namespace before a robot's topics is overlooked."""
    found: dict[str, str] = {}
    for topic in bag.topics:
        if topic.type not in KINDS or topic.count == 0:
            continue
        relative = topic.name.lstrip("/")
        if any(f"/{relative}".endswith(f"/{t.name}") for t in TOPICS.values() if t.publisher != "robot"):
            continue  # what the suite itself said, such as the ghost robot's joints
        if robot is None:
            found[topic.name] = relative
            continue
        name = next((s for s in robot.sources if relative == s or relative.endswith(f"/{s}")), None)
        if name is not None and robot.sources[name].kind == KINDS[topic.type][0] and name not in found.values():
            found[topic.name] = name
    return found


def _specs(bag: BagReader, names: Mapping[str, str], robot: RobotModel | None,
           stale_ms: float | None) -> dict[str, SourceSpec]:
    if robot is not None:
        return {n: s for n, s in robot.sources.items() if n in names.values() or s.kind in ("joints", "imu")}
    specs = {}
    for topic in bag.topics:
        if topic.name in names:
            rate = topic.count / bag.duration_s if bag.duration_s > 0.0 else 1.0
            limit = stale_ms or max(STALE_MS, STALE_PERIODS * 1e3 / rate)
            # Whether a source that stands still is frozen is not known of a robot that nobody described.
            name = names[topic.name]
            specs[name] = SourceSpec(name, KINDS[topic.type][0], rate, limit, 0.0, False, None)
    return specs


def figures_of(report: BagReport) -> dict[str, Figure]:
    """Names as `<topic>.rate_hz`, `<topic>.age_median_ms`, ..."""
    figures: dict[str, Figure] = {"states": Figure(report.states, "", None, report.states),
                                  "speed": Figure(report.recorded_s / max(report.took_s, 1e-9), "x real time")}
    for s in report.sources:
        for name, value, unit in (("rate_hz", s.rate, "Hz"), ("age_median_ms", s.age_median, "ms"),
                                  ("age_p99_ms", s.age_p99, "ms"), ("jitter_ms", s.jitter, "ms"),
                                  ("gaps", s.gaps, ""), ("longest_gap_ms", s.longest_gap, "ms"),
                                  ("refused", sum(s.refusals.values()), "")):
            figures[f"{s.topic}.{name}"] = Figure(value, unit, None, s.messages)
    return figures


def as_table(report: BagReport) -> Table:
    table = Table(title=None, header_style="bold")
    table.add_column("source", no_wrap=True)
    for title in ("messages", "rate Hz", "age ms\nmedian", "age ms\np99", "jitter ms", "gaps", "longest ms"):
        table.add_column(title, justify="right")
    table.add_column("refused")
    for s in report.sources:
        refused = ", ".join(f"{code} {count}" for code, count in sorted(s.refusals.items())) or "none"
        table.add_row(s.topic, str(s.messages), f"{s.rate:.2f}", f"{s.age_median:.2f}", f"{s.age_p99:.2f}",
                      f"{s.jitter:.2f}", str(s.gaps), f"{s.longest_gap:.1f}", refused)
    return table


def remarks(report: BagReport, config: IngestConfig) -> list[str]:
    """What a person should know beside the table."""
    lines = [f"{report.states} robot states from {report.recorded_s:.1f} s of recording in {report.took_s:.1f} s "
             f"({report.recorded_s / max(report.took_s, 1e-9):.0f} x real time)"]
    if report.waiting:
        lines.append(f"NEVER_SEEN: {', '.join(report.waiting)}; no robot state without them")
    for s in report.sources:
        ahead = s.refusals.get("FUTURE", 0)
        if ahead > 0.02 * s.messages:
            lines.append(f"{s.topic}: {ahead} stamps lie more than {config.future_ms:g} ms ahead of the recorder's "
                         "clock (a simulated clock with coarse steps does that); --future-ms allows more")
        stale = s.refusals.get("STALE", 0)
        if stale > 0.5 * s.messages:
            lines.append(f"{s.topic}: most samples are stale; were stamps and arrivals taken by different clocks?")
    lines += [*report.damage[:5], *report.events[:10]]
    if report.unused:
        lines.append(f"not used: {', '.join(report.unused)}")
    return lines


def ingest_command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file.")],
    robot: Annotated[str | None, typer.Option(help="Judge by this robot's file; default: by what the bag "
                                              "holds.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE",
                                              help="Write machine and figures to FILE.")] = None,
    future_ms: Annotated[float, typer.Option(min=0.0, help="How far a stamp may lie ahead of its arrival.")] = 5.0,
    stale_ms: Annotated[float | None, typer.Option(min=1.0, help="Age of a stale sample, for an unknown robot; "
                                                   "default: five periods, at least 200 ms.")] = None,
    map_file: Annotated[Path | None, typer.Option("--map", metavar="FILE", help="YAML file that names topics and "
                                                  "joints of a foreign robot.")] = None,
) -> None:
    """Run a recording through the ingest core: rate, age, jitter, gaps and refusals of each source."""
    check_writable(json)
    config = IngestConfig(future_ms=future_ms)
    try:
        report = ingest_bag(bag, load_robot(robot) if robot is not None else None, config, stale_ms,
                            load_mapping(map_file))
    except (BagError, MappingError) as error:
        raise BadInput(str(error)) from None
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(as_table(report))
    for line in remarks(report, config):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    rows = [{"topic": s.topic, "type": s.type, "messages": s.messages, "refusals": dict(s.refusals)}
            for s in report.sources]
    write_figures(json, figures_of(report), sources=rows)
