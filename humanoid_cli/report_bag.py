"""`humanoid-twin report <bag>`: one HTML file about any recording of the suite; opens without network."""

from __future__ import annotations

import html
import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, machine, write_figures
from humanoid_cli.measure import fell_at, levels
from humanoid_cli.pictures import head_frames, png, spread, strip
from humanoid_cli.report import (
    STYLE,
    axes,
    events,
    joint_plot,
    latency_table,
    maybe,
    picture,
    section,
    svg,
    table,
    timeline,
)
from humanoid_cli.session import Record
from humanoid_core.robot import RobotModel, load_robot
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS
from humanoid_core.types import TwinStatus
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.through import topic_names
from humanoid_ros.convert import dataclass_for
from humanoid_ros.watcher import arrival_rate

IMAGE = "camera/head/image_raw"
#: Read of a recording: what the page shows. Of pictures each n-th is enough.
SHOWN = ("joint_states", "robot/joint_command", "safety/status", "safety/gate", "robot/mode", "vla/status",
         "vla/action_chunk", "twin/state", "twin/prediction", "ingest/robot_state", "sim/truth", "safety/events", IMAGE)
PICTURES = 8
#: Topics whose age at arrival is told: from the capture of what they rest on.
AGED = ("joint_states", "ingest/robot_state", "twin/state", "robot/joint_command")


def report_command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap, .db3 or ROS 1 .bag file.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("out/report.html"),
    robot: Annotated[str, typer.Option(help="Robot file: a name in config/robots, or a path.")] = "g1",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE",
                                              help="Write machine and figures to FILE.")] = None,
) -> None:
    """Timeline of levels and events, joint tracking, twin error, latencies and pictures of a recording."""
    check_writable(json)
    check_writable(out)
    model = load_robot(robot)
    try:
        record, counts, remarks = load(bag)
    except BagError as error:
        if not out.stat().st_size:
            out.unlink()  # made by the check above
        raise BadInput(str(error)) from None
    remarks += _foreign_joints(record, model)
    out.write_text(page(bag, model, record, counts, remarks), encoding="utf-8")
    typer.echo(f"{out}: {sum(counts.values())} messages, {(record.end_ns - record.start_ns) / NS:.1f} s")
    for line in remarks:
        typer.echo(line)
    write_figures(json, figures_of(record))


def load(bag: Path) -> tuple[Record, Counter[str], list[str]]:
    """(what is shown of a recording, messages by topic, what could not be read)."""
    record, counts, remarks = Record(), Counter[str](), list[str]()
    arrivals: dict[str, list[int]] = {}
    unread: Counter[str] = Counter()
    with BagReader(bag) as reader:
        names = topic_names(reader)
        if not names:
            raise BagError(bag, "no topic of the suite in it; 'humanoid-twin bag info' shows what it holds")
        for r in reader.messages(names):
            name = names[r.topic]
            counts[name] += 1
            arrivals.setdefault(name, []).append(r.stamp_ns)
            if name not in SHOWN or r.type != TOPICS[name].type:
                continue
            try:
                record.seen.setdefault(name, []).append((r.stamp_ns, dataclass_for(r.type)(r.message)))
            except (ValueError, AttributeError, IndexError):
                unread[name] += 1
        remarks += reader.remarks
    every = [t for times in arrivals.values() for t in (times[0], times[-1])]
    record.start_ns, record.end_ns = min(every), max(every)
    record.rates = [arrival_rate(TOPICS[n], times, record.start_ns, record.end_ns) for n, times in arrivals.items()]
    remarks += [f"{name}: {n} messages were recorded with other definitions and are not shown"
                for name, n in sorted(unread.items())]
    return record, counts, remarks


def _foreign_joints(record: Record, robot: RobotModel) -> list[str]:
    """Joints that were recorded and that the robot does not have."""
    names = {name for _, m in record.seen.get("joint_states", []) for name in m.names} - set(robot.joint_names)
    if not names:
        return []
    shown = ", ".join(sorted(names)[:4]) + (" ..." if len(names) > 4 else "")
    return [f"joint_states: {len(names)} joints that '{robot.name}' does not have ({shown}) are not shown; --robot "
            "names the robot of the recording"]


