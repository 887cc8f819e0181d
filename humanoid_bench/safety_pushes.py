"""push_lead_share: is a fall announced in time, and is a push that the robot catches left alone?"""

from __future__ import annotations

import math

import numpy as np

from humanoid_bench.lockstep import Lockstep
from humanoid_bench.measured import Log, Measured, Options, Progress, percentiles
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.types import Level, Mode
from sim_nodes.core.plant import PlantParams

LEAD = 0.2  # s
WATCH = 4.0  # s after the push
IMPULSE = (1.0, 25.0)  # N s
NOTE = ("random direction (0 to 360 degrees), impulse (1 to 25 N s, over 0.1 s, at the torso) and time (0 to 2 s) by "
        "seed. Every push is played twice in lockstep: once with the onboard balance controller alone; it is "
        "unrecoverable when the robot falls there within 4 s (base below 66 % of its standing height or tilted beyond "
        "0.8 rad); and once with monitor and gate. lead = time of the fall without intervention minus time of the "
        "first level WARNING or above with the monitor, both from the push. push_lead_share: share of the "
        "unrecoverable pushes with a lead of at least 0.2 s. A false trip: level EMERGENCY after a recoverable push; "
        "DANGER and WARNING after one are given beside it")


def one(seed: int) -> dict[str, float | None]:
    """fall, warning, danger, emergency: s after the push, None: never."""
    rng = np.random.default_rng([seed, 77])
    angle, size, at = rng.uniform(0, 2 * math.pi), rng.uniform(*IMPULSE), rng.uniform(0.0, 2.0)
    impulse = np.array([size * math.cos(angle), size * math.sin(angle), 0.0])
    robot, found = load_robot("g1"), dict[str, float | None]()
    with Lockstep(robot, seed=seed, plant=PlantParams(objects=""), stages=("ingest",)) as bare:
        bare.plant.set_mode(Mode.RUN)
        bare.run(1.0 + at)
        bare.plant.push(impulse, 0.1, "torso_link")
        begin = bare.now_ns
        fell = bare.run(WATCH, bare.truth.fallen)
        found["fall"] = (bare.now_ns - begin) / 1e9 if fell else None
    with Lockstep(robot, seed=seed, plant=PlantParams(objects="")) as house:
        first: dict[Level, int] = {}
        house.run(1.0 + at)

        def judge(status, now_ns: int) -> None:  # type: ignore[no-untyped-def]
            for level in (Level.WARNING, Level.DANGER, Level.EMERGENCY):
                if status.level >= level:
                    first.setdefault(level, now_ns)

        house.run(1.5, lambda: house.newest["safety/status"].level == Level.SAFE)
        house.listen("safety/status", judge)
        house.plant.push(impulse, 0.1, "torso_link")
        begin = house.now_ns
        house.run(WATCH)
        found["fell_anyway"] = float(house.truth.fallen())
    for level in (Level.WARNING, Level.DANGER, Level.EMERGENCY):
        found[level.name.lower()] = (first[level] - begin) / 1e9 if level in first else None
    return {**found, "impulse": float(size), "angle": float(angle)}


def measure(options: Options, progress: Progress) -> Measured:
    n = options.pushes or (6 if options.quick else 200)
    log, rows = Log(options.log), []
    for seed in range(n):
        rows.append(log.once(f"push/{seed}", lambda seed=seed: one(seed)))
        progress((seed + 1) / n)
    falls = [r for r in rows if r["fall"] is not None]
    caught = [r for r in rows if r["fall"] is None]
    leads = [r["fall"] - r["warning"] if r["warning"] is not None else -1.0 for r in falls]
    good = sum(lead >= LEAD for lead in leads)
    def tripped(level: str) -> int:
        return sum(r[level] is not None for r in caught)

    figures = {"push_lead_share": Figure(round(good / len(falls), 4) if falls else float("nan"), "", 0.99, len(falls)),
               "push_false_emergencies": Figure(tripped("emergency"), "", 0, len(caught)),
               "push_false_dangers": Figure(tripped("danger"), "", None, len(caught)),
               "push_false_warnings": Figure(tripped("warning"), "", None, len(caught)),
               "push_falls_with_monitor": Figure(sum(bool(r["fell_anyway"]) for r in rows), "", None, n),
               **{k: v for k, v in percentiles("push_lead_%s_s", leads, "s").items() if "p50" in k}}
    if leads:
        figures["push_lead_min_s"] = Figure(round(min(leads), 3), "s", None, len(leads))
    return Measured(figures, {"push_lead_s": leads,
                              "recoverable_impulse": [r["impulse"] for r in caught],
                              "unrecoverable_impulse": [r["impulse"] for r in falls]}, NOTE)
