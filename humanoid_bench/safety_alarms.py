"""false_emergencies: how often normal work, with the noise of its sensors, is taken for an emergency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from humanoid_bench.eval_tasks import Spec, plan
from humanoid_bench.lockstep import Lockstep
from humanoid_bench.measured import Log, Measured, Options, Progress
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import JointCommand, Level, SafetyStatus
from sim_nodes.core.plant import PlantParams
from sim_nodes.core.sensors import SensorParams
from vla_nodes.core.instruction import Task
from vla_nodes.params import VlaParams
from vla_nodes.training.phrases import phrase

SECONDS = 60.0  # of simulated work under one seed
BEFORE, PAUSE, LONGEST = 3.0, 0.5, 25.0  # s: standing before the first task, between two, and for one at most
TABLE = tuple((node, "environment", "table") for node in ("safety_monitor", "command_gate", "twin_sync"))
TASKS = ("the house in lockstep, one simulated minute and scene a seed: the classical policy touches and points at the "
         "three things on the table with either hand, waves, raises a hand and rests, told one after the other, with "
         "the simulator's sensor noise (default of sim_robot), no fault; counted are entries into EMERGENCY, and "
         "beside them the share of the time at each level")
REACHES = "as alarms, but endless random reaches of both arms where no table is: more of each joint's range, no camera"


class _Seen:
    """What the monitor said and what moved, from now on."""

    def __init__(self, house: Lockstep) -> None:
        self.levels: Counter[str] = Counter()
        self.entries: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        self.moving = 0
        self._last = Level.SAFE
        house.listen("safety/status", self._status)
        house.listen("robot/joint_command", self._command)

    def _status(self, status: SafetyStatus, now_ns: int) -> None:
        self.levels[status.level.name] += 1
        if status.level > self._last:
            self.entries[status.level.name] += 1
            self.causes[status.cause.split()[0]] += 1
        self._last = status.level

    def _command(self, command: JointCommand, now_ns: int) -> None:
        self.moving += bool((abs(command.velocity) > 0.02).any())

    def row(self, house: Lockstep, done: int = 0) -> dict[str, Any]:
        return {"levels": dict(self.levels), "entries": dict(self.entries), "causes": dict(self.causes),
                "moving": self.moving, "fallen": house.truth.fallen(), "done": done}


def minute_of_tasks(seed: int) -> dict[str, Any]:
    """Entries into each level, ticks at each, causes, ticks in motion, tasks that the policy says it has done."""
    robot = load_robot("g1")
    spec = plan("new", seed + 1, 0)[seed]
    with Lockstep(robot, seed=seed, plant=PlantParams(objects=spec.objects), sensors=SensorParams(),
                  policy="classical", settings=TABLE, vla=VlaParams(timeout=LONGEST)) as house:
        house.run(BEFORE)
        assert house.policy is not None
        seen, session, done = _Seen(house), house.policy.session, 0
        end = house.now_ns + round(SECONDS * NS)
        for told in _words(spec, robot, seed):
            number = house.policy.instruct(told, house.now_ns)
            house.run((end - house.now_ns) / NS, lambda: not session.busy)
            outcome = session.outcome(number)
            done += outcome is not None and outcome.success
            house.run(min(PAUSE, (end - house.now_ns) / NS))
            if house.now_ns >= end:
                break
        return seen.row(house, done)


def _words(spec: Spec, robot: RobotModel, seed: int) -> list[str]:
    """Everything that can be asked for in a scene, shuffled, more than a minute can hold."""
    rng = np.random.default_rng([seed, 0xA1])
    things = [tuple(thing.split()) for thing in spec.objects.split(", ")]
    known = [Task(verb, *thing, hand=hand) for verb in ("touch", "point") for thing in things
             for hand in ("left", "right")]  # fmt: skip
    known += [Task(verb, hand=hand) for verb in ("wave", "raise") for hand in ("left", "right")] + [Task("rest")]
    return [phrase(known[i], rng) for _ in range(2) for i in rng.permutation(len(known))]


def minute_of_reaches(seed: int) -> dict[str, Any]:
    """The same of random reaches."""
    with Lockstep(load_robot("g1"), seed=seed, plant=PlantParams(objects=""), sensors=SensorParams(),
                  policy="reach") as house:
        house.run(BEFORE)
        seen = _Seen(house)
        house.instruct("reach")
        house.run(SECONDS)
        return seen.row(house)


def measure(options: Options, progress: Progress) -> Measured:
    return _minutes("task", minute_of_tasks, options, progress, TASKS, "")


def reaches(options: Options, progress: Progress) -> Measured:
    return _minutes("alarm", minute_of_reaches, options, progress, REACHES, "_reaching")


def _minutes(name: str, minute: Callable[[int], dict[str, Any]], options: Options, progress: Progress, note: str,
             ending: str) -> Measured:
    minutes = max(round(options.minutes or (1 if options.quick else 60)), 1)
    log = Log(options.log)
    levels: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    moving = falls = done = 0
    for seed in range(minutes):
        row = log.once(f"{name}/{seed}", lambda seed=seed: minute(seed))
        levels.update(row["levels"])
        entries.update(row["entries"])
        causes.update(row["causes"])
        moving += row["moving"]
        falls += bool(row["fallen"])
        done += row.get("done", 0)
        progress((seed + 1) / minutes)
    total = max(sum(levels.values()), 1)
    values = {"false_emergencies": (entries.get("EMERGENCY", 0), 0), "false_dangers": (entries.get("DANGER", 0), None),
              "false_warnings": (entries.get("WARNING", 0), None),
              "work_share_safe": (round(levels.get("SAFE", 0) / total, 4), None),
              "work_share_moving": (round(moving / total, 4), None), "work_falls": (falls, 0),
              **({"work_tasks_done": (done, None)} if done else {})}
    said = ", ".join(f"{c} {n}" for c, n in causes.most_common(6))
    return Measured({key + ending: Figure(value, "", aim, minutes) for key, (value, aim) in values.items()}, {},
                    note + (f"; levels rose by: {said}" if said else ""))
