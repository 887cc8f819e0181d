"""Faults D1 to D15 on the simulated sensors against the ingest core: each is told apart, none reaches the state.

No middleware and no waiting: the simulator's own sensors and faults feed the core at simulated times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import RobotState
from sim_nodes.core.faults import FaultBoard
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.sensors import Delivery, SensorParams, Sensors, topics_of
from twin_nodes.core.ingest import IngestCore
from twin_nodes.core.twin import TwinCore

ROBOT = load_robot("g1")
TICK = 5 * MS
WALL = 1_000 * NS  # ROS time at simulated time 0


class Bench:
    """A plant, its sensors with noise, and the ingest core."""

    def __init__(self, params: SensorParams | None = None) -> None:
        self.plant = Plant(ROBOT, PlantParams(objects="", dt=0.0025))
        self.board = FaultBoard(ROBOT, topics_of(ROBOT), seed=1)
        self.sensors = Sensors(self.plant, self.board, params or SensorParams(seed=3))
        self.core = IngestCore.for_robot(ROBOT)
        self.now = 0
        self.states: list[RobotState] = []

    def run(self, seconds: float) -> Bench:
        for _ in range(round(seconds * NS / TICK)):
            self.plant.step(2)
            self.now += TICK
            self.board.expire(self.now)
            for topic, sample in self.sensors.tick(self.now, self.now + WALL):
                state = self.core.on_sample(topic, sample, self.now + WALL + MS // 2).state
                if state is not None:
                    self.states.append(state)
        return self

    def fault(self, name: str, target: str, value: float = 0.0, seconds: float = 0.5) -> Bench:
        """On for so long; it ends with the next run's first tick."""
        self.board.set(name, target, value, seconds + 1e-3, self.now)
        return self.run(seconds)

    def row(self, topic: str) -> Any:
        return next(s for s in self.core.health(self.now + WALL).sources if s.topic == topic)

    def refused(self) -> dict[str, dict[str, int]]:
        return {s.topic: dict(s.refusals) for s in self.core.health(self.now + WALL).sources if s.refusals}


CASES = [
    ("nan", "joint_states", 0.0, "NON_FINITE"), ("inf", "joint_states", 0.0, "NON_FINITE"),
    ("stale_stamp", "joint_states", 1.0, "STALE"), ("future_stamp", "joint_states", 1.0, "FUTURE"),
    ("zero_stamp", "joint_states", 0.0, "ZERO_STAMP"), ("out_of_order", "joint_states", 10, "OUT_OF_ORDER"),
    ("duplicate", "joint_states", 0.0, "DUPLICATE"), ("wrong_length", "joint_states", 0.0, "WRONG_LENGTH"),
    ("wrong_names", "joint_states", 0.0, "WRONG_NAMES"), ("degrees", "joint_states", 0.0, "OUT_OF_RANGE"),
    ("freeze", "joint_states", 0.0, "FROZEN"), ("spike", "joint_states", 5.0, "OUT_OF_RANGE"),
    ("delay", "joint_states", 0.1, "STALE"),
    ("nan", "imu/pelvis", 0.0, "NON_FINITE"), ("freeze", "imu/pelvis", 0.0, "FROZEN"),
    ("stale_stamp", "imu/pelvis", 1.0, "STALE"), ("future_stamp", "imu/pelvis", 1.0, "FUTURE"),
    ("zero_stamp", "imu/pelvis", 0.0, "ZERO_STAMP"), ("duplicate", "imu/pelvis", 0.0, "DUPLICATE"),
    ("non_unit_quaternion", "imu/pelvis", 1.1, "NON_UNIT_QUATERNION"),
    ("imu_tilt", "imu/pelvis", 0.2, "ATTITUDE_LEAP IMU_DISAGREEMENT"),
    ("imu_tilt", "imu/torso", 0.2, "ATTITUDE_LEAP IMU_DISAGREEMENT"),
    ("nan", "foot_contacts/left", 0.0, "NON_FINITE"), ("wrong_names", "motor_status", 0.0, "WRONG_NAMES"),
    ("nan", "battery_state", 0.0, "NON_FINITE"), ("zero_stamp", "motor_status", 0.0, "ZERO_STAMP"),
]


