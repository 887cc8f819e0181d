"""Figures of the twin's diagnosis and identification: seeded faults while both arms reach, truth from the simulator.

Faults: 1 kg in one hand; a motor of shoulder pitch, shoulder roll or elbow, under load, that gives 70 %; an arm joint's
encoder off by 3 degrees, which its drive follows. Sensors: 2 mrad, 0.05 rad/s, 20 +- 8 ms on the way, 1 % lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from humanoid_bench.reaching import BENCH_SENSORS, TOP_SPEED, Reaching
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import JointCommand, RobotState
from sim_nodes.core.plant import Plant
from twin_nodes.core.identification import COULOMB, VISCOUS
from twin_nodes.core.twin import TwinConfig, TwinCore

FAULTS = ("payload", "torque_loss", "encoder_bias")
MASS, SHARE, BIAS = 1.0, 0.7, float(np.radians(3.0))
#: Joints whose motor is weakened, and what it gives at that moment at least, N m: what gives nothing loses nothing.
LOADED, LOAD = ("shoulder_pitch", "shoulder_roll", "elbow"), 0.5
#: A fault begins so long after the start, s, at the earliest and latest; named within LIMIT, watched until END.
FIRST, LAST, LIMIT, END = 3.0, 5.0, 1.0, 1.5


class Watcher:
    """The twin at the end of its wires; what it says of newly named causes is kept."""

    def __init__(self, robot: RobotModel, world: Reaching) -> None:
        s = BENCH_SENSORS
        self.core = TwinCore(robot, TwinConfig(position_noise=s.joint_position_noise, effort_noise=s.joint_effort_noise,
                                               velocity_noise=s.joint_velocity_noise))
        self.named: list[tuple[int, str]] = []
        self._known: set[str] = set()
        world.on_state, world.on_command = self.on_state, self.on_command

    def on_command(self, command: JointCommand, now_ns: int) -> None:
        self.core.on_command(command)

    def on_state(self, state: RobotState, now_ns: int) -> None:
        self.core.on_state(state, now_ns)
        self.core.learn()
        said = self.core.diagnosed
        subjects = {reason_subject(a): a for a in said.anomalies} if said is not None else {}
        for subject in subjects.keys() - self._known:
            self.named.append((now_ns, subjects[subject]))
        self._known = set(subjects)


def reason_subject(reason: str) -> str:
    """Kind and subject of a reason: its first two words."""
    return " ".join(reason.split()[:2])


@dataclass(frozen=True)
class Trial:
    """One fault: what it was, what was said of it first and when after the onset (s, NaN: nothing)."""

    fault: str
    subject: str
    seed: int
    said: str
    delay: float
    right: bool


def fault_trial(robot: RobotModel, fault: str, seed: int) -> Trial:
    """Reach, break something at a seeded time, and see what is said."""
    rng = np.random.default_rng([seed, FAULTS.index(fault), 0xFA])
    arm = [robot.joint_names[i] for side in ("left_arm", "right_arm") for i in robot.groups[side]]
    loaded = [name for name in arm if any(word in name for word in LOADED)]
    world = Reaching(robot, seed)
    watcher = Watcher(robot, world)
    world.run(float(rng.uniform(FIRST, LAST)))
    early = len(watcher.named)
    if fault == "payload":
        side = str(rng.choice(sorted(robot.hands)))
        begin, subject = world.set_fault("payload", side, MASS), f"PAYLOAD {side}"
    elif fault == "torque_loss":
        torque = world.plant.joints()[2]
        joint = str(rng.choice([name for name in loaded if abs(torque[robot.index(name)]) >= LOAD] or loaded))
        begin, subject = world.set_fault("actuator_weak", joint, SHARE), f"ACTUATOR {joint}"
    else:
        joint = str(rng.choice(arm))
        offset = BIAS * float(rng.choice([-1.0, 1.0]))
        begin, subject = world.set_fault("encoder_bias", joint, offset), f"SENSOR {joint}"
    world.run(END)
    said = watcher.named
    delay = (said[early][0] - begin) / NS if len(said) > early else float("nan")
    right = (early == 0 and len(said) == 1 and reason_subject(said[0][1]) == subject and delay <= LIMIT)
    return Trial(fault, subject, seed, "; ".join(text for _, text in said), delay, right)


@dataclass(frozen=True)
class FaultFigures:
    """``isolated`` and ``delay_max``: by fault; ``share`` over all; ``trials``: each of them."""

    share: float
    isolated: dict[str, float]
    delay_max: dict[str, float]
    trials: tuple[Trial, ...]


def fault_figures(robot: RobotModel, seeds: Iterable[int]) -> FaultFigures:
    """Every fault once per seed. The greatest delay is that of the faults that were named at all."""
    trials = tuple(fault_trial(robot, fault, seed) for seed in seeds for fault in FAULTS)
    isolated = {f: float(np.mean([t.right for t in trials if t.fault == f])) for f in FAULTS}
    delay = {f: float(np.nanmax([t.delay for t in trials if t.fault == f] + [0.0])) for f in FAULTS}
    return FaultFigures(float(np.mean([t.right for t in trials])), isolated, delay, trials)


def false_alarms(robot: RobotModel, seeds: Iterable[int], seconds: float, speed: float = TOP_SPEED,
                 jitter: float = 0.0) -> list[tuple[int, float, str]]:
    """What is named on a sound robot that reaches for so long per seed: (seed, s since its start, reason); ``speed``
    and ``jitter`` as of ``Reaching``."""
    found: list[tuple[int, float, str]] = []
    for seed in seeds:
        world = Reaching(robot, seed, speed=speed, jitter=jitter)
        watcher = Watcher(robot, world)
        begin = world.now_ns
        world.run(seconds)
        found += [(seed, (at - begin) / NS, reason) for at, reason in watcher.named]
    return found


@dataclass(frozen=True)
class IdentifiedFigures:
    """``payload_error``, ``friction_error``: mean relative error; ``interval_coverage``: share of the 95 % intervals of
    viscous and Coulomb friction and load that hold the truth; ``count``: of how many."""

    payload_error: float
    friction_error: float
    coulomb_error: float
    interval_coverage: float
    count: int


def identified_figures(robot: RobotModel, seeds: Iterable[int], seconds: float = 60.0) -> IdentifiedFigures:
    """Per seed, friction of every joint between half and twice the robot file's, and 0.5 to 1.5 kg in one hand."""
    mass_error, viscous_error, coulomb_error, covered = [], [], [], []
    for seed in seeds:
        rng = np.random.default_rng([seed, 0x1D])
        scale, mass, side = rng.uniform(0.5, 2.0, (2, robot.n)), float(rng.uniform(0.5, 1.5)), str(rng.choice(
            sorted(robot.hands)))

        def change(plant: Plant, scale: Array = scale) -> None:
            dofs = [int(plant.model.joint(name).dofadr[0]) for name in robot.joint_names]
            plant.model.dof_damping[dofs] *= scale[0]
            plant.model.dof_frictionloss[dofs] *= scale[1]

        world = Reaching(robot, seed, change=change)
        core = Watcher(robot, world).core
        world.run(FIRST)
        world.set_fault("payload", side, mass)
        world.run(seconds)
        load = core.identification.load(side)
        mass_error.append(abs(load.value - mass) / mass)
        covered.append(load.low <= mass <= load.high)
        for i in core.diagnosis.arms.joints[side]:
            values = core.identification.joint(int(i))
            truth = robot.damping[i] * scale[0, i], robot.frictionloss[i] * scale[1, i]
            for kind, true, errors in ((VISCOUS, truth[0], viscous_error), (COULOMB, truth[1], coulomb_error)):
                errors.append(abs(values[kind].value - true) / true)
                covered.append(values[kind].low <= true <= values[kind].high)
    return IdentifiedFigures(float(np.mean(mass_error)), float(np.mean(viscous_error)), float(np.mean(coulomb_error)),
                             float(np.mean(covered)), len(covered))
