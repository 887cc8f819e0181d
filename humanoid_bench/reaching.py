"""Both arms reaching for ever, without policy, monitor and gate: motion for what is measured on the twin alone.

The simulated robot with its sensors and faults, ingest, and set-points at 100 Hz straight to the robot. What the twin
would get goes to listeners: ``on_state(RobotState, now_ns)`` and ``on_command(JointCommand, now_ns)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from humanoid_bench.command_way import CommandWay
from humanoid_bench.reach import RandomReach
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, Mode, RobotState
from sim_nodes.core.faults import FaultBoard
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.sensors import Delivery, SensorParams, Sensors, topics_of
from twin_nodes.core.ingest import IngestCore

TICK_NS = 5 * MS
START_NS = 1_000 * NS
#: Sensors of the twin's bench: 2 mrad, 0.05 rad/s, 20 +- 8 ms on the way, 1 % lost.
BENCH_SENSORS = SensorParams(joint_position_noise=2e-3, joint_velocity_noise=0.05,
                             delivery={"joints": Delivery(0.012, 0.016, 0.01)})
#: Greatest speed of a move, rad/s (15/8 of its mean), s between two.
TOP_SPEED, PAUSE = 1.2, 0.2
JERK_PEAK = 15.0 / 8.0


class Reaching:
    """One seeded run; the same seed, the same bytes."""

    def __init__(self, robot: RobotModel, seed: int, sensors: SensorParams = BENCH_SENSORS, *,
                 change: Callable[[Plant], None] | None = None, speed: float = TOP_SPEED,
                 jitter: float = 0.0) -> None:
        """``change``: what to alter in the plant before it settles, e.g. its joints' friction; ``speed``: the greatest
        of a move, rad/s; ``jitter``: commands act up to so much later, s."""
        self.robot, self._speed = robot, speed
        self.plant = Plant(robot, PlantParams(objects="", seed=seed, settle=False))
        if change is not None:
            change(self.plant)
        self.plant.step(round(2.0 / self.plant.params.dt))
        self.way = CommandWay(self.plant, jitter=jitter, seed=seed)
        self.faults = FaultBoard(robot, topics_of(robot), seed)
        self.sensors = Sensors(self.plant, self.faults, replace(sensors, seed=seed))
        self._offset_ns = START_NS - self.plant.time_ns
        self.ingest = IngestCore({t: s for t, s in robot.sources.items() if s.kind not in ("image", "depth")}, robot)
        self.on_state: Callable[[RobotState, int], None] = lambda state, now_ns: None
        self.on_command: Callable[[JointCommand, int], None] = lambda command, now_ns: None
        self._where = RandomReach(robot, seed)
        self._index = np.array(robot.groups["upper_body"], dtype=np.intp)
        self._names = tuple(robot.joint_names[i] for i in self._index)
        self._from = self._to = robot.rest.copy()
        self._begin, self._length, self._seq, self._ticks = self.now_ns, 0.0, 0, 0
        self.plant.set_mode(Mode.RUN)

    @property
    def now_ns(self) -> int:
        return self.plant.time_ns + self._offset_ns

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Advance; whether ``until()``, asked every 5 ms, said yes."""
        end = self.now_ns + round(seconds * NS)
        while self.now_ns < end:
            self._step()
            if until is not None and until():
                return True
        return False

    def set_fault(self, name: str, target: str, value: float) -> int:
        """Switch a fault on now; returns the time."""
        self.faults.set(name, target, value, 0.0, self.plant.time_ns)
        return self.now_ns

    def _step(self) -> None:
        if self._ticks % 2 == 0:
            command = self._command()
            self.way.command(command)
            self.on_command(command, self.now_ns)
        self._ticks += 1
        self.faults.expire(self.plant.time_ns)
        self.faults.drive(self.plant.motors, TICK_NS / NS)
        self.way.step(TICK_NS // self.plant.dt_ns)
        for topic, sample in self.sensors.tick(self.plant.time_ns, self.now_ns):
            state = self.ingest.on_sample(topic, sample, self.now_ns).state
            if state is not None:
                self.on_state(state, self.now_ns)

    def _command(self) -> JointCommand:
        """Minimum jerk: s(t) = 10 t^3 - 15 t^4 + 6 t^5 (Flash and Hogan, J. Neurosci. 5(7), 1985)."""
        t = (self.now_ns - self._begin) / NS
        if t > self._length + PAUSE:
            self._from, self._begin, t = self._to, self.now_ns, 0.0
            self._to = self._where.target(self._from)
            self._length = max(JERK_PEAK * float(np.abs(self._to - self._from).max()) / self._speed, 0.3)
        u = min(t / self._length, 1.0) if self._length else 1.0
        way: Array = self._to - self._from
        share = u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)
        speed = 30.0 * u * u * (1.0 - u) ** 2 / self._length if 0.0 < u < 1.0 else 0.0
        self._seq += 1
        return JointCommand(self.now_ns, self._seq, 1, "reaching", self._names, (self._from + share * way)[self._index],
                            (speed * way)[self._index])
