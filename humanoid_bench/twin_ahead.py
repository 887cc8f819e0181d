"""prediction_ratio_*: what the twin expects while both arms reach, against the simulator's truth; and one bag twice."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import START_NS, Lockstep
from humanoid_bench.measured import Log, Measured, Options, Progress
from humanoid_bench.reaching import BENCH_SENSORS
from humanoid_cli.figures import Figure
from humanoid_cli.twin import run_twin
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import Array
from humanoid_core.timing import MS, NS
from sim_nodes.core.plant import PlantParams
from twin_nodes.core.preview import Look
from twin_nodes.core.scoring import AHEAD_MS
from twin_nodes.core.start import Start

#: Simulated time of one seed that counts, s, and before that.
SECONDS, SETTLE = 20.0, 3.0
AIMS = {100: 0.5, 500: 0.5}
NOISE = [("twin_sync", "position_noise", BENCH_SENSORS.joint_position_noise),
         ("twin_sync", "velocity_noise", BENCH_SENSORS.joint_velocity_noise)]
NOTE = ("the house in lockstep, endless random reaches of both arms by chunks through policy and gate, sensors of 2 "
        "mrad, 0.05 rad/s, 20 +- 8 ms, 1 % lost; RMS over all joints and looks (10 Hz) of the expected positions "
        "against the simulator's at that instant, divided by that of the better of two trivial predictors that start "
        "from the same estimate: the joints stay, or go on at their estimated speed")


def squares(seed: int) -> dict[str, Any]:
    """Per span in ms: sums of squares (prediction, hold, constant velocity), and how many looks."""
    robot = load_robot("g1")
    looks: list[tuple[Start, Look]] = []
    times: list[int] = []
    truth: list[Array] = []
    with Lockstep(robot, seed=seed, plant=PlantParams(objects=""), sensors=BENCH_SENSORS, policy="reach",
                  settings=NOISE) as house:
        predictor = house.stage("twin").predictor
        look = predictor.look

        def remember(start: Start, *given: Any) -> Look:
            looks.append((start, look(start, *given)))
            return looks[-1][1]

        predictor.look = remember
        house.instruct("reach")
        for _ in range(round((SETTLE + SECONDS) * NS / (5 * MS))):
            house.step()
            times.append(house.now_ns)
            truth.append(house.plant.joints()[0].copy())
        begin = house.now_ns - round(SECONDS * NS)
    known, there = np.array(times, dtype=np.float64), np.array(truth)
    sums: dict[str, Any] = {}
    for ahead in AHEAD_MS:
        total, count = np.zeros(3), 0
        for start, seen in looks:
            due = start.stamp_ns + ahead * MS
            if start.stamp_ns < max(begin, START_NS) or due > times[-1]:
                continue
            true = np.array([np.interp(due, known, column) for column in there.T])
            expected = np.array([np.interp(ahead / 1e3, seen.time, column) for column in seen.trajectory.T])
            total += [float(np.mean((x - true) ** 2)) for x in (expected, start.q, start.q + ahead / 1e3 * start.v)]
            count += 1
        sums[str(ahead)] = [*total.tolist(), count]
    return sums


def prediction(options: Options, progress: Progress) -> Measured:
    seeds = options.seeds or (1 if options.quick else 10)
    log, sums = Log(options.log), {ahead: np.zeros(4) for ahead in AHEAD_MS}
    for seed in range(seeds):
        row = log.once(f"ahead/{seed}", lambda seed=seed: squares(seed))
        for ahead in AHEAD_MS:
            sums[ahead] += row[str(ahead)]
        progress((seed + 1) / seeds)
    figures: dict[str, Figure] = {}
    for ahead, (predicted, hold, velocity, count) in sums.items():
        rms = [float(np.sqrt(x / max(count, 1))) for x in (predicted, hold, velocity)]
        figures[f"prediction_ratio_{ahead}ms"] = Figure(rms[0] / min(rms[1:]), "", AIMS.get(ahead), int(count))
        for name, value in zip(("error", "hold", "velocity"), rms, strict=True):
            figures[f"prediction_{name}_{ahead}ms_mrad"] = Figure(1e3 * value, "mrad", None, int(count))
    return Measured(figures, {}, f"{NOTE}; {seeds} seeds of {SECONDS:g} s")


def replay_twice(options: Options, progress: Progress) -> Measured:
    """The same bag twice through ingest and twin: the same bytes?"""
    robot, seconds = load_robot("g1"), 3.0 if options.quick else 20.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bag"
        with Lockstep(robot, plant=PlantParams(objects=""), policy="reach") as house, BagOf(house, path):
            house.instruct("reach")
            house.run(seconds)
        hashes, speed = [], 0.0
        for k in range(2):
            report = run_twin(path, robot)[1]
            hashes.append(report.hash)
            speed = report.recorded_s / max(report.took_s, 1e-9)
            progress((k + 1) / 2)
    same = hashes[0] == hashes[1]
    return Measured({"replay_same_bytes": Figure(same, "", True, 2), "replay_speed": Figure(speed, "x real time")}, {},
                    f"{seconds:g} s of reaching, recorded in lockstep, through ingest and twin; sha256 {hashes[0]}"
                    + ("" if same else f" and {hashes[1]}"))
