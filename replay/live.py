"""What the nodes said against what their cores say when they are stepped as the nodes stepped.

`humanoid_replay.through` ticks on a grid of its own. A recording of a running graph also says when its nodes worked,
and on what: ``twin/state`` bears the stamp of the measurement it was made of, its age then and the number of the newest
command that it knew, ``safety/status`` the time of its tick. Here the twin's core gets those measurements and commands,
and the monitor's core ticks at those times, on what had been published by then. What was said and is not recorded is
counted by name; with nothing missing the same inputs give the same outputs, but for a message that was under way as a
node looked.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import RobotState, SafetyStatus, TwinState, TwinStatus
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.stages import COMMAND, HEALTH, NEWEST, STATE, TWIN, SafetyStage, TwinStage
from humanoid_replay.through import read, topic_names
from safety_nodes.core.rules.communication import COUNTED
from safety_nodes.params import MonitorParams
from twin_nodes.params import TwinParams

STATUS, EVENTS, ESTOP = "safety/status", "safety/events", "safety/estop"
#: From publishing to a node that looks, and from the node's first look to the time it writes down, ns.
UNDER_WAY = MS // 2
#: Longest age of a measurement that is still kept for a twin state that may come of it.
KEPT_NS = 2 * NS
PERIOD_NS = 10 * MS
#: A command that the twin has not read for so long is older than the gate whose number it tells, ns.
ANEW_NS = 300 * MS


@dataclass(frozen=True)
class Apart:
    """A recorded twin state beside its replay. ``apart``: rad, of the joint furthest apart."""

    stamp_ns: int
    apart: float


@dataclass(frozen=True)
class Judged:
    """One tick of the monitor: the level that was recorded, and the core's."""

    stamp_ns: int
    level: int
    again: int


@dataclass
class Live:
    """``lost``: (time, name) of whatever was said, or used, and is not recorded; ``begun``: both nodes were heard
    before the first measurement was, so the cores began as they did; ``unpaired``: measurements that the twin used and
    its core does not; ``overtaken``: those that the twin was too busy to see, and that its core is spared."""

    twins: list[Apart] = field(default_factory=list)
    levels: list[Judged] = field(default_factory=list)
    lost: list[tuple[int, str]] = field(default_factory=list)
    begun: bool = True
    unpaired: int = 0
    overtaken: int = 0

    @property
    def drops(self) -> Counter[str]:
        return Counter(name for _, name in self.lost)


def live_against_cores(path: Path, robot: RobotModel, under_way_ns: int = UNDER_WAY) -> Live:
    """Of the recording of a running graph, or of one in lockstep, where nothing is ``under_way_ns``; BagError when it
    cannot be read."""
    found = Live()
    twin, monitor = _Twin(robot, found, under_way_ns), _Monitor(robot, found, under_way_ns)
    numbers = _Numbers(found)
    wanted = {*twin.inputs, *monitor.inputs, TWIN, STATUS}
    with BagReader(path) as bag:
        names = {recorded: name for recorded, name in topic_names(bag).items() if name in wanted}
        if not {STATE, TWIN, STATUS} <= set(names.values()):
            raise BagError(path, f"not the recording of a running graph: {STATE}, {TWIN} and {STATUS} are needed")
        for record in bag.messages(names):
            name = names[record.topic]
            try:
                value = read(record.type, record.message)
            except (ValueError, IndexError, AttributeError):
                value = None
            numbers.see(name, value, record.stamp_ns)
            for node in (twin, monitor):
                node.hear(name, value, record.stamp_ns)
    return found


class _Numbers:
    """Counts what was said between two recorded messages."""

    def __init__(self, found: Live) -> None:
        self._found = found
        self._last: dict[str, int] = {}

    def see(self, name: str, value: Any, at_ns: int) -> None:
        number = {TWIN: "revision", STATUS: "tick"}.get(name, "seq")
        if name in (ESTOP, EVENTS) or not hasattr(value, number):  # of several publishers, each with its own numbers
            return
        now = int(getattr(value, number))
        if name in self._last:
            self._found.lost += [(at_ns, name)] * max(0, min(now - self._last[name] - 1, 10_000))
        elif name in (TWIN, STATUS) and now > 1 and STATE in self._last:
            self._found.begun = False
        self._last[name] = max(now, self._last.get(name, 0))


