"""From real to sim: the recorded commands in the simulator, from the recorded posture, against what was recorded.

Each joint's gap is told as three numbers: RMSE after the delay is taken out is what the model lacks, the delay is what
the way to the robot adds, and the correlation says whether it is the same motion at all.

    delay = argmin_d  mean((q_recorded(t + d) - q_sim(t))^2),  |d| <= 0.3 s
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_core.kinematics import Kinematics
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, Mode
from humanoid_replay.errors import BagError
from humanoid_replay.mapping import Mapping
from humanoid_replay.reader import BagReader
from humanoid_replay.samples import sample_of
from humanoid_replay.through import topic_names
from humanoid_ros.convert_commands import joint_command_from_msg
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.truth import Truth

COMMANDS, JOINTS = "robot/joint_command", "joint_states"
STEP_NS = 5 * MS
LONGEST_DELAY = 0.3
#: A joint that moved less than this, in rad, has no shape that could be compared.
MOVED = 0.02


@dataclass(frozen=True)
class JointGap:
    """Recording against simulation. ``rmse`` rad as they are, ``rmse_aligned`` after ``delay`` s (positive: the
    recorded joint follows later than the simulated one); NaN where the joint hardly moved."""

    name: str
    rmse: float
    rmse_aligned: float
    delay: float
    correlation: float
    moved: float


@dataclass(frozen=True)
class Gap:
    """``time`` (t,) s; ``recorded`` and ``simulated`` (t, n) rad in robot order; ``hands``: side -> (t,) m between the
    two hands' positions relative to the base; ``fell``: whether the simulated robot did."""

    joints: tuple[JointGap, ...]
    time: Array
    recorded: Array
    simulated: Array
    hands: dict[str, Array]
    commands: int
    refused: tuple[tuple[str, int], ...]
    fell: bool


def transfer(path: Path, robot: RobotModel, mapping: Mapping | None = None, objects: str = "", seed: int = 0) -> Gap:
    """Run the commands recorded at ``path`` in the simulator; BagError when it lacks commands or joints."""
    commands, time_ns, recorded = _read(path, robot, mapping or Mapping())
    plant = Plant(robot, PlantParams(objects=objects, seed=seed, command_timeout=1e9))
    plant.place(recorded[0])
    plant.set_mode(Mode.RUN, "TRANSFER")
    truth, simulated, fell = Truth(plant), np.empty_like(recorded), False
    begin_ns, next_command = int(time_ns[0]), 0
    for k, at_ns in enumerate(time_ns):
        while plant.time_ns < at_ns - begin_ns:
            while next_command < len(commands) and commands[next_command][0] - begin_ns <= plant.time_ns:
                plant.command(commands[next_command][1])
                next_command += 1
            plant.step(1)
        simulated[k] = plant.joints()[0]
        fell = fell or truth.fallen()
    time = (time_ns - begin_ns) / NS
    gaps = tuple(gap_of(name, time, recorded[:, i], simulated[:, i]) for i, name in enumerate(robot.joint_names))
    return Gap(gaps, time, recorded, simulated, _hands(robot, recorded, simulated), len(commands),
               plant.refused.items(), fell)


def gap_of(name: str, time: Array, recorded: Array, simulated: Array) -> JointGap:
    """Figures of one joint; ``time`` (t,) s with even steps."""
    rmse = float(np.sqrt(np.mean((recorded - simulated) ** 2)))
    moved = float(min(np.ptp(recorded), np.ptp(simulated)))
    if moved < MOVED or len(time) < 20:
        return JointGap(name, rmse, float("nan"), float("nan"), float("nan"), moved)
    step = float(np.median(np.diff(time)))
    most = min(round(LONGEST_DELAY / step), len(time) // 4)
    errors = np.array([_shifted_error(recorded, simulated, d) for d in range(-most, most + 1)])
    best = int(np.argmin(errors))
    delay = float(best - most)
    if 0 < best < len(errors) - 1:  # between the samples: the vertex of the parabola through three errors
        a, b, c = errors[best - 1:best + 2]
        if a - 2 * b + c > 0.0:
            delay += 0.5 * (a - c) / (a - 2 * b + c)
    correlation = float(np.corrcoef(*_overlap(recorded, simulated, best - most))[0, 1])
    return JointGap(name, rmse, float(np.sqrt(errors[best])), delay * step, correlation, moved)


def _overlap(recorded: Array, simulated: Array, shift: int) -> tuple[Array, Array]:
    """The parts that lie on one another when the recorded one is taken ``shift`` samples later."""
    if shift >= 0:
        return recorded[shift:], simulated[: len(simulated) - shift]
    return recorded[:shift], simulated[-shift:]


def _shifted_error(recorded: Array, simulated: Array, shift: int) -> float:
    a, b = _overlap(recorded, simulated, shift)
    return float(np.mean((a - b) ** 2))


def _read(path: Path, robot: RobotModel, mapping: Mapping) -> tuple[list[tuple[int, JointCommand]], Any, Array]:
    """Commands by arrival, and the recorded posture every 5 ms from the first command to the last."""
    commands: list[tuple[int, JointCommand]] = []
    stamps: list[int] = []
    rows: list[Array] = []
    with BagReader(path) as bag:
        names = mapping.topics(bag, topic_names(bag))
        wanted = [theirs for theirs, ours in names.items() if ours in (COMMANDS, JOINTS)]
        for record in bag.messages(wanted):
            if names[record.topic] == COMMANDS:
                commands.append((record.stamp_ns, joint_command_from_msg(record.message)))
                continue
            sample = mapping.sample(sample_of(record.message, record.type))
            if set(sample.names) >= set(robot.joint_names) and len(sample.position) == len(sample.names):
                place = {name: i for i, name in enumerate(sample.names)}
                rows.append(sample.position[[place[name] for name in robot.joint_names]])
                stamps.append(sample.stamp_ns or record.stamp_ns)
    if not commands:
        raise BagError(path, f"no {COMMANDS} in it: nothing to run in the simulator; --map names a foreign topic")
    if len(rows) < 20:
        raise BagError(path, f"no {JOINTS} with all joints of '{robot.name}' in it; --map names foreign joints")
    begin, end = max(commands[0][0], stamps[0]), min(commands[-1][0] + NS // 2, stamps[-1])
    if end - begin < NS // 2:
        raise BagError(path, "commands and joints overlap for less than half a second")
    time_ns = np.arange(begin, end, STEP_NS)
    order = np.argsort(stamps, kind="stable")
    known, table = np.array(stamps, dtype=np.float64)[order], np.array(rows)[order]
    posture = np.column_stack([np.interp(time_ns.astype(np.float64), known, table[:, i]) for i in range(robot.n)])
    return commands, time_ns, posture


def _hands(robot: RobotModel, recorded: Array, simulated: Array) -> dict[str, Array]:
    """Distance between recorded and simulated hands, m, seen from the base."""
    kinematics = Kinematics(robot)
    out: dict[str, Array] = {side: np.empty(len(recorded)) for side in robot.hands}
    for k, (a, b) in enumerate(zip(recorded, simulated, strict=True)):
        places = []
        for posture in (a, b):
            kinematics.update(posture)
            places.append({side: kinematics.hand(side)[0].copy() for side in robot.hands})
        for side in robot.hands:
            out[side][k] = float(np.linalg.norm(places[0][side] - places[1][side]))
    return out
