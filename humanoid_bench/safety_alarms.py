"""false_emergencies: how often normal work, with the noise of its sensors, is taken for an emergency."""

from __future__ import annotations

from collections import Counter

from humanoid_bench.lockstep import Lockstep
from humanoid_bench.measured import Log, Measured, Options, Progress
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.types import Level
from sim_nodes.core.plant import PlantParams
from sim_nodes.core.sensors import SensorParams

SECONDS = 60.0  # of simulated work under one seed
NOTE = ("the house in lockstep, one simulated minute a seed: endless random reaches of both arms over the table's free "
        "space with the simulator's sensor noise (default of sim_robot), no fault; counted are entries into EMERGENCY, "
        "and beside them the share of the time at each level")


def minute(seed: int) -> dict[str, object]:
    """One minute of work: entries into EMERGENCY and DANGER, ticks at each level, causes, share of moving ticks."""
    robot = load_robot("g1")
    levels: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    last = [Level.SAFE]
    moving = [0]
    with Lockstep(robot, seed=seed, plant=PlantParams(objects=""), sensors=SensorParams(), policy="reach") as house:
        house.run(3.0)

        def judge(status, now_ns: int) -> None:  # type: ignore[no-untyped-def]
            levels[status.level.name] += 1
            if status.level > last[0]:
                entries[status.level.name] += 1
                causes[status.cause.split()[0]] += 1
            last[0] = status.level

        def count(command, now_ns: int) -> None:  # type: ignore[no-untyped-def]
            moving[0] += bool((abs(command.velocity) > 0.02).any())

        house.listen("safety/status", judge)
        house.listen("robot/joint_command", count)
        house.instruct("reach")
        house.run(SECONDS)
        fell = house.truth.fallen()
    return {"levels": dict(levels), "entries": dict(entries), "causes": dict(causes), "moving": moving[0],
            "fallen": fell}


def measure(options: Options, progress: Progress) -> Measured:
    minutes = max(round(options.minutes or (1 if options.quick else 60)), 1)
    log = Log(options.log)
    levels: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    moving = falls = 0
    for seed in range(minutes):
        row = log.once(f"alarm/{seed}", lambda seed=seed: minute(seed))
        levels.update(row["levels"])
        entries.update(row["entries"])
        causes.update(row["causes"])
        moving += row["moving"]
        falls += bool(row["fallen"])
        progress((seed + 1) / minutes)
    total = max(sum(levels.values()), 1)
    figures = {"false_emergencies": Figure(entries.get("EMERGENCY", 0), "", 0, minutes),
               "false_dangers": Figure(entries.get("DANGER", 0), "", None, minutes),
               "false_warnings": Figure(entries.get("WARNING", 0), "", None, minutes),
               "work_share_safe": Figure(round(levels.get("SAFE", 0) / total, 4), "", None, minutes),
               "work_share_moving": Figure(round(moving / total, 4), "", None, minutes),
               "work_falls": Figure(falls, "", 0, minutes)}
    said = ", ".join(f"{c} {n}" for c, n in causes.most_common(6))
    return Measured(figures, {}, NOTE + (f"; levels rose by: {said}" if said else ""))
