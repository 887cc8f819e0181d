"""How long the simulated robot stands, what pushes it takes, what a step and a picture cost.

python test/bench/bench_plant.py [--minutes 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_core.robot import load_robot
from humanoid_core.types import JointCommand, Mode
from sim_nodes.core.camera import Camera
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.truth import Truth

ROBOT = load_robot("g1")
UPPER = list(ROBOT.groups["upper_body"])
NAMES = tuple(ROBOT.joint_names[i] for i in UPPER)


def command(q: np.ndarray) -> JointCommand:
    """Upper body set-points from a full posture."""
    return JointCommand(0, 0, 0, "bench", NAMES, q[UPPER])


def stand(minutes: float) -> dict[str, Any]:
    """Both arms swing 0.8 rad at 0.3 Hz with the scene present; returns figures."""
    plant = Plant(ROBOT)
    truth = Truth(plant)
    plant.set_mode(Mode.RUN)
    steps, tilt, start = round(0.01e9 / plant.dt_ns), 0.0, time.perf_counter()
    count = round(minutes * 6000)
    for k in range(count):
        swing = 0.8 * math.sin(2 * math.pi * 0.3 * k * 0.01)
        q = ROBOT.rest.copy()
        q[ROBOT.index("left_shoulder_pitch_joint")] += swing
        q[ROBOT.index("right_shoulder_pitch_joint")] -= swing
        plant.command(command(q))
        plant.step(steps)
        tilt = max(tilt, truth.tilt())
        if truth.fallen():
            break
    spent = time.perf_counter() - start
    return {
        "stand_time": {"value": round((k + 1) * 0.01, 2), "unit": "s", "aim": 60 * minutes, "n": 1},
        "stand_max_tilt": {"value": round(tilt, 4), "unit": "rad", "aim": 0.1, "n": count},
        "stand_drift": {"value": round(float(np.hypot(*plant.data.qpos[:2])), 4), "unit": "m", "aim": 0.05, "n": 1},
        "step_cost": {"value": round(spent / plant.steps * 1e6, 1), "unit": "us", "aim": 120, "n": plant.steps},
        "core_share": {"value": round(spent / (plant.time_ns * 1e-9), 4), "unit": "1", "aim": 0.1, "n": 1},
    }


def survives(impulse: float, angle: float, reach: bool) -> bool:
    """One push of 0.1 s at the torso, with hanging or stretched arms."""
    plant = Plant(ROBOT, PlantParams(objects=""))
    truth = Truth(plant)
    plant.set_mode(Mode.RUN)
    goal = ROBOT.rest.copy()
    if reach:
        for side in ("left", "right"):
            goal[ROBOT.index(f"{side}_shoulder_pitch_joint")] = -0.9
            goal[ROBOT.index(f"{side}_elbow_joint")] = 0.5
    for k in range(600):
        plant.command(command(ROBOT.rest + min(k / 150, 1.0) * (goal - ROBOT.rest)))
        if k == 250:
            plant.push(impulse * np.array([math.cos(angle), math.sin(angle), 0.0]), 0.1, "torso_link")
        plant.step(4)
    return not truth.fallen()


def pushes() -> dict[str, Any]:
    """Largest impulse survived, the weakest of eight directions."""
    figures = {}
    for name, reach in (("push_arms_hanging", False), ("push_arms_forward", True)):
        best = []
        for direction in range(8):
            impulse = 3.0
            while impulse < 20.0 and survives(impulse + 1.0, direction * math.pi / 4, reach):
                impulse += 1.0
            best.append(impulse)
        figures[name] = {"value": min(best), "unit": "N s", "aim": 5.0, "n": 8, "by_direction": best}
    return figures


def pictures(count: int = 100) -> dict[str, Any]:
    """Cost of one head camera picture, RGB and depth."""
    plant = Plant(ROBOT)
    spec = ROBOT.camera
    assert spec is not None
    camera = Camera(plant.model, spec.name, spec.width, spec.height, spec.near, spec.far)
    if not camera.on:
        return {"picture_cost": {"value": None, "unit": "ms", "aim": 10, "n": 0, "why": camera.why}}
    camera.picture(plant.data)
    start = time.perf_counter()
    for _ in range(count):
        camera.picture(plant.data)
    cost = (time.perf_counter() - start) / count
    camera.close()
    return {"picture_cost": {"value": round(cost * 1e3, 2), "unit": "ms", "aim": 10, "n": count}}


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="simulated minutes of standing")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    figures = {**stand(args.minutes), **pushes(), **pictures()}
    for name, figure in figures.items():
        print(f"{name:20} {figure['value']} {figure['unit']} (aim {figure['aim']}, n {figure['n']})", end="")
        print(f" {figure['by_direction']}" if "by_direction" in figure else "")
    if args.json:
        machine = {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
        args.json.write_text(json.dumps({"machine": machine, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
