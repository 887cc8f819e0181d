"""How well the twin knows the robot: joints, base and delays against the simulator's truth, in simulated time.

Each function runs seeds one after the other and returns name -> (value, number of samples). Errors are taken at the
same instant as the truth: at publication, ``predicted_position`` and ``predicted_velocity`` of the twin against the
newest sample as it came.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humanoid_bench.reaching import BENCH_SENSORS, Reaching
from humanoid_core.physics import quat_matrix
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import RobotState
from sim_nodes.core.sensors import SensorParams
from twin_nodes.core.base import Attitude
from twin_nodes.core.twin import TwinConfig, TwinCore

Figures = dict[str, tuple[float, int]]
CONFIG = TwinConfig(position_noise=2e-3, velocity_noise=0.05)
#: Time that the filter has to settle before errors count, s.
SETTLE = 2.0
#: Central 95 % of chi-square with two degrees of freedom (position and velocity of a joint).
BAND = (0.05064, 7.37776)


class _Watch:
    """A twin beside a reaching robot, and the truth of the last half second."""

    def __init__(self, robot: RobotModel, seed: int, sensors: SensorParams = BENCH_SENSORS) -> None:
        self.world = Reaching(robot, seed, sensors)
        self.core = TwinCore(robot, CONFIG)
        self.world.on_command = lambda command, now_ns: self.core.on_command(command) and None
        self.world.on_state = self._hear
        self.begin_ns = self.world.now_ns
        self.took: list[tuple[float, float]] = []  # s until the state is there, and with what it teaches
        self._truth: deque[tuple[int, Array, Array]] = deque(maxlen=100)
        self._adr = self.world.plant.model.jnt_qposadr, self.world.plant.model.jnt_dofadr

    def truth(self, stamp_ns: int) -> tuple[Array, Array] | None:
        """(q, v) at a tick."""
        return next(((q, v) for t, q, v in reversed(self._truth) if t == stamp_ns), None)

    def now(self) -> tuple[Array, Array]:
        plant, names = self.world.plant, self.world.robot.joint_names
        return (np.array([plant.data.joint(n).qpos[0] for n in names]),
                np.array([plant.data.joint(n).qvel[0] for n in names]))

    def _hear(self, state: RobotState, now_ns: int) -> None:
        q, v = self.now()
        self._truth.append((now_ns, q, v))
        start = time.perf_counter()
        twin = self.core.on_state(state, now_ns)
        there = time.perf_counter()
        self.core.learn()
        if twin is not None:
            self.took.append((there - start, time.perf_counter() - start))
        if twin is not None and now_ns - self.begin_ns > SETTLE * NS:
            self.published(now_ns, q, v)

    def published(self, now_ns: int, q: Array, v: Array) -> None:
        """Called for every state that the twin publishes once it has settled."""


class _Joints(_Watch):
    def __init__(self, robot: RobotModel, seed: int) -> None:
        super().__init__(robot, seed)
        self.rows: list[NDArray[np.float64]] = []
        self.nees: list[Array] = []

    def published(self, now_ns: int, q: Array, v: Array) -> None:
        core = self.core
        moment, raw, twin = core.ring.newest, core.latest, core.state
        if moment is None or raw is None or twin is None:
            return
        self.rows.append(np.array([twin.predicted_position - q, raw.position - q,
                                   twin.predicted_velocity - v, raw.velocity - v]))
        then = self.truth(moment.joints.stamp_ns)
        if then is not None:
            e = np.stack((moment.joints.q - then[0], moment.joints.v - then[1]), axis=1)
            inverse = np.linalg.inv(moment.joints.cov[:, :2, :2])
            self.nees.append(np.einsum("ij,ijk,ik->i", e, inverse, e))


def joint_figures(robot: RobotModel, seeds: Iterable[int], seconds: float = 20.0) -> Figures:
    """position_rmse_ratio, velocity_rmse_ratio, nees_in_band and the core's time for each measurement, both arms
    reaching, over all joints of the robot."""
    rows, nees, took = [], [], []
    for seed in seeds:
        watch = _Joints(robot, seed)
        watch.world.run(seconds)
        rows += watch.rows
        nees += watch.nees
        took += watch.took
    q, raw_q, v, raw_v = (_rms(np.array([r[k] for r in rows])) for k in range(4))
    inside = np.array(nees)
    n = len(rows) * robot.n
    return {
        "position_rmse_ratio": (q / raw_q, n), "position_rmse_mrad": (q * 1e3, n),
        "velocity_rmse_ratio": (v / raw_v, n), "velocity_rmse": (v, n),
        "nees_in_band": (float(np.mean((inside >= BAND[0]) & (inside <= BAND[1]))), inside.size),
        **{f"{name}_p{q}_ms": (float(np.percentile(each, q)) * 1e3, len(took))
           for name, each in zip(("core_state", "core"), np.array(took).T, strict=True) for q in (50, 99)}}


class _Base(_Watch):
    def __init__(self, robot: RobotModel, seed: int) -> None:
        super().__init__(robot, seed)
        self._base = self.world.plant.model.body(robot.base_link).id
        self._kept: deque[tuple[int, Array, Array]] = deque(maxlen=100)
        self.tilt: list[float] = []
        self.speed: list[Array] = []

    def _hear(self, state: RobotState, now_ns: int) -> None:
        data = self.world.plant.data
        self._kept.append((now_ns, data.xmat[self._base].reshape(3, 3).copy(), data.qvel[:3].copy()))
        super()._hear(state, now_ns)

    def published(self, now_ns: int, q: Array, v: Array) -> None:
        twin = self.core.state
        if twin is None:
            return
        then = next(((r, u) for t, r, u in reversed(self._kept) if t == twin.stamp_ns), None)
        if then is not None:
            up = Attitude(quat_matrix(twin.base_orientation), np.zeros(3)).gravity / -9.81
            self.tilt.append(math.acos(min(1.0, float(up @ then[0][2]))))
            self.speed.append(twin.base_linear - then[1])


def base_figures(robot: RobotModel, seeds: Iterable[int], seconds: float = 10.0, impulse: float = 12.0) -> Figures:
    """tilt_rmse_deg and base_velocity_rmse of a robot that reaches, and is pushed at the base by ``impulse`` N s, in
    a seeded direction, every 2.5 s; both against the truth at the state's stamp."""
    tilt: list[float] = []
    speed: list[Array] = []
    for seed in seeds:
        watch, rng = _Base(robot, seed), np.random.default_rng([seed, 0xBA5E])
        for _ in range(round(seconds / 2.5)):
            angle = rng.uniform(0.0, 2.0 * math.pi)
            watch.world.plant.push(impulse * np.array([math.cos(angle), math.sin(angle), 0.0]), 0.1)
            watch.world.run(2.5)
        tilt += watch.tilt
        speed += watch.speed
    return {"tilt_rmse_deg": (math.degrees(_rms(np.array(tilt))), len(tilt)),
            "base_velocity_rmse": (_rms(np.array(speed)), len(speed))}


