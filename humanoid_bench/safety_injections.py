"""missed_injections: every class of fault under many seeds, at a random time, place and size, in lockstep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from humanoid_bench.faults import ROWS
from humanoid_bench.faults.deeds import both, freeze, kill, once, pause, sensor
from humanoid_bench.faults.house import House, play
from humanoid_bench.faults.row import Deed, Row
from humanoid_bench.measured import Log, Measured, Options, Progress
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.types import JointCommand

Rng = np.random.Generator
NOTE = ("each run: the house in lockstep with its own seed of sensor noise, an arm in motion, the fault after a random "
        "0 to 1.5 s, in a random place and of a random size; missed: not judged as its row of the matrix demands (not "
        "named, not stopped where it must, a command outside the limits, torque taken from a standing robot)")


def _joint(rng: Rng) -> int:
    return int(rng.integers(len(ROBOT.groups["upper_body"])))


ROBOT = load_robot("g1")


def _with_joint(rng: Rng, change: Callable[[np.ndarray, int], None]) -> Deed:
    """One command with something wrong at a random joint."""
    i = _joint(rng)

    def wrong(c: JointCommand) -> JointCommand:
        position = np.array(c.position, dtype=np.float64)
        change(position, i)
        return replace(c, position=position)

    return once(wrong)


def _past(rng: Rng) -> Callable[[np.ndarray, int], None]:
    over, side = float(rng.uniform(0.01, 3.0)), bool(rng.integers(2))
    rows = list(ROBOT.groups["upper_body"])

    def change(position: np.ndarray, i: int) -> None:
        position[i] = ROBOT.upper[rows[i]] + over if side else ROBOT.lower[rows[i]] - over

    return change


def _joint_that_stops(rng: Rng) -> str:
    """One whose sensor the robot cannot do without; for the others the twin stands in (``recovery`` of its file)."""
    needed = [name for name in ROBOT.joint_names if name not in ROBOT.recovery.estimate]
    return needed[int(rng.integers(len(needed)))]


def _joint_that_is_estimated(rng: Rng) -> str:
    return ROBOT.recovery.estimate[int(rng.integers(len(ROBOT.recovery.estimate)))]


def _number(value: float) -> Callable[[np.ndarray, int], None]:
    def change(position: np.ndarray, i: int) -> None:
        position[i] = value

    return change


#: Class -> the row that says what must happen, and the deed under a seed.
CLASSES: dict[str, tuple[str, Callable[[Rng], Deed]]] = {
    "joints stop": ("D1", lambda r: sensor("stop", "joint_states", seconds=float(r.uniform(0.1, 1.0)))),
    "imu stops": ("D1-imu", lambda r: sensor("stop", "imu/pelvis", seconds=float(r.uniform(0.3, 1.0)))),
    "joints freeze": ("D3", lambda r: sensor("freeze", "joint_states", seconds=float(r.uniform(0.5, 1.0)))),
    "stale stamps": ("D4", lambda r: sensor("stale_stamp", "joint_states", float(r.uniform(0.1, 60.0)))),
    "future stamps": ("D5", lambda r: sensor("future_stamp", "joint_states", float(r.uniform(0.02, 60.0)))),
    "zero stamps": ("D6", lambda r: sensor("zero_stamp", "joint_states")),
    "joint NaN": ("D9", lambda r: sensor("nan", _joint_that_stops(r), seconds=float(r.uniform(0.1, 1.0)))),
    "wrist NaN": ("D9-wrist", lambda r: sensor("nan", _joint_that_is_estimated(r), seconds=float(r.uniform(0.3, 1.0)))),
    "imu NaN": ("D9-imu", lambda r: sensor("nan", "imu/pelvis", seconds=float(r.uniform(0.3, 1.0)))),
    "wrong names": ("D10", lambda r: sensor("wrong_names", "joint_states")),
    "degrees": ("D11", lambda r: sensor("degrees", "joint_states")),
    "imu tilt": ("D14", lambda r: sensor("imu_tilt", "imu/pelvis", float(r.choice([-1, 1]) * r.uniform(0.1, 0.5)),
                                         2.0)),
    "command NaN": ("D9-command", lambda r: _with_joint(r, _number(float(r.choice([np.nan, np.inf, -np.inf]))))),
    "command past a limit": ("C5-limit", lambda r: _with_joint(r, _past(r))),
    "policy silent": ("C3", lambda r: kill("vla_policy")),
    "monitor killed": ("P1-monitor", lambda r: kill("safety_monitor")),
    "monitor hangs": ("P2-monitor", lambda r: freeze("safety_monitor", float(r.uniform(0.05, 0.3)))),
    "ingest killed": ("P1-ingest", lambda r: kill("sensor_ingest")),
    "gate hangs": ("P2-gate", lambda r: freeze("command_gate", float(r.uniform(0.1, 0.3)))),
    "stop pressed": ("E0", lambda r: ROWS["E0"].do),
    "stop source silent": ("E6", lambda r: ROWS["E6"].do),
    "second publisher": ("C2", lambda r: ROWS["C2"].do),
}


def one(name: str, seed: int) -> tuple[str, str]:
    """(verdict, why) of one injection."""
    id, make = CLASSES[name]
    rng = np.random.default_rng([seed, sum(name.encode())])
    row: Row = replace(ROWS[id], do=both(pause(float(rng.uniform(0.0, 1.5))), make(rng)), within_ms=None,
                       watch=ROWS[id].watch + 1.5, look=None)
    with House(ROBOT, seed=seed) as house:
        answer = play(house, row, ROBOT)
    return answer.verdict, answer.why


def measure(options: Options, progress: Progress) -> Measured:
    seeds = options.seeds or (1 if options.quick else 100)
    log = Log(options.log)
    missed: list[str] = []
    for k, (name, seed) in enumerate((n, s) for s in range(seeds) for n in CLASSES):
        verdict, why = log.once(f"injection/{name}/{seed}", lambda name=name, seed=seed: one(name, seed))
        if verdict == "FAILED":
            missed.append(f"{name}, seed {seed}: {why}")
        progress((k + 1) / (seeds * len(CLASSES)))
    n = seeds * len(CLASSES)
    figures = {"missed_injections": Figure(len(missed), "", 0, n), "injection_classes": Figure(len(CLASSES))}
    return Measured(figures, {}, NOTE + "".join(f"; {m}" for m in missed[:10]))
