"""A G1 standing still, as its raw samples, for tests of the ingest core."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS
from humanoid_core.types import BatterySample, ImuSample, JointSample, MotorSample, RobotState, WrenchSample
from twin_nodes.core.ingest import IngestCore, IngestOutput
from twin_nodes.core.verdict import IngestConfig

ROBOT = load_robot("g1")
START = 1_000_000_000_000
PERIOD = 5 * MS
LATE = MS  # from capture to arrival


class IngestWorld:
    """Feeds a core at 200 Hz. ``changes[topic]``: sample -> sample, or None to lose it."""

    def __init__(self, robot: Any = ROBOT, config: IngestConfig | None = None, seed: int = 0) -> None:
        self.robot = robot
        self.core = IngestCore.for_robot(robot, config)
        self.rng = np.random.default_rng(seed)
        self.now = START
        self.set_by = 0  # by how much somebody set the wall clock, ns; `now` is the robot's and this machine's ROS time
        self.changes: dict[str, Any] = {}
        self.states: list[RobotState] = []
        self.refusals: list[tuple[str, str]] = []
        self.events: list[str] = []

    def joints(self, **values: Any) -> JointSample:
        n = self.robot.n
        noise = self.rng.normal(0.0, 1e-4, (3, n))
        sample = JointSample(self.now, self.robot.joint_names, self.robot.stand + noise[0], noise[1], noise[2])
        return replace(sample, **values)

    def imu(self, **values: Any) -> ImuSample:
        noise = self.rng.normal(0.0, 1e-4, 6)
        sample = ImuSample(self.now, np.array([1.0, 0.0, 0.0, 0.0]), noise[:3], np.array([0.0, 0.0, 9.81]) + noise[3:])
        return replace(sample, **values)

    def samples(self) -> dict[str, Any]:
        n = self.robot.n
        out: dict[str, Any] = {imu.topic: self.imu() for imu in self.robot.imus}
        for foot in self.robot.feet:
            out[foot.topic] = WrenchSample(self.now, np.array([0.0, 0.0, 160.0]), np.zeros(3))
        out["battery_state"] = BatterySample(self.now, 50.0, -2.0, 0.8)
        out["motor_status"] = MotorSample(self.now, self.robot.joint_names, np.full(n, 40.0), np.zeros(n),
                                          np.full(n, 50.0), (0,) * n)
        out["joint_states"] = self.joints()
        return out

    def give(self, topic: str, sample: Any, late: int = LATE) -> IngestOutput:
        """One sample, arriving ``late`` ns after this tick's time."""
        output = self.core.on_sample(topic, sample, self.now + late, self.now + late - self.set_by)
        self.events += output.events
        if output.state is not None:
            self.states.append(output.state)
        if output.refusal is not None:
            self.refusals.append((output.refusal.topic, output.refusal.code))
        return output

    def set_clock(self, ns: int) -> None:
        """Somebody sets the wall clock, by which everybody stamps."""
        self.now, self.set_by = self.now + ns, self.set_by + ns

    def run(self, ms: float) -> IngestWorld:
        """So many milliseconds of the robot standing there."""
        for _ in range(round(ms * MS / PERIOD)):
            self.now += PERIOD
            for topic, sample in self.samples().items():
                change = self.changes.get(topic)
                sample = change(sample) if change is not None else sample
                if sample is not None:
                    self.give(topic, sample)
        return self

    def health(self, topic: str) -> Any:
        return next(s for s in self.core.health(self.now + LATE).sources if s.topic == topic)

    def count(self, topic: str, code: str) -> int:
        return dict(self.health(topic).refusals).get(code, 0)


def lost(_sample: Any) -> None:
    """A change that stops a sensor."""
    return None
