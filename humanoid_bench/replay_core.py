"""Replay and recordings by themselves: the same hash every time, and what comes of damaged files."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import Lockstep
from humanoid_bench.measured import Measured, Options, Progress
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.recording import Limits, Recording
from humanoid_replay.through import make_stages, replay
from sim_nodes.core.plant import PlantParams

STAGES = ("ingest", "twin", "safety", "gate")


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
