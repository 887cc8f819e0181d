"""`humanoid-twin bench replay`: how fast and how exactly recordings are replayed, and what recording costs."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import Lockstep
from humanoid_bench.measured import Measured, Options, Progress
from humanoid_cli.figures import Figure
from humanoid_cli.session import own_domain
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.recording import Limits, Recording
from humanoid_replay.through import make_stages, read, replay
from sim_nodes.core.plant import PlantParams

STAGES = ("ingest", "twin", "safety", "gate")
#: Topics that may not lose a message while recording, and how one is told: by its number, or by the step of its stamp.
NUMBERED = {"ingest/robot_state": 1, "safety/permit": 1, "robot/joint_command": 1}
STEPPED = {"joint_states": 5_000_000}
READY = 12.0


def graph(options: Options, progress: Progress) -> Measured:
    """A recording of the whole graph at work: its cost, what it lost, how fast it is replayed, and how exactly."""
    seconds = 20.0 if options.quick else 60.0 * (options.minutes or 10.0)
    out = Measured(note=f"`humanoid-twin up sim`, a task, `humanoid-twin record` beside it for {seconds:.0f} s; the "
                   "recorder's CPU by the operating system, losses by sequence numbers (joints: by stamps). Replay "
                   "through ingest, twin, safety and gate of its first 60 s, one process. live_mismatch: share of "
                   "recorded twin/state messages whose joint positions differ by more than 1e-9 rad from a replay of "
                   "the recorded ingest/robot_state with the recorded commands, and of safety levels that differ for "
                   "longer than 50 ms.")
    with tempfile.TemporaryDirectory() as scratch:
        bag = Path(scratch) / "bag"
        with own_domain(), _running_graph(Path(scratch)):
            out.figures.update(_record(bag, seconds, progress))
        out.figures.update(lost(bag))
        out.figures.update(_speed(bag, 10.0 if options.quick else 60.0))
        progress(0.9)
        out.figures.update(live_mismatch(bag))
    return out


@contextmanager
def _running_graph(scratch: Path) -> Iterator[None]:
    """The graph sim with a task that goes on; ended in the end."""
    with (scratch / "up.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "humanoid_cli.main", "up", "sim"], stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            time.sleep(READY)
            if process.poll() is not None:
                raise RuntimeError((scratch / "up.log").read_text()[-400:])
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _record(bag: Path, seconds: float, progress: Progress) -> dict[str, Figure]:
    """The recorder's share of a core."""
    recorder = subprocess.Popen([sys.executable, "-m", "humanoid_cli.main", "record", str(bag), "--seconds",
                                 str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watched = psutil.Process(recorder.pid)
    time.sleep(6.0)  # discovery and imports
    used, begin, share = watched.cpu_times(), time.monotonic(), float("nan")
    while recorder.poll() is None and time.monotonic() - begin < seconds + 30.0:
        try:
            now = watched.cpu_times()
        except psutil.Error:
            break
        passed = time.monotonic() - begin
        if passed > 1.0 and passed < seconds - 5.0:
            share = (now.user + now.system - used.user - used.system) / passed
        progress(0.7 * min(1.0, passed / seconds))
        time.sleep(0.5)
    said = recorder.communicate(timeout=30.0)[0]
    if recorder.returncode not in (0, 1) or not bag.exists():
        raise RuntimeError(f"the recorder failed: {said[-300:]}")
    return {"recorder_core_share": Figure(round(share, 4), "cores", 0.1)}


def lost(bag: Path) -> dict[str, Figure]:
    """Messages that are missing between the first and the last recorded one, by number or stamp."""
    missing, seen = 0, 0
    last: dict[str, int] = {}
    with BagReader(bag) as reader:
        for record in reader.messages([f"/{t}" for t in (*NUMBERED, *STEPPED)]):
            topic = record.topic.lstrip("/")
            seen += 1
            if topic in NUMBERED:
                number = int(record.message.seq)
            else:
                stamp = record.message.header.stamp
                number = round((stamp.sec * NS + stamp.nanosec) / STEPPED[topic])
            if topic in last:
                missing += max(0, number - last[topic] - 1)
            last[topic] = max(number, last.get(topic, 0))
    return {"recorder_lost": Figure(missing, "messages", 0, seen)}


def _speed(bag: Path, seconds: float) -> dict[str, Figure]:
    """Recorded time over replay time, for the first part of a recording, without its pictures."""
    robot = load_robot("g1")
    with tempfile.TemporaryDirectory() as scratch:
        short = Path(scratch) / "short"
        with BagReader(bag) as reader, Recording(short) as target:
            names = [t.name for t in reader.topics if "camera" not in t.name]
            for topic, kind, stamp, data in reader.raw(names):
                if stamp > reader.start_ns + seconds * NS:
                    break
                target.write(topic, kind, stamp, data)
        report = replay(short, make_stages(STAGES, robot), robot)
    return {"replay_speed": Figure(round(report.recorded_s / report.took_s, 2), "x real time", 20.0, report.inputs)}


def live_mismatch(bag: Path) -> dict[str, Figure]:
    """The graph's own outputs against a replay of the inputs that the same nodes were given."""
    robot = load_robot("g1")
    with tempfile.TemporaryDirectory() as scratch:
        from humanoid_replay.writer import BagWriter

        out = Path(scratch) / "out"
        with BagWriter(out) as writer:
            replay(bag, make_stages(("twin", "safety"), robot), robot, writer)
        live, again = _twins(bag), _twins(out)
        both = sorted(live.keys() & again.keys())
        wrong = sum(not np.allclose(live[k], again[k], rtol=0.0, atol=1e-9, equal_nan=True) for k in both)
        levels = _level_mismatch(bag, out)
    return {"live_mismatch": Figure(round(wrong / max(len(both), 1), 5), "share of twin states", 0.0, len(both)),
            "live_unpaired": Figure(len(live) - len(both), "twin states", None, len(live)),
            "live_level_mismatch": Figure(round(levels[0], 5), "share of ticks", 0.0, levels[1])}


def _twins(bag: Path) -> dict[int, Any]:
    with BagReader(bag) as reader:
        rows = [read(r.type, r.message) for r in reader.messages(["/twin/state"])]
    return {t.stamp_ns: t.position for t in rows if t.status == 1}


def _level_mismatch(bag: Path, out: Path) -> tuple[float, int]:
    """Share of live ticks whose level no replayed tick within 50 ms has."""
    sides = []
    for path in (bag, out):
        with BagReader(path) as reader:
            sides.append([(r.stamp_ns, int(r.message.level)) for r in reader.messages(["/safety/status"])])
    live, again = sides
    if not live or not again:
        return float("nan"), 0
    times = np.array([t for t, _ in again])
    grades = np.array([level for _, level in again])
    wrong = 0
    for t, level in live:
        a, b = np.searchsorted(times, (t - 50_000_000, t + 50_000_000))
        wrong += not bool(np.any(grades[a:b] == level))
    return wrong / len(live), len(live)


def hashes(options: Options, progress: Progress) -> Measured:
    """The same recording again and again, the last time in another process: how many different hashes."""
    runs = 5 if options.quick else 100
    robot = load_robot("g1")
    found = set()
    with tempfile.TemporaryDirectory() as scratch:
        bag = Path(scratch) / "bag"
        with Lockstep(robot, seed=4, plant=PlantParams(objects=""), policy="reach") as house, BagOf(house, bag):
            house.instruct("reach")
            house.run(3.0)
        for k in range(runs - 1):
            found.add(replay(bag, make_stages(STAGES, robot), robot).hash)
            progress((k + 1) / runs)
        code = ("import sys; from pathlib import Path; from humanoid_core.robot import load_robot\n"
                "from humanoid_replay.through import make_stages, replay\nr = load_robot('g1')\n"
                f"print(replay(Path(sys.argv[1]), make_stages({STAGES!r}, r), r).hash)")
        done = subprocess.run([sys.executable, "-c", code, str(bag)], capture_output=True, text=True, timeout=300.0)
        found.add(done.stdout.strip().splitlines()[-1])
    return Measured({"replay_hashes": Figure(len(found), "", 1, runs)},
                    note="3 s of two reaching arms, recorded in lockstep; the last run in a process of its own")


def fuzz(options: Options, progress: Progress) -> Measured:
    """Truncations and bit flips of a recording: whatever comes of it but a BagError in one line is a failure."""
    cases = 50 if options.quick else 500
    rng, failures, unread = random.Random(20), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        bag = Path(scratch) / "bag"
        quiet = Lockstep(load_robot("g1"), seed=4, plant=PlantParams(objects=""))
        with quiet as house, BagOf(house, Path(scratch) / "whole"):
            house.run(1.0)
        with BagReader(Path(scratch) / "whole") as reader, Recording(bag, limits=Limits(flush=0.1)) as target:
            for row in reader.raw():
                target.write(*row)
        whole = next(bag.glob("*.mcap")).read_bytes()
        file = Path(scratch) / "damaged.mcap"
        for k in range(cases):
            data = bytearray(whole)
            if k % 2:
                del data[rng.randrange(len(data)):]
            else:
                for _ in range(rng.randint(1, 4)):
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
            try:
                with BagReader(file) as reader:
                    hashlib.sha256(b"".join(r.topic.encode() for r in reader.messages())).digest()
            except BagError as error:
                unread += 1
                failures += "\n" in str(error)
            except Exception:
                failures += 1
            progress((k + 1) / cases)
        shutil.rmtree(bag)
    return Measured({"fuzz_failures": Figure(failures, "", 0, cases),
                     "fuzz_refused": Figure(unread, "whole files", None, cases)},
                    note="half of the cases cut anywhere, half with 1 to 4 bits turned over")
