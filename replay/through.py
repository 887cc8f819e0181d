"""Core replay: the recorded inputs through the same cores, in recorded order of arrival, paced by recorded time.

Deterministic: a tick every 10 ms counted from the first message of the recording, arrival times as the only clock.
The same recording with the same settings gives the same messages, bit for bit.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS
from humanoid_replay.errors import BagError
from humanoid_replay.mapping import Mapping as Names
from humanoid_replay.reader import BagReader
from humanoid_replay.samples import KINDS
from humanoid_replay.stages import STAGES, STATE, TICK_NS, Stage
from humanoid_replay.vla_stage import VlaStage
from humanoid_replay.writer import BagWriter
from humanoid_ros.cdr import canonical
from humanoid_ros.convert import dataclass_for, to_msg
from humanoid_ros.params import ParameterError, check
from vla_nodes.params import VlaParams

Settings = Iterable[tuple[str, str, Any]]

#: A recording that is silent for longer than this is taken up again after it; the time between is not ticked through.
LONGEST_SILENCE_NS = 60 * NS
#: Messages without a dataclass; a stage takes them as they are.
AS_THEY_ARE = frozenset({"sensor_msgs/msg/CameraInfo"})
#: In the order of the data. Stage -> (its node's name, its parameters, itself).
ALL_STAGES: dict[str, tuple[str, Any, Any]] = {
    **{name: STAGES[name] for name in ("ingest", "twin")}, "vla": ("vla_policy", VlaParams, VlaStage),
    **{name: STAGES[name] for name in ("safety", "gate")}}


def read(kind: str, message: Any) -> Any:
    """What a stage takes for a decoded message; ValueError, IndexError or AttributeError when it does not fit."""
    if kind in KINDS:
        return KINDS[kind][1](message)
    return message if kind in AS_THEY_ARE else dataclass_for(kind)(message)


class ReplayError(ValueError):
    """A replay that cannot be asked for so; one line."""


@dataclass
class ReplayReport:
    """What a replay did. ``hash``: sha256 over topic, type, time and bytes of every output message, in order."""

    hash: str = ""
    ran: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    inputs: int = 0
    recorded_s: float = 0.0  # between the inputs that were used, without what was left out
    took_s: float = 0.0
    stages_s: dict[str, float] = field(default_factory=dict)  # of took_s, in each core; the rest reads and writes


def make_stages(through: Iterable[str], robot: RobotModel, settings: Settings = ()) -> list[Stage]:
    """The stages asked for, in the order of the data; ReplayError for an unknown stage, node, key or value."""
    wanted = list(dict.fromkeys(through))
    for name in wanted:
        if name not in ALL_STAGES:
            raise ReplayError(f"no stage '{name}' to replay through; there are {', '.join(ALL_STAGES)}")
    if not wanted:
        raise ReplayError(f"name at least one stage of {', '.join(ALL_STAGES)}")
    given: dict[str, dict[str, Any]] = {}
    for node, key, value in settings:
        given.setdefault(node, {})[key] = value
    nodes = {ALL_STAGES[name][0]: name for name in ALL_STAGES if name in wanted}
    for node in given:
        if node not in nodes:
            raise ReplayError(f"--set {node}: not replayed; the nodes replayed here are {', '.join(nodes)}")
    rows = [(node, *ALL_STAGES[name][1:]) for node, name in nodes.items()]
    return [stage(robot, _params(node, params, given.get(node, {}))) for node, params, stage in rows]


def _params(node: str, cls: Any, given: Mapping[str, Any]) -> Any:
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields or key in ("robot", "rate"):
            raise ReplayError(f"{node}: '{key}' cannot be set in a replay; known: {', '.join(fields)}")
        kind = type(fields[key].default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ReplayError(f"{node}: {key} = {value!r}: must be a {kind.__name__}")
        try:
            check(node, fields[key], value)
        except ParameterError as error:
            raise ReplayError(str(error)) from None
        values[key] = value
    return cls(**values)


def replay(path: Path, stages: list[Stage], robot: RobotModel, out: BagWriter | None = None,
           namespace: str | None = None, mapping: Names | None = None) -> ReplayReport:
    """Run the recording at ``path`` through ``stages``; what they say goes to ``out`` (an open one).

    BagError when the recording cannot be read or holds nothing that any stage could use.
    """
    started = time.perf_counter()
    with BagReader(path) as bag, _seldom_collected():
        report = ReplayReport()
        mapping = mapping or Names()
        names = mapping.topics(bag, topic_names(bag, namespace))
        running = _runnable(path, stages, names, report)
        report.ran = tuple(s.name for s in running)
        wires = Wires(running, set(names.values()))
        runner = _Runner(running, wires, out)
        again = {t for s in running for t in getattr(s, "recorded", ())}
        wanted = set(wires.recorded) | again
        recorded = {bag_name: name for bag_name, name in names.items() if name in wanted}
        _name_the_rest(bag, wanted, recorded, names, report)
        unreadable: Counter[str] = Counter()
        foreign = ""
        for record in bag.messages(recorded):
            name = recorded[record.topic]
            if record.type != TOPICS[name].type:
                continue
            try:
                value = mapping.sample(read(record.type, record.message))
            except (ValueError, IndexError, AttributeError):  # the last: recorded with an older definition
                unreadable[name] += 1
                value = None
            foreign = foreign or _other_model(name, value, robot)
            if runner.until(record.stamp_ns):
                report.remarks.append(f"silent for more than {LONGEST_SILENCE_NS // NS} s; that time is left out")
            report.inputs += 1
            if name in again:
                runner.remind(name, value, record.stamp_ns)
            runner.deliver(name, value, record.stamp_ns)
        report.remarks += bag.remarks
    runner.finish()
    report.recorded_s = runner.span_ns / NS
    report.remarks += [foreign] if foreign else []
    report.remarks += [f"{name}: {n} messages hold a value that their type has no word for" for name, n in
                       sorted(unreadable.items())]
    report.refusals = {key: n for s in running for key, n in s.refusals().items()}
    if not runner.counts.get(STATE) and any(s.name == "ingest" for s in running):
        report.remarks.append(f"ingest made no robot state for '{robot.name}': is this the recording of another robot? "
                              f"refused: {report.refusals or 'nothing'}")
    report.hash, report.counts = runner.digest.hexdigest(), dict(sorted(runner.counts.items()))
    report.stages_s = {stage.name: runner.spent_s[stage.name] for stage in running}
    report.took_s = time.perf_counter() - started
    return report


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """A replay makes many objects and hardly a cycle among them; the collector would go through all of them again and
    again."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Wires:
    """Who hears what: a stage hears the stages before it; what those after it say comes from the recording, because
    the recorded robot moved by that. Only what was not recorded is taken from a later stage."""

    def __init__(self, stages: list[Stage], at_hand: set[str]) -> None:
        self.made: dict[str, list[Stage]] = {}
        self.recorded: dict[str, list[Stage]] = {}
        for place, stage in enumerate(stages):
            for topic in stage.inputs:
                before = any(topic in other.outputs for other in stages[:place])
                later = any(topic in other.outputs for other in stages[place:])
                made = before or (later and topic not in at_hand)
                (self.made if made else self.recorded).setdefault(topic, []).append(stage)


