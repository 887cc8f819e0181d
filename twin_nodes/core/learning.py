"""What a measurement teaches beside the state: what is wrong and why, numbers of the model, trends, the commands' way.

Nobody waits for it, so it is done in two steps: ``measure`` before the state is published says what does not fit (the
external torque stands in that state), ``learn`` afterwards says what that means, and the next state tells it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActuatorHealth, RobotState
from twin_nodes.core.calibration import Calibration
from twin_nodes.core.diagnosis import Diagnosed, Diagnosis, DiagnosisConfig
from twin_nodes.core.drives import Drive
from twin_nodes.core.estimate import Estimate
from twin_nodes.core.estimator import EstimatorConfig
from twin_nodes.core.health import Health
from twin_nodes.core.identification import COULOMB, VISCOUS, Identification
from twin_nodes.core.joint_dynamics import JointDynamics, Motion
from twin_nodes.core.timing_command import CommandDelay

#: (stamp, torques that the drives reported (n,) N m).
Report = tuple[int, Array]


@dataclass(frozen=True)
class Lesson:
    """A measurement and what the twin made of it. ``drive``: what was asked of the motors during the sample;
    ``carried`` (n,) N m: what the drives give by themselves; ``reports``: since the measurement before."""

    estimate: Estimate
    state: RobotState
    now_ns: int
    drive: Drive
    motion: Motion
    carried: Array
    reports: list[Report]


class Learning:
    """Deterministic in what it is given; ``dynamics`` are those from which the motion comes."""

    def __init__(self, robot: RobotModel, estimator: EstimatorConfig, diagnosis: DiagnosisConfig,
                 dynamics: JointDynamics) -> None:
        self.robot = robot
        self.diagnosis = Diagnosis(robot, diagnosis, dynamics)
        self.diagnosed: Diagnosed | None = None
        self.identification = Identification(robot, self.diagnosis.arms)
        self.calibration = Calibration(robot, self.diagnosis, self.identification)
        self.health = Health(robot)
        self.command_delay = CommandDelay(robot, estimator)
        self._lesson: Lesson | None = None
        self._turn = 0

    def clear(self) -> None:
        """Begin anew, for stamps that jumped; trends and model revisions stay."""
        self._lesson = self.diagnosed = None
        for kept in (self.command_delay, self.diagnosis, self.identification):
            kept.clear()

    def measure(self, lesson: Lesson) -> Array:
        """External torque of each joint (n,), see ``Diagnosis.measure``; the rest is left to ``learn``."""
        self._lesson = lesson
        return self.diagnosis.measure(lesson.estimate, lesson.state, lesson.drive, lesson.motion)

    def learn(self) -> bool:
        """From what was measured last, once; whether there was anything."""
        lesson, self._lesson = self._lesson, None
        if lesson is None:
            return False
        e = lesson.estimate
        for stamp_ns, effort in lesson.reports:
            earlier = (e.stamp_ns - stamp_ns) / NS
            self.command_delay.add(stamp_ns, lesson.state.position - earlier * e.measured_velocity,
                                   e.measured_velocity, effort, lesson.carried)
        self.diagnosed = self.diagnosis.judge(e.stamp_ns, lesson.state, lesson.now_ns, e.commanded_position)
        while self.diagnosis.changed:
            self.identification.forget(self.diagnosis.arms.joints[self.diagnosis.changed.pop()])
        self.identification.update(e, lesson.motion, self.diagnosis.learnable)
        self.health.sample(e.commanded_position - e.position, lesson.state.temperature)
        return True

    def condition(self, now_ns: int) -> tuple[ActuatorHealth, ...]:
        """Of each actuator; once a second. One joint's friction is looked at each time."""
        self._turn = (self._turn + 1) % self.robot.n
        values = self.identification.joint(self._turn)
        if not values[VISCOUS].problem:
            self.health.friction(self._turn, values[VISCOUS].value, values[COULOMB].value)
        return self.health.report(now_ns)


def mean_effort(reports: list[Report]) -> Array:
    """(n,) N m. A drive's torque goes up and down with the commands; seen at one phase of them alone, that would look
    like friction."""
    first, *others = (effort for _, effort in reports)
    total: Array = np.add.reduce([first, *others]) if others else first
    return total / len(reports) if others else total


def told(names: tuple[str, ...], flags: NDArray[np.bool_], code: str) -> list[str]:
    """'CODE joint' of each that is flagged."""
    return [f"{code} {names[i]}" for i in np.flatnonzero(flags)] if flags.any() else []