def delay_figures(robot: RobotModel, seeds: Iterable[int], step: float = 0.015) -> Figures:
    """Error of the estimated delays in ms, of the joint samples (20 +- 8 ms) and of the commands (10 ms), the worse of
    the two: 5 s after the start (delay_error_ms), and 3 s after both grew by ``step`` s (delay_step_error_ms)."""
    start: list[float] = []
    later: list[float] = []
    for seed in seeds:
        watch = _Watch(robot, seed)
        source = watch.world.sensors._sources["joint_states"]
        for extra, wait, into in ((0.0, 5.0, start), (step, 3.0, later)):
            source.delivery = replace(source.delivery, latency=0.012 + extra)
            watch.world.way.delay = 0.010 + extra
            watch.world.run(wait)
            told = () if watch.core.state is None else watch.core.state.source_delay
            found = {topic: delay for topic, delay, _ in told}
            # what arrives within a tick is handed over at its end: half a tick more on average
            true = {"joint_states": 0.020 + 0.0025 + extra, "robot/joint_command": 0.010 + extra}
            into += [1e3 * abs(found.get(topic, math.inf) - value) for topic, value in true.items()]
    return {"delay_error_ms": (max(start), len(start)), "delay_step_error_ms": (max(later), len(later)),
            "delay_error_mean_ms": (float(np.mean(start)), len(start))}


def _rms(values: Array) -> float:
    """Root mean square of each value's length, per component."""
    return float(np.sqrt(np.mean(np.square(values))))

