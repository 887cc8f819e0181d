"""A recording of the whole graph at work: what it cost and lost, how fast it is replayed, how near to what was live."""

from __future__ import annotations

import os
import signal
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
from humanoid_replay.errors import BagError
from humanoid_replay.live import UNDER_WAY, Judged, live_against_cores
from humanoid_replay.reader import BagReader
from humanoid_replay.recorder import PICTURES
from humanoid_replay.recording import Recording
from humanoid_replay.samples import capture_ns
from humanoid_replay.through import make_stages, replay

STAGES = ("ingest", "twin", "safety", "gate")
#: Topics that may not lose a message while recording, and how one is told: by its number; a joint sample by the robot
#: state that was made of it, which has its stamp.
STATE, JOINTS = "ingest/robot_state", "joint_states"
NUMBERED = (STATE, "safety/permit", "robot/joint_command", "vla/joint_command")
#: Until the graph works, s, and how long the recorder may take to begin and to end.
START, BEGIN, END = 90.0, 30.0, 60.0
#: s from the first twin state on that are not compared: nodes find one another at times that no recording tells. A
#: recording that began when the graph ran already: s after which the cores have forgotten how they began.
FINDING, FORGETTING = 5.0, 30.0
#: Twin states of one measurement shall agree to so much, rad, a verdict with one of the core's so near, s: two ticks.
#: What was lost explains differences for so long, s: a
#: level takes that long to come down, a belief to forget.
TOLERANCE, NEAR, EXPLAINS = 1e-3, 0.0205, 3.0
NOTE = (
    "the whole graph of the simulated robot with camera and policy, which waves again and again, and `humanoid-twin "
    "record` beside it, begun before it, {record}; recorder_core_share: its CPU time by the operating system over the "
    "time in which the graph worked; "
    "recorder_lost: gaps in the numbers of {numbered}, and joint samples of which there is a robot state only; "
    "replay_speed: the first {short:g} s without pictures through {stages}, one process, outputs hashed and not "
    "written, replay_speed_* each part of it alone ('bag': reading, converting, hashing); live_mismatch: share of the "
    f"recorded twin/state whose joint positions are more than {TOLERANCE:g} rad from those of the twin's core, which "
    "was given the measurements that the twin says it used, and the commands published by then; live_level_mismatch: "
    "share of the recorded verdicts whose level the monitor's core, on what was published by then, has at none of the "
    "five ticks around that time; live_overtaken: measurements that the twin was too busy to see, which its core is "
    "spared; live_drops: messages that were said or used and are not recorded, by name; live_unexplained: "
    f"differences of both kinds without one of them in the {EXPLAINS:g} s before; not compared are the first "
    f"{FINDING:g} s, in which nodes find one another")


def graph(options: Options, progress: Progress) -> Measured:
    """All figures that need a recording of the running graph: a new one, or ``options.bag``."""
    seconds = 45.0 if options.quick else 60.0 * (options.minutes or 10.0)
    short = 10.0 if options.quick else 60.0
    out = Measured(note=NOTE.format(record=options.bag or f"{seconds:g} s", numbered=", ".join(NUMBERED), short=short,
                                    stages=", ".join(STAGES)))
    with tempfile.TemporaryDirectory() as scratch:
        bag = options.bag or options.keep or Path(scratch) / "bag"
        if options.bag is None and bag.exists():
            raise BadInput(f"{bag}: exists already; choose another folder or remove it")
        if options.bag is None:
            with own_domain():
                out.figures.update(_record(bag, seconds, progress))
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
    environment = {"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}
    with (Supervisor(make_graph("whole"), lambda node, line: None, environment=environment) as supervisor,
          graph_world(load_robot("g1"), supervisor, moves=False) as world):
        if not world.bring_to_work(START):
            raise RuntimeError(f"the graph did not come to work: {world.last('safety/status')}")
        yield world


def _record(bag: Path, seconds: float, progress: Progress) -> dict[str, Figure]:
    """Record from before the graph starts until the robot has gone on waving for so long; the recorder's share of a
    core while it waves."""
    recorder = subprocess.Popen([sys.executable, "-m", "humanoid_cli.main", "record", str(bag)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + BEGIN
        while not bag.exists() and recorder.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        watched = psutil.Process(recorder.pid)
        with running_graph() as world:
            began = time.monotonic()
            first = last = _used(watched)
            while recorder.poll() is None and time.monotonic() - began < seconds:
                last = _used(watched) or last
                if world.working():
                    world.wait(0.5)
                else:
                    world.bring_to_work(2.0)
                progress(0.7 * min(1.0, (time.monotonic() - began) / seconds))
            recorder.send_signal(signal.SIGINT)
            said = recorder.communicate(timeout=END)[0]
    finally:
        if recorder.poll() is None:
            recorder.kill()
            recorder.communicate()
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


def live_mismatch(bag: Path, under_way_ns: int = UNDER_WAY) -> dict[str, Figure]:
    """The graph's own twin states and verdicts against those of the cores on what the same nodes were given."""
    live = live_against_cores(bag, load_robot("g1"), under_way_ns)
    unlike = FINDING if live.begun else FORGETTING
    settled = min((x.stamp_ns for x in live.twins), default=0) + round(unlike * NS)
    twins, levels = ([x for x in rows if x.stamp_ns >= settled] for rows in (live.twins, live.levels))
    if not twins or not levels:
        raise RuntimeError(f"the recording holds nothing to compare after its first {unlike:g} s")
    apart = np.array([x.apart for x in twins])
    wrong = [x.stamp_ns for x in twins if not x.apart <= TOLERANCE], _other_levels(levels)
    lost_ns = np.sort([at for at, _ in live.lost])
    unexplained = sum(not _explained(at_ns, lost_ns) for found in wrong for at_ns in found)
    rows = {"live_mismatch": Figure(round(len(wrong[0]) / len(twins), 5), "share of twin states", 0.0, len(twins)),
            "live_apart_p99": Figure(float(np.percentile(apart, 99)), "rad", None, len(twins)),
            "live_apart_max": Figure(float(np.max(apart)), "rad", None, len(twins)),
            "live_unpaired": Figure(live.unpaired, "twin states", 0, len(twins)),
            "live_level_mismatch": Figure(round(len(wrong[1]) / len(levels), 5), "share of verdicts", 0.0, len(levels)),
            "live_unexplained": Figure(unexplained, "twin states and verdicts", 0, len(twins) + len(levels)),
            "live_overtaken": Figure(live.overtaken, "measurements"),
            "live_drops": Figure(len(live.lost), "messages", 0)}
    for name, n in sorted(live.drops.items()):
        rows[f"live_drops_{name.replace('/', '_').replace(' ', '_')}"] = Figure(n, "messages")
    return rows


def _other_levels(levels: list[Judged]) -> list[int]:
    """Times of the recorded verdicts of whose level no replayed one within ``NEAR`` is."""
    times, again = np.array([x.stamp_ns for x in levels]), np.array([x.again for x in levels])
    near = round(NEAR * NS)
    begins, ends = np.searchsorted(times, times - near), np.searchsorted(times, times + near)
    return [x.stamp_ns for x, a, b in zip(levels, begins, ends, strict=True) if not np.any(again[a:b] == x.level)]


def _explained(stamp_ns: int, lost_ns: Array) -> bool:
    """Whether something was lost within ``EXPLAINS`` before (an arrival is noted a little after its tick)."""
    k = int(np.searchsorted(lost_ns, stamp_ns + NS // 10)) - 1
    return k >= 0 and stamp_ns - lost_ns[k] <= EXPLAINS * NS
