"""Figures out of a record: outcome, latencies, safety level over time, whether the robot held and stood."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from humanoid_cli.figures import Figure
from humanoid_core.robot import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import Array, Level
from humanoid_ros.watcher import Rate

if TYPE_CHECKING:
    from humanoid_cli.session import Record
    from sim_nodes.core.judge import Verdict

#: The whole graph may use this much, in cores, and a rate may be off by this share.
AIM_CORES, AIM_RATE = 1.5, 0.05
#: A held joint moves less than this in rad; balance alone moves the waist by a few hundredths.
HELD = 0.05
#: s that a robot gets to come to rest once a process has ended.
HOLD_AFTER = 0.6


@dataclass(frozen=True)
class Outcome:
    """``code``: a reason code or ''; ``reason``: one line for people."""

    success: bool
    code: str
    reason: str
    distance: float = math.nan
    side: str = ""


@dataclass(frozen=True)
class Span:
    """A safety level from ``begin`` to ``end``, s after the instruction."""

    level: Level
    cause: str
    begin: float
    end: float


@dataclass(frozen=True)
class Latency:
    """From a camera picture's capture, in ms, one row per chunk: plan made, plan received here, first command of that
    plan on its way to the robot (NaN: none came)."""

    made: Array
    received: Array
    commanded: Array


def judge(record: Record, robot: RobotModel, instruction: str) -> Verdict | None:
    """The simulator's view of the task; None when the instruction names none. Steps are judged one after the other:
    each from when the one before was done."""
    from sim_nodes.core.judge import Judge, JudgeError, Verdict
    from vla_nodes.core.instruction import Refusal, parse
    from vla_nodes.core.steps import split

    judges = []
    for step in split(instruction):
        task = parse(step)
        if isinstance(task, Refusal):
            return None
        try:
            judges.append(Judge(robot, task.verb, task.thing if task.colour or task.kind else "", task.hand))
        except JudgeError:
            return None
    waiting = list(judges)
    for at, truth in record.truths():
        if at >= record.start_ns > 0:
            waiting[0].feed(truth)
            if len(waiting) > 1 and waiting[0].verdict().success:
                waiting.pop(0)
    if len(judges) == 1:
        return judges[0].verdict()
    last = waiting[0].verdict()
    done = [j.verdict().reason for j in judges[: len(judges) - len(waiting)]]
    reason = ", then ".join([*done, last.reason])
    return Verdict(last.success and len(waiting) == 1, reason, last.distance, last.side)


def outcome(record: Record, verdict: Verdict | None, robot: RobotModel) -> Outcome:
    """The one reason why the task succeeded or failed."""
    distance, side = (verdict.distance, verdict.side) if verdict else (math.nan, "")

    def failed(code: str, reason: str) -> Outcome:
        return Outcome(False, code, reason, distance, side)

    if record.interrupted:
        return failed("CANCELLED", "interrupted by the user")
    if record.deaths:
        return failed("DIED", deaths_in_words(record, robot))
    if record.not_ready:
        return failed("TIMEOUT", f"the graph did not become ready; missing: {'; '.join(record.not_ready)}")
    fell = fell_at(record)
    if fell is not None:
        return failed("FALLEN", f"the robot fell {fell:.1f} s after the instruction")
    if record.answer is None:
        return failed("TIMEOUT", f"the policy did not end the task in time{_last_state(record)}")
    if not record.answer.success:
        return failed(record.answer.reason_code or "FAILED", record.answer.detail or "the policy gave no detail")
    if verdict is None:
        return failed("NOT_UNDERSTOOD", "the policy reports success, but nobody can judge this instruction")
    if not verdict.success:
        return failed("JUDGED", f"the policy reports success, but {verdict.reason}")
    return Outcome(True, "", verdict.reason, distance, side)


def _last_state(record: Record) -> str:
    statuses = record.seen.get("vla/status", [])
    return f"; its last word: {statuses[-1][1].state}, {statuses[-1][1].detail}" if statuses else ""


def deaths_in_words(record: Record, robot: RobotModel) -> str:
    """'command_gate died (SIGKILL) at 3.2 s; the robot held, did not fall'."""
    at, event, last = record.deaths[0]
    more = "".join(f", then {e}" for _, e, _ in record.deaths[1:])
    if math.isnan(at):
        return f"{event} before the task began{more}; its last line: {last or 'none'}"
    text = f"{event} at {at:.1f} s{more}"
    if event.code is not None and event.code > 0:
        text += f" (its last line: {last})"
    if event.node == "sim_robot":
        return f"{text}; the simulated robot is gone with it"
    moved = moved_after(record, robot, at + HOLD_AFTER)
    if math.isnan(moved):
        held = "nobody saw whether the robot held"
    else:
        held = "the robot held" if moved <= HELD else f"the robot still moved by {moved:.2f} rad"
    fell = "but FELL" if fell_at(record) is not None else "did not fall"
    return f"{text}; {held}, {fell}"


def fell_at(record: Record) -> float | None:
    """s after the instruction when the robot was first seen fallen."""
    for at, truth in record.truths():
        if truth.fallen:
            return (at - record.start_ns) / NS
    return None


def joint_tracks(record: Record, robot: RobotModel) -> tuple[Array, Array, Array, Array]:
    """(t [k], measured [k, n], t [m], commanded [m, n]): s after the instruction, rad; NaN where not commanded. Joints
    that the robot does not have are left out."""
    measured = _by_name(record, "joint_states", robot, lambda m: m.names)
    commanded = _by_name(record, "robot/joint_command", robot, lambda m: m.joint_names)
    return *measured, *commanded


def _by_name(record: Record, topic: str, robot: RobotModel, names: object) -> tuple[Array, Array]:
    rows = record.seen.get(topic, [])
    t = np.array([(at - record.start_ns) / NS for at, _ in rows])
    table = np.full((len(rows), robot.n), np.nan)
    cache: dict[tuple[str, ...], tuple[list[int], list[int]]] = {}
    for k, (_, message) in enumerate(rows):
        key = tuple(names(message))  # type: ignore[operator]
        if key not in cache:
            known = [i for i, name in enumerate(key) if name in robot.joint_names]
            cache[key] = known, [robot.index(key[i]) for i in known]
        if len(message.position) == len(key):
            theirs, ours = cache[key]
            table[k, ours] = message.position[theirs]
    return t, table


def moved_after(record: Record, robot: RobotModel, since: float) -> float:
    """Largest way of any upper-body joint after ``since`` s, in rad; NaN when nothing was seen."""
    t, measured = _by_name(record, "joint_states", robot, lambda m: m.names)
    late = measured[t >= since][:, list(robot.groups["upper_body"])]
    if len(late) < 5 or not np.isfinite(late).all():
        return math.nan
    return float(np.ptp(late, axis=0).max())


def levels(record: Record) -> list[Span]:
    """The safety level over time; neighbours with the same level and cause (but for its figures) are one span."""
    spans: list[Span] = []
    for at, status in record.seen.get("safety/status", []):
        t = (at - record.start_ns) / NS
        if not -0.5 <= t <= (record.end_ns - record.start_ns) / NS:
            continue
        level = Level(status.level)
        if spans and (spans[-1].level, spans[-1].cause.split()[:2]) == (level, status.cause.split()[:2]):
            spans[-1] = Span(level, spans[-1].cause, spans[-1].begin, t)
        else:
            spans.append(Span(level, status.cause, t, t))
    return spans


def latencies(record: Record) -> Latency:
    """Camera to plan to command; see `Latency`."""
    commands = [(at, m.epoch, m.source) for at, m in record.seen.get("robot/joint_command", [])]
    times = [at for at, _, _ in commands]
    made, received, commanded = [], [], []
    for at, chunk in record.seen.get("vla/action_chunk", []):
        if at < record.start_ns:
            continue
        made.append((chunk.inference_end_ns - chunk.stamp_ns) / 1e6)
        received.append((at - chunk.stamp_ns) / 1e6)
        first = next((t for t, epoch, _ in commands[bisect_left(times, at):] if epoch == chunk.epoch), None)
        commanded.append(math.nan if first is None else (first - chunk.stamp_ns) / 1e6)
    return Latency(np.array(made), np.array(received), np.array(commanded))


def rate_ok(rate: Rate) -> bool:
    """Within the aim, or a topic without one, or one that only speaks on events and was silent."""
    if rate.aim is None or (rate.count == 0 and rate.topic in SILENT):
        return True
    if rate.topic in ALSO_ON_CHANGE and 0.0 < rate.deviation <= 1.0:
        return True
    return abs(rate.deviation) <= AIM_RATE


#: Topics that speak at their rate and once more whenever something changes.
ALSO_ON_CHANGE = ("safety/gate", "robot/mode", "vla/status", "ingest/sensor_health")
#: Topics whose publishers need not be part of a graph, or speak only while they act.
SILENT = ("safety/estop", "safety/override", "vla/joint_command", "view/markers")


def figures(record: Record, out: Outcome) -> dict[str, Figure]:
    """Everything measured, by name."""
    seconds = (record.end_ns - record.start_ns) / NS if record.end_ns else math.nan
    rows = {
        "task_success": Figure(out.success, "", True),
        "task_distance": Figure(out.distance, "m"),
        "task_seconds": Figure(record.answer.seconds if record.answer else seconds, "s"),
        "robot_fell": Figure(fell_at(record) is not None, "", False, len(record.truths())),
        "ready_seconds": Figure(record.ready_after, "s"),
        "graph_cores": Figure(sum(record.cpu.values()) if record.cpu else math.nan, "cores", AIM_CORES),
        "watcher_cores": Figure(record.own_cpu, "cores"),
    }
    for name, share in record.cpu.items():
        rows[f"{name}_cores"] = Figure(share, "cores")
    for rate in record.rates:
        if rate.aim is not None and not (rate.count == 0 and rate.topic in SILENT):
            rows[f"rate {rate.topic}"] = Figure(rate.hz, "Hz", rate.aim, rate.count)
    timing = latencies(record)
    for name, values in (("made", timing.made), ("received", timing.received), ("commanded", timing.commanded)):
        good = values[np.isfinite(values)]
        if len(good):
            rows[f"camera_to_chunk_{name}" if name != "commanded" else "camera_to_command"] = Figure(
                float(np.median(good)), "ms", None, len(good))
    worst = max((s.level for s in levels(record)), default=None)
    if worst is not None:
        rows["worst_level"] = Figure(worst.name, "")
    rows["deaths"] = Figure(len(record.deaths), "", 0)
    return rows