class _Twin:
    """twin_sync's core with the measurements that it took, each after the commands that were published before."""

    inputs = (STATE, COMMAND, HEALTH)

    def __init__(self, robot: RobotModel, found: Live, under_way_ns: int) -> None:
        self.stage, self._found, self._under_way_ns = TwinStage(robot, TwinParams()), found, under_way_ns
        self._waiting: deque[tuple[int, str, Any]] = deque()
        self._states: dict[int, RobotState] = {}
        self._taken_ns = self._revision = 0

    def hear(self, name: str, value: Any, at_ns: int) -> None:
        if value is None:
            return
        if name == STATE:
            self._states[value.stamp_ns] = value
        elif name in (COMMAND, HEALTH):
            self._waiting.append((at_ns, name, value))
        elif name == TWIN:
            self._said(value)

    def _said(self, live: TwinState) -> None:
        gap, self._revision = live.revision - self._revision - 1, live.revision
        if live.status != TwinStatus.OK or live.stamp_ns <= self._taken_ns:
            return
        now_ns = live.stamp_ns + round(live.latency * NS)
        while self._waiting and self._had(self._waiting[0], live, now_ns):
            at_ns, name, value = self._waiting.popleft()
            self.stage.on(name, value, at_ns)
        between = self._between(self._taken_ns or live.stamp_ns, live.stamp_ns)
        overtaken = [k for k, state in enumerate(between) if gap <= 0 and self.stage.core.due(state.stamp_ns)]
        if overtaken:  # a full queue drops the oldest, so those before were overtaken as well
            self._found.overtaken += len(overtaken)
            between = between[overtaken[-1] + 1:]
        for state in between:  # left out by the twin, or taken for a twin state that is not recorded
            self.stage.on(STATE, state, now_ns)
        taken = self._states.get(live.stamp_ns)
        self._taken_ns = live.stamp_ns
        if taken is None:
            self._found.lost.append((live.stamp_ns, f"{STATE} that the twin used"))
            return
        again = self.stage.core.on_state(taken, now_ns)
        self.stage.core.learn()
        if again is None:
            self._found.unpaired += 1
            return
        with np.errstate(invalid="ignore"):
            self._found.twins.append(Apart(live.stamp_ns, float(np.max(np.abs(again.position - live.position)))))
        for old in [k for k in self._states if k < live.stamp_ns - KEPT_NS]:
            del self._states[old]

    def _had(self, waiting: tuple[int, str, Any], live: TwinState, now_ns: int) -> bool:
        """Whether the twin had read this as it worked. It says so of commands, by number; of a gate that began to count
        anew, and of a recording made before it did, the time tells."""
        at_ns, name, value = waiting
        if name == COMMAND and live.command_seq and at_ns > now_ns - ANEW_NS:
            return bool(value.seq <= live.command_seq)
        return at_ns <= now_ns - self._under_way_ns

    def _between(self, begin_ns: int, end_ns: int) -> list[RobotState]:
        return [self._states[k] for k in sorted(self._states) if begin_ns < k < end_ns]


class _Monitor:
    """safety_monitor's core at the recorded times of its ticks."""

    inputs = (*NEWEST, ESTOP, EVENTS, *COUNTED)

    def __init__(self, robot: RobotModel, found: Live, under_way_ns: int) -> None:
        self.stage, self._found, self._under_way_ns = SafetyStage(robot, MonitorParams()), found, under_way_ns
        self._waiting: deque[tuple[int, str, Any]] = deque()
        self._last: SafetyStatus | None = None

    def hear(self, name: str, value: Any, at_ns: int) -> None:
        if name == STATUS:
            self._said(value)
        elif name in self.inputs:
            self._waiting.append((at_ns, name, value))

    def _said(self, live: SafetyStatus | None) -> None:
        last, self._last = self._last, live or self._last
        if live is None:
            return
        if last is not None:  # ticks of which no word is recorded lie evenly between
            missing = max(0, min(live.tick - last.tick - 1, (live.stamp_ns - last.stamp_ns) // PERIOD_NS))
            for k in range(1, missing + 1):
                self._tick(last.stamp_ns + k * (live.stamp_ns - last.stamp_ns) // (missing + 1), last.tick + k)
        again = self._tick(live.stamp_ns, live.tick)
        self._found.levels.append(Judged(live.stamp_ns, int(live.level), int(again.level)))

    def _tick(self, now_ns: int, number: int) -> SafetyStatus:
        stage = self.stage
        while self._waiting and self._waiting[0][0] <= now_ns - self._under_way_ns:
            at_ns, name, value = self._waiting.popleft()
            if name == EVENTS:
                stage.on_recorded(name, value, at_ns)
                continue
            if name in COUNTED:
                stage.heard_from(name, b"", at_ns)
            if name in stage.inputs:
                stage.on(name, value, at_ns)
        said = stage.tick(now_ns, number - 1)
        status: SafetyStatus = next(value for topic, value in said if topic == STATUS)
        return status