def page(bag: Path, robot: RobotModel, record: Record, counts: Counter[str], remarks: list[str]) -> str:
    """The whole page."""
    seconds = (record.end_ns - record.start_ns) / NS
    frames = head_frames(record)
    fell = fell_at(record)
    head = (f"<h1>{html.escape(bag.name)}</h1><p>robot {html.escape(robot.name)} · {seconds:.1f} s · "
            f"{sum(counts.values())} messages{'' if fell is None else f' · the robot FELL at {fell:.1f} s'}</p>")
    head += "".join(f"<p class='note'>{html.escape(line)}</p>" for line in remarks)
    parts = [head]
    if frames:
        shown = strip([("head camera", spread(frames, PICTURES, 0.0, seconds))])
        parts += [] if shown is None else [section("What the head camera saw", picture(png(shown), "the recording"))]
    parts += [
        section("Safety level and events", svg(timeline(record)) + events(record)),
        section("Joints that moved: command and measurement", maybe(joint_plot(robot, record))),
        section("The twin", maybe(_twin_plot(record)) + _prediction_table(record)),
        section("Age at arrival", _age_table(record)),
        section("From picture to command", latency_table(record)),
        section("Topics", table(("topic", "messages", "Hz", "Hz of the table"), [
            (r.topic, str(r.count), f"{r.hz:.1f}", "–" if r.aim is None else f"{r.aim:g}") for r in record.rates],
            (1, 2, 3))),
        section("Machine that wrote this page", table(("", ""), [(k, str(v)) for k, v in machine().items()])),
    ]
    title = html.escape(f"humanoid_twin: {bag.name}")
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
            f"<body>{''.join(parts)}</body></html>")


def _twin_plot(record: Record) -> Any:
    rows = record.seen.get("twin/state", [])
    good = [(at, m) for at, m in rows if m.status != TwinStatus.WAITING]
    if len(good) < 2:
        return None
    canvas, (quality, nis, error) = axes(3, 1.6)
    t = np.array([(at - record.start_ns) / NS for at, _ in good])
    quality.plot(t, [m.sync_quality for _, m in good], color="#2e8b57")
    quality.set_ylabel("quality")
    quality.set_ylim(-0.02, 1.05)
    mean = [float(np.mean(m.nis)) if len(m.nis) else math.nan for _, m in good]
    worst = [float(np.max(m.nis)) if len(m.nis) else math.nan for _, m in good]
    nis.plot(t, mean, color="#2c5aa0", label="mean")
    nis.plot(t, worst, color="#c9d3df", label="largest joint", zorder=0)
    nis.set_yscale("symlog", linthresh=1.0)
    nis.set_ylabel("NIS")
    nis.legend(fontsize=8, frameon=False, ncols=2)
    predicted = record.seen.get("twin/prediction", [])
    tp = [(at - record.start_ns) / NS for at, _ in predicted]
    for name, colour in (("error_20ms", "#a9c7e8"), ("error_100ms", "#2c5aa0"), ("error_500ms", "#c0392b")):
        error.plot(tp, [getattr(m, name) for _, m in predicted], color=colour, label=name.replace("_", " "))
    error.set_ylabel("prediction rad")
    error.legend(fontsize=8, frameon=False, ncols=3)
    return canvas


def _prediction_table(record: Record) -> str:
    found = Counter((m.first_violation_code, m.first_violation_subject)
                    for _, m in record.seen.get("twin/prediction", []) if m.first_violation_code)
    anomalies = Counter(a for _, m in record.seen.get("twin/state", []) for a in m.anomalies)
    rows = [(f"predicted {code} {subject}", str(n)) for (code, subject), n in found.most_common(10)]
    rows += [(text, str(n)) for text, n in anomalies.most_common(10)]
    return table(("what the twin said", "messages"), rows, (1,)) if rows else ""


def _age_table(record: Record) -> str:
    rows = []
    for name in AGED:
        ages = np.array([(at - m.stamp_ns) / 1e6 for at, m in record.seen.get(name, []) if m.stamp_ns > 0])
        if len(ages):
            p50, p99 = np.percentile(ages, (50, 99))
            rows.append((name, f"{p50:.1f}", f"{p99:.1f}", f"{ages.max():.1f}", str(len(ages))))
    return table(("topic", "p50 ms", "p99 ms", "worst ms", "messages"), rows, (1, 2, 3, 4)) if rows else ""


def figures_of(record: Record) -> dict[str, Figure]:
    """What a script would ask of a recording."""
    spans = levels(record)
    seconds = (record.end_ns - record.start_ns) / NS
    rows = {"seconds": Figure(seconds, "s"),
            "robot_fell": Figure(fell_at(record) is not None, "", False, len(record.truths()))}
    if spans:
        rows["worst_level"] = Figure(max(s.level for s in spans).name, "")
    twins = [m for _, m in record.seen.get("twin/state", []) if m.status == TwinStatus.OK and len(m.nis)]
    if twins:
        rows["twin_quality"] = Figure(float(np.mean([m.sync_quality for m in twins])), "", None, len(twins))
        rows["twin_nis"] = Figure(float(np.mean([m.nis.mean() for m in twins])), "", 1.0, len(twins))
    return rows