class _Runner:
    """Hands messages from stage to stage, and what is said to the writer and the hash."""

    def __init__(self, stages: list[Stage], wires: Wires, out: BagWriter | None) -> None:
        self.stages, self.wires, self.out = stages, wires, out
        self.digest = hashlib.sha256()
        self.counts: dict[str, int] = {}
        self.spent_s = dict.fromkeys((s.name for s in stages), 0.0)
        self._next_ns: int | None = None
        self._count = 0
        self._last_ns = self.span_ns = 0

    def until(self, now_ns: int) -> bool:
        """Tick up to ``now_ns``; True when a long silence was left out."""
        skipped = False
        if self._next_ns is None:
            self._next_ns = now_ns + TICK_NS
        elif now_ns - self._next_ns > LONGEST_SILENCE_NS:
            self._next_ns += (now_ns - self._next_ns) // TICK_NS * TICK_NS
            skipped = True
        else:
            self.span_ns += now_ns - self._last_ns
        while self._next_ns < now_ns:
            self._tick(self._next_ns)
            self._next_ns += TICK_NS
        self._last_ns = now_ns
        return skipped

    def finish(self) -> None:
        """The tick that falls on the last message, if one does."""
        if self._next_ns is not None and self._next_ns == self._last_ns:
            self._tick(self._next_ns)

    def deliver(self, topic: str, value: Any, now_ns: int) -> None:
        """A recorded message to those who hear the recording."""
        self._hand(self.wires.recorded.get(topic, ()), topic, value, now_ns)

    def _hand(self, stages: Iterable[Stage], topic: str, value: Any, now_ns: int) -> None:
        for stage in stages:
            begin = time.perf_counter()
            answer = stage.on(topic, value, now_ns)
            self.spent_s[stage.name] += time.perf_counter() - begin
            for name, said in answer:
                self._say(name, said, now_ns)

    def remind(self, topic: str, value: Any, now_ns: int) -> None:
        """What a stage of this run had said in the recording, for that stage alone."""
        for stage in self.stages:
            if topic in getattr(stage, "recorded", ()):
                stage.on_recorded(topic, value, now_ns)  # type: ignore[attr-defined]

    def _tick(self, now_ns: int) -> None:
        for stage in self.stages:
            begin = time.perf_counter()
            answer = stage.tick(now_ns, self._count)
            self.spent_s[stage.name] += time.perf_counter() - begin
            for name, said in answer:
                self._say(name, said, now_ns)
        self._count += 1

    def _say(self, topic: str, value: Any, now_ns: int) -> None:
        kind = TOPICS[topic].type
        data = canonical(to_msg(value), kind)
        self.digest.update(f"{topic} {kind} {now_ns} {len(data)}\n".encode())
        self.digest.update(data)
        self.counts[topic] = self.counts.get(topic, 0) + 1
        if self.out is not None:
            self.out.write(topic, kind, now_ns, data)
        self._hand(self.wires.made.get(topic, ()), topic, value, now_ns)


