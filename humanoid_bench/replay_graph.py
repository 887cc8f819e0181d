"""A recording of the whole graph at work: what it cost and lost, how fast it is replayed, how near to what was live."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from humanoid_bench.measured import Measured, Options, Progress
from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure
from humanoid_cli.inject_graphs import make_graph
from humanoid_cli.inject_world import GraphWorld, graph_world
from humanoid_cli.replay import parts
from humanoid_cli.session import own_domain
from humanoid_cli.supervisor import Supervisor
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import Array
from humanoid_core.timing import NS
from humanoid_core.types import TwinStatus
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.recorder import PICTURES
from humanoid_replay.recording import Recording
from humanoid_replay.samples import capture_ns
from humanoid_replay.through import make_stages, read, replay
from humanoid_replay.writer import BagWriter

STAGES = ("ingest", "twin", "safety", "gate")
#: Topics that may not lose a message while recording, and how one is told: by its number; a joint sample by the robot
#: state that was made of it, which has its stamp.
STATE, JOINTS = "ingest/robot_state", "joint_states"
NUMBERED = (STATE, "safety/permit", "robot/joint_command", "vla/joint_command")
#: Until the graph works, s, and for the recorder's imports and discovery.
START, SETTLE = 90.0, 6.0
#: The live twin had run before the recording began: s after which both have forgotten their different starts. Then
#: twin states of one stamp shall agree to so much, rad, and verdicts to so much time, s.
FORGETTING, TOLERANCE, NEAR = 30.0, 1e-3, 0.05
#: Arrivals of robot states further apart than this look late to the replayed monitor, s, though the live one may have
#: had them in time; its level is down again so much later, s.
GAP, SETTLING = 0.03, 3.0
NOTE = (
    "the whole graph of the simulated robot with camera and policy, which waves again and again, and `humanoid-twin "
    "record` beside it, {record}; recorder_core_share: its CPU time by the operating system over the time it recorded; "
    "recorder_lost: gaps in the numbers of {numbered}, and joint samples of which there is a robot state only; "
    "replay_speed: the first {short:g} s without pictures through {stages}, one process, outputs hashed and not "
    "written, replay_speed_* each part of it alone ('bag': reading, converting, hashing); live_mismatch: share of the "
    "recorded twin/state whose "
    f"joint positions differ by more than {TOLERANCE:g} rad from a replay of the recorded ingest/robot_state and "
    f"commands, without the first {FORGETTING:g} s, in which both forget that they began at different times; "
    f"live_level_mismatch: share of verdicts of which no replayed one within {NEAR:g} s has the same level; "
    f"live_level_unexplained: those of them that do not follow a gap of more than {GAP:g} s in the recorder's arrivals")


def graph(options: Options, progress: Progress) -> Measured:
    """All figures that need a recording of the running graph: a new one, or ``options.bag``."""
    seconds = 45.0 if options.quick else 60.0 * (options.minutes or 10.0)
    short = 10.0 if options.quick else 60.0
    out = Measured(note=NOTE.format(record=options.bag or f"{seconds:g} s", numbered=", ".join(NUMBERED), short=short,
                                    stages=", ".join(STAGES)))
    with tempfile.TemporaryDirectory() as scratch:
        bag = options.bag or Path(scratch) / "bag"
        if options.bag is None:
            with running_graph() as world:
                out.figures.update(_record(world, bag, seconds, progress))
        try:
            out.figures.update(lost(bag))
            out.figures.update(speed(bag, short))
            progress(0.9)
            out.figures.update(live_mismatch(bag))
        except BagError as error:
            raise BadInput(str(error)) from None
    return out


@contextmanager
def running_graph() -> Iterator[GraphWorld]:
    """The graph sim with a task that goes on; ended in the end."""
    with own_domain():
        environment = {"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
        with (Supervisor(make_graph("whole"), lambda node, line: None, environment=environment) as supervisor,
              graph_world(load_robot("g1"), supervisor, moves=False) as world):
            if not world.bring_to_work(START):
                raise RuntimeError(f"the graph did not come to work: {world.last('safety/status')}")
            yield world


def _record(world: GraphWorld, bag: Path, seconds: float, progress: Progress) -> dict[str, Figure]:
    """Record while the robot goes on waving; the recorder's share of a core."""
    recorder = subprocess.Popen([sys.executable, "-m", "humanoid_cli.main", "record", str(bag), "--seconds",
                                 str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watched, began = psutil.Process(recorder.pid), time.monotonic()
    world.wait(SETTLE)
    first = last = _used(watched)
    while recorder.poll() is None and time.monotonic() - began < seconds + 60.0:
        last = _used(watched) or last
        if world.working():
            world.wait(0.5)
        else:
            world.bring_to_work(2.0)
        progress(0.7 * min(1.0, (time.monotonic() - began) / seconds))
    said = recorder.communicate(timeout=60.0)[0]
    if recorder.returncode not in (0, 1) or not bag.exists() or first is None or last is None:
        raise RuntimeError(f"the recorder failed: {said[-300:]}")
    before, sep, _ = said.partition(" pictures were left out")
    return {"recorder_core_share": Figure(round((last[1] - first[1]) / (last[0] - first[0]), 4), "cores", 0.1,
                                          round(seconds)),
            "recorder_pictures_left_out": Figure(int(before.split()[-1]) if sep else 0, "pictures")}


def _used(process: psutil.Process) -> tuple[float, float] | None:
    """(now, CPU time so far), s; None when it has ended."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return None
    return (time.monotonic(), times.user + times.system) if times.user + times.system > 0.0 else None


def lost(bag: Path) -> dict[str, Figure]:
    """Messages that were said between the first and the last recorded one, and are not in the recording."""
    missing, last = dict.fromkeys((*NUMBERED, JOINTS), 0), dict[str, int]()
    states, joints, seen = set[int](), set[int](), 0
    with BagReader(bag) as reader:
        for record in reader.messages([f"/{t}" for t in missing]):
            topic = record.topic.lstrip("/")
            seen += 1
            if topic == JOINTS:
                joints.add(capture_ns(record.message))
                continue
            if topic == STATE:
                states.add(capture_ns(record.message))
            number = int(record.message.seq)
            if topic in last:
                missing[topic] += max(0, number - last[topic] - 1)
            last[topic] = max(number, last.get(topic, 0))
    if joints:
        missing[JOINTS] = sum(stamp > min(joints) for stamp in states - joints)
    return {"recorder_lost": Figure(sum(missing.values()), "messages", 0, seen),
            **{f"recorder_lost_{topic.replace('/', '_')}": Figure(n, "messages") for topic, n in missing.items() if n}}


def speed(bag: Path, seconds: float) -> dict[str, Figure]:
    """Recorded time over replay time, for the first part of a recording, without its pictures; the same for each part
    of the work alone."""
    robot = load_robot("g1")
    with tempfile.TemporaryDirectory() as scratch:
        report = replay(_part(bag, Path(scratch) / "short", 0, seconds), make_stages(STAGES, robot), robot)
    rows = {"replay_speed": Figure(round(report.recorded_s / report.took_s, 2), "x real time", 20.0, report.inputs)}
    for name, took in parts(report).items():
        rows[f"replay_speed_{name}"] = Figure(round(report.recorded_s / max(took, 1e-9), 1), "x real time", None,
                                              report.inputs)
    return rows


def _part(bag: Path, target: Path, begin_ns: int, seconds: float) -> Path:
    """What arrived within ``seconds`` from ``begin_ns`` (or the start) on, without pictures, as a new recording."""
    with BagReader(bag) as reader, Recording(target) as out:
        begin_ns = max(begin_ns, reader.start_ns)
        for topic, kind, stamp, data in reader.raw([t.name for t in reader.topics if t.type not in PICTURES]):
            if stamp > begin_ns + seconds * NS:
                break
            if stamp >= begin_ns:
                out.write(topic, kind, stamp, data)
    return target


def live_mismatch(bag: Path) -> dict[str, Figure]:
    """The graph's own twin states and verdicts against a replay of the inputs that the same nodes were given."""
    robot = load_robot("g1")
    live, arrivals = twins(bag), _arrivals(bag, "/ingest/robot_state")
    # Of 200 samples a second the twin takes every second one: both begin with the same.
    begin_ns = next((at for at, stamp in arrivals if stamp in live), 0)
    with tempfile.TemporaryDirectory() as scratch:
        again_bag = Path(scratch) / "again"
        part = _part(bag, Path(scratch) / "part", begin_ns, math.inf)
        with BagWriter(again_bag) as writer:
            replay(part, make_stages(("twin", "safety"), robot), robot, writer)
        again = twins(again_bag)
        levels = _levels(bag), _levels(again_bag)
    settled = begin_ns + round(FORGETTING * NS)
    late = [k for k in sorted(live) if k >= settled]
    both = [k for k in late if k in again]
    if not both:
        raise RuntimeError(f"the recording holds no twin state to compare after its first {FORGETTING:g} s")
    apart = np.array([np.max(np.abs(live[k] - again[k])) for k in both])
    wrong, unexplained, n = _level_mismatch(*levels, settled, [at for at, _ in arrivals])
    return {"live_mismatch": Figure(round(float(np.mean(~(apart <= TOLERANCE))), 5), "share of twin states", 0.0,
                                    len(both)),
            "live_apart_p99": Figure(float(np.percentile(apart, 99)), "rad", None, len(both)),
            "live_apart_max": Figure(float(np.max(apart)), "rad", None, len(both)),
            "live_unpaired": Figure(len(late) - len(both), "twin states", 0, len(late)),
            "live_level_mismatch": Figure(round(wrong / max(n, 1), 5), "share of verdicts", 0.0, n),
            "live_level_unexplained": Figure(unexplained, "verdicts", 0, n)}


def _arrivals(bag: Path, topic: str) -> list[tuple[int, int]]:
    """(arrival, stamp) of each message, ns."""
    with BagReader(bag) as reader:
        return [(record.stamp_ns, capture_ns(record.message)) for record in reader.messages([topic])]


def twins(bag: Path) -> dict[int, Array]:
    """Stamp -> joint positions of the first twin state of that stamp; one that only says that nothing came is none."""
    found: dict[int, Array] = {}
    with BagReader(bag) as reader:
        for record in reader.messages(["/twin/state"]):
            state = read(record.type, record.message)
            if state.status == TwinStatus.OK:
                found.setdefault(state.stamp_ns, state.position)
    return found


def _levels(bag: Path) -> Array:
    """Rows (arrival ns, safety level)."""
    with BagReader(bag) as reader:
        rows = [(r.stamp_ns, int(r.message.level)) for r in reader.messages(["/safety/status"])]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _level_mismatch(live: Array, again: Array, begin_ns: int, states_ns: list[int]) -> tuple[int, int, int]:
    """(live verdicts whose level no replayed one within ``NEAR`` has, those among them without a reason, all live
    ones). A reason is a gap of more than ``GAP`` in the recorded arrivals of robot states, not longer ago than a level
    takes to come down: the monitor runs at real-time priority and had them in time, the recorder had not."""
    times, wrong, unexplained = again[:, 0], 0, 0
    states = np.array(states_ns)
    gaps = states[1:][np.diff(states) > GAP * NS]
    live = live[live[:, 0] >= begin_ns]
    for at, level in live:
        a, b = np.searchsorted(times, (at - round(NEAR * NS), at + round(NEAR * NS)))
        if not np.any(again[a:b, 1] == level):
            wrong += 1
            unexplained += not np.any((gaps > at - SETTLING * NS) & (gaps <= at + NEAR * NS))
    return wrong, unexplained, len(live)
