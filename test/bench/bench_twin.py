"""What ingest and the twin cost: core steps in one process, and the two nodes beside a publishing robot.

python test/bench/bench_twin.py [--seconds 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from humanoid_cli.figures import Figure, write_figures
from twin_nodes.core.prediction import Predictor
from twin_nodes.core.start import start_of
from twin_nodes.core.twin import TwinCore

TEST = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TEST), str(TEST / "unit")]

from conftest import EXECUTABLES  # noqa: E402
from fake_robot import FakeRobot  # noqa: E402
from ingest_world import LATE, PERIOD, IngestWorld  # noqa: E402


def cores(count: int) -> dict[str, Figure]:
    """Microseconds for each call, over `count` ticks of the robot standing."""
    world, spent = IngestWorld(), {}
    twin, predictor = TwinCore(world.robot), Predictor(world.robot, 0.5, 0.05)
    took: dict[str, list[float]] = {"joint_states": [], "imu/pelvis": [], "foot_contacts/left": [], "twin": [],
                                    "preview": []}
    for _ in range(count):
        world.now += PERIOD
        for topic, sample in world.samples().items():
            start = time.perf_counter()
            output = world.core.on_sample(topic, sample, world.now + LATE)
            if topic in took:
                took[topic].append(time.perf_counter() - start)
            if output.state is not None:
                start = time.perf_counter()
                twin.on_state(output.state, world.now + LATE)
                twin.learn()
                took["twin"].append(time.perf_counter() - start)
    assert twin.latest is not None
    for _ in range(100):
        start = time.perf_counter()
        begin = start_of(twin)
        assert begin is not None
        predictor.predict(begin)
        took["preview"].append(time.perf_counter() - start)
    for name, values in took.items():
        for q in (50, 99):
            spent[f"core_{name}_p{q}"] = Figure(float(np.percentile(values, q)) * 1e6, "us", None, len(values))
    return spent


def nodes(seconds: float) -> dict[str, Figure]:
    """Share of a core for each node, rates, and the age of the twin's state when it arrives here."""
    os.environ["ROS_DOMAIN_ID"] = "29"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    names = ("sensor_ingest", "twin_sync")
    children = [subprocess.Popen([str(EXECUTABLES / name)], env=env) for name in names]
    robot = FakeRobot()
    try:
        states, twins = robot.listen("ingest/robot_state"), robot.listen("twin/state")
        robot.start()
        time.sleep(3.0)
        processes = [psutil.Process(child.pid) for child in children]
        before, first = [sum(p.cpu_times()[:2]) for p in processes], (len(states), len(twins))
        start = time.monotonic()
        time.sleep(seconds)
        span = time.monotonic() - start
        figures = {f"{name}_cores": Figure((sum(p.cpu_times()[:2]) - b) / span, "cores", None, 1)
                   for name, p, b in zip(names, processes, before, strict=True)}
        latency = np.array([t.latency for t in twins[first[1]:]]) * 1e3
        figures["robot_state_rate"] = Figure((len(states) - first[0]) / span, "Hz", 200, len(states) - first[0])
        figures["twin_state_rate"] = Figure((len(twins) - first[1]) / span, "Hz", 100, len(latency))
        for q in (50, 99):
            figures[f"twin_latency_p{q}"] = Figure(float(np.percentile(latency, q)), "ms", None, len(latency))
        return figures
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(10.0)
        robot.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {**cores(2000), **nodes(arguments.seconds)}
    for name, figure in figures.items():
        print(f"{name:34} {figure.value:10.3f} {figure.unit}  n={figure.n}")
    write_figures(arguments.json, figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