@pytest.mark.parametrize(("name", "target", "value", "code"), CASES, ids=lambda v: str(v))
def test_each_fault_has_its_own_reason_on_its_own_source(name: str, target: str, value: float, code: str) -> None:
    bench = Bench().run(0.2)
    assert bench.refused() == {}
    bench.fault(name, target, value)
    refused = bench.refused()
    assert set(refused) == {target}
    assert set(refused[target]) == set(code.split())
    for state in bench.states:
        for field in ("position", "velocity", "orientation", "angular_velocity", "foot_force"):
            assert np.isfinite(getattr(state, field)).all()
        assert np.abs(state.position - ROBOT.rest).max() < 0.2
    made = len(bench.states)
    bench.run(0.2)
    assert len(bench.states) >= made + 15, "when the fault has passed, states come again"


@pytest.mark.parametrize("name", ["stop", "freeze", "nan", "non_unit_quaternion", "imu_tilt"])
def test_a_bad_pelvis_imu_is_replaced_and_comes_back(name: str) -> None:
    bench = Bench().run(0.2)
    bench.fault(name, "imu/pelvis", seconds=0.6)
    assert bench.states[-1].imu_source == "imu/torso"
    assert bench.states[-1].stale_sources == ()
    assert bench.core.health(bench.now + WALL).all_required_ok
    bench.run(0.7)
    assert bench.states[-1].imu_source == "imu/pelvis"


@pytest.mark.parametrize("target", [t for t in topics_of(ROBOT) if not t.startswith("camera")])
def test_each_sensor_that_stops_is_noticed(target: str) -> None:
    """D1. Silence of the joints is seen by the silence of the state itself."""
    bench = Bench().run(0.3)
    made, limit = len(bench.states), ROBOT.sources[target].max_age_ms / 1e3
    bench.fault("stop", target, seconds=limit + 0.2)
    assert bench.row(target).state == "stale"
    if target == "joint_states":
        assert len(bench.states) == made
    elif target != "imu/pelvis" and target != "imu/torso":
        assert target in bench.states[-1].stale_sources


def test_joint_order_comes_from_names() -> None:
    bench = Bench().run(0.2)
    made = len(bench.states)
    bench.fault("joint_order", "joint_states", seconds=0.5)
    assert bench.refused() == {}
    assert len(bench.states) == made + 100
    assert np.abs(bench.states[-1].position - bench.plant.joints()[0]).max() < 2e-3


def test_losses_and_latency_alone_refuse_nothing() -> None:
    """20 +- 8 ms on the way and 1 % loss are a bad network, not a fault."""
    way = Delivery(latency=0.012, jitter=0.016, dropout=0.01)
    params = SensorParams(seed=5, delivery={k: way for k in ("joints", "imu", "wrench", "battery", "motors")})
    bench = Bench(params).run(2.0)
    assert bench.refused() == {}
    assert len(bench.states) > 380
    assert bench.row("joint_states").rate_hz == pytest.approx(198.0, rel=0.03)


def test_the_twin_beside_the_truth_while_pushed() -> None:
    """Base tilt, position and velocity of the twin against the simulator, from noisy sensors, pushed at the torso."""
    bench = Bench().run(0.5)
    twin, errors = TwinCore(ROBOT), []
    base = bench.plant.model.body(ROBOT.base_link).id
    origin = bench.plant.data.xpos[base].copy()
    origin[2] = 0.0
    bench.plant.push(np.array([5.0, 0.0, 0.0]), 0.1, "torso_link")
    for _ in range(400):
        bench.run(0.005)
        state = bench.states[-1]
        estimate = twin.on_state(state, state.stamp_ns + MS)
        if estimate is None:  # states come at 200 Hz, the twin speaks at 100 Hz
            continue
        data = bench.plant.data
        up = data.xmat[base].reshape(3, 3)[:, 2]
        w, x, y, z = estimate.base_orientation
        seen = np.array([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
        errors.append((np.degrees(np.arccos(min(1.0, float(up @ seen)))),
                       np.linalg.norm(estimate.base_position - data.xpos[base] + origin),
                       np.linalg.norm(estimate.base_linear - data.qvel[:3])))
    assert len(errors) in (200, 201), "one of each 10 ms of stamps, and the first may lie in the midst of them"
    tilt, position, velocity = np.sqrt(np.mean(np.square(errors), axis=0))
    assert tilt < 0.5
    assert position < 0.02
    assert velocity < 0.05