def topic_names(bag: BagReader, namespace: str | None = None) -> dict[str, str]:
    """Recorded name -> name in the table. One namespace is taken: the given one, or the one with most topics."""
    found: dict[str, dict[str, str]] = {}
    for topic in bag.topics:
        full = "/" + topic.name.lstrip("/")
        name = max((t for t in TOPICS if full.endswith(f"/{t}")), key=len, default=None)
        if name is not None:
            found.setdefault(full[: -len(name)].strip("/"), {})[topic.name] = name
    if namespace is not None:
        return found.get(namespace.strip("/"), {})
    return max(found.items(), key=lambda item: (len(item[1]), -len(item[0])), default=("", {}))[1]


def _runnable(path: Path, stages: list[Stage], names: Mapping[str, str], report: ReplayReport) -> list[Stage]:
    """Stages whose required inputs are recorded or made by a stage before them; the others are named."""
    at_hand = set(names.values())
    running: list[Stage] = []
    for stage in stages:
        missing = [t for t in stage.required if t not in at_hand]
        if missing:
            report.remarks.append(f"stage '{stage.name}' does not run: no {', '.join(missing)} in the recording")
            continue
        at_hand |= set(stage.outputs)
        running.append(stage)
    if not running:
        raise BagError(path, "; ".join(report.remarks))
    return running


def _name_the_rest(bag: BagReader, wanted: set[str], recorded: Mapping[str, str], names: Mapping[str, str],
                   report: ReplayReport) -> None:
    missing = sorted(wanted - set(recorded.values()))
    if missing:
        report.remarks.append(f"not in the recording: {', '.join(missing)}")
    for topic in bag.topics:
        name = recorded.get(topic.name)
        if name is not None and topic.type != TOPICS[name].type:
            report.remarks.append(f"{topic.name}: is a {topic.type}, not a {TOPICS[name].type}; not used")
    unknown = sorted(f"{t.name} ({t.type})" for t in bag.topics if t.name not in names)
    if unknown:
        report.remarks.append(f"unknown to the suite: {', '.join(unknown)}")
    if any(t.name.endswith("/clock") for t in bag.topics):
        report.remarks.append("recorded with a simulated clock (/clock); a replay takes arrival times for now, so ages "
                              "are not what the nodes saw")


def _other_model(name: str, value: Any, robot: RobotModel) -> str:
    """A recorded twin says of which model it is."""
    if name != "twin/state" or value is None or value.model_hash == robot.hash:
        return ""
    return (f"twin/state was recorded with another model ({value.model_hash[:12]}) than '{robot.name}' "
            f"({robot.hash[:12]}); --robot names the right one")
