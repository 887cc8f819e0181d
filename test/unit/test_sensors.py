"""Sensor models: what arrives, when, with which stamp, and how far from the truth."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from sim_nodes.core.camera import Picture
from sim_nodes.core.faults import FaultBoard
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.sensors import DEPTH, IMAGE, Delivery, SensorParams, Sensors, topics_of, turned

TICK = 5 * MS
ROBOT = load_robot("g1")
EXACT = SensorParams(**{f.name: 0.0 for f in fields(SensorParams) if f.name.endswith(("_noise", "_bias"))})
Stream = list[tuple[int, str, Any]]  # (published at, topic, sample)


@pytest.fixture(scope="module")
def plant() -> Plant:
    plant = Plant(ROBOT, PlantParams(objects="", dt=0.0025))
    plant.step(100)
    return plant


def run(plant: Plant, params: SensorParams, seconds: float, offset: int = 0) -> Stream:
    """Publish from a plant that stands still: the physics is not stepped, only time goes on."""
    sensors = Sensors(plant, FaultBoard(ROBOT, topics_of(ROBOT)), params)
    out: Stream = []
    for k in range(1, round(seconds * NS / TICK) + 1):
        now = k * TICK
        out += [(now, topic, sample) for topic, sample in sensors.tick(now, now + offset)]
    return out


def of(stream: Stream, topic: str) -> list[Any]:
    return [sample for _, name, sample in stream if name == topic]


def test_every_source_publishes_at_its_rate(plant: Plant) -> None:
    stream = run(plant, SensorParams(), 2.0)
    counts = {topic: len(of(stream, topic)) for topic in topics_of(ROBOT)}
    assert counts == {
        "joint_states": 400, "imu/pelvis": 400, "imu/torso": 400, "foot_contacts/left": 400,
        "foot_contacts/right": 400, "battery_state": 10, "motor_status": 20, IMAGE: 0, DEPTH: 0}  # fmt: skip


def test_without_errors_the_sensors_tell_the_truth(plant: Plant) -> None:
    stream = run(plant, EXACT, 0.2)
    q, v, _ = plant.joints()
    joints = of(stream, "joint_states")[-1]
    assert joints.names == ROBOT.joint_names
    np.testing.assert_array_equal(joints.position, q)
    np.testing.assert_array_equal(joints.velocity, v)
    imu = of(stream, "imu/pelvis")[-1]
    assert np.linalg.norm(imu.linear_acceleration) == pytest.approx(9.81, abs=0.1)
    weight = 9.81 * ROBOT.mass
    force = sum(of(stream, f"foot_contacts/{side}")[-1].force[2] for side in ("left", "right"))
    assert force == pytest.approx(weight, rel=0.02)
    assert of(stream, "battery_state")[-1].current < 0.0, "ROS: negative while discharging"


def test_noise_has_the_asked_spread_and_no_offset(plant: Plant) -> None:
    params = replace(EXACT, joint_position_noise=0.01, gyro_noise=0.05)
    stream = run(plant, params, 5.0)
    q = np.array([s.position for s in of(stream, "joint_states")]) - plant.joints()[0]
    assert np.std(q) == pytest.approx(0.01, rel=0.05)
    assert np.abs(np.mean(q)) < 1e-3
    gyro = np.array([s.angular_velocity for s in of(stream, "imu/torso")])
    assert np.std(gyro - gyro.mean(axis=0)) == pytest.approx(0.05, rel=0.1)


def test_a_bias_stays_the_whole_run_and_differs_between_seeds(plant: Plant) -> None:
    def bias(seed: int) -> Any:
        samples = of(run(plant, replace(EXACT, seed=seed, joint_position_bias=0.01), 0.1), "joint_states")
        offsets = np.array([s.position for s in samples]) - plant.joints()[0]
        np.testing.assert_array_equal(offsets, np.broadcast_to(offsets[0], offsets.shape))
        return offsets[0]

    assert np.std(bias(1)) == pytest.approx(0.01, rel=0.5)
    assert not np.allclose(bias(1), bias(2))


def test_the_same_seed_gives_the_same_stream(plant: Plant) -> None:
    params = SensorParams(seed=3, delivery={"imu": Delivery(0.002, 0.02, 0.2)})
    first, second = run(plant, params, 0.5), run(plant, params, 0.5)
    assert repr(first) == repr(second)
    assert repr(first) != repr(run(plant, replace(params, seed=4), 0.5))


def test_a_change_to_one_sensor_leaves_the_others_as_they_were(plant: Plant) -> None:
    plain = run(plant, SensorParams(seed=3), 0.5)
    lossy = run(plant, SensorParams(seed=3, delivery={"joints": Delivery(dropout=0.5)}), 0.5)
    assert len(of(lossy, "joint_states")) < len(of(plain, "joint_states"))
    assert repr(of(lossy, "imu/pelvis")) == repr(of(plain, "imu/pelvis"))


def test_latency_delays_the_message_and_not_the_stamp(plant: Plant) -> None:
    stream = run(plant, SensorParams(delivery={"joints": Delivery(latency=0.012)}), 0.2, offset=7)
    joints = [(at, s) for at, topic, s in stream if topic == "joint_states"]
    assert {at - (s.stamp_ns - 7) for at, s in joints} == {15 * MS}, "12 ms, rounded up to the tick"


def test_inertial_and_foot_stamps_are_those_of_the_step_that_measured(plant: Plant) -> None:
    stream = run(plant, SensorParams(), 0.1)
    for topic in ("imu/pelvis", "foot_contacts/right"):
        assert {at - s.stamp_ns for at, name, s in stream if name == topic} == {plant.dt_ns}


@settings(max_examples=15, deadline=None)
@given(jitter=st.floats(0.0, 0.1), latency=st.floats(0.0, 0.05))
def test_jitter_never_lets_messages_overtake(jitter: float, latency: float) -> None:
    plant = _PLANT
    stream = run(plant, SensorParams(delivery={"joints": Delivery(latency, jitter)}), 0.4)
    stamps = [s.stamp_ns for s in of(stream, "joint_states")]
    assert stamps == sorted(stamps)
    assert all(at >= s.stamp_ns + round(latency * NS) for at, t, s in stream if t == "joint_states")


_PLANT = Plant(ROBOT, PlantParams(objects="", dt=0.0025, settle=False))


def test_dropout_loses_the_asked_share(plant: Plant) -> None:
    stream = run(plant, SensorParams(delivery={"imu": Delivery(dropout=0.3)}), 5.0)
    assert len(of(stream, "imu/pelvis")) == pytest.approx(700, rel=0.08)
    assert len(of(stream, "joint_states")) == 1000


@given(st.lists(st.floats(-1e-3, 1e-3), min_size=3, max_size=3))
def test_a_small_turn_is_what_its_vector_says(rotation: list[float]) -> None:
    quat = np.array([0.5, -0.5, 0.5, 0.5])
    out = turned(quat, np.array(rotation))
    assert np.linalg.norm(out) == pytest.approx(1.0)
    angle = 2.0 * np.arccos(min(abs(float(out @ quat)), 1.0))
    assert angle == pytest.approx(float(np.linalg.norm(rotation)), abs=1e-7)


def picture() -> Picture:
    depth = np.full((48, 64), 1.0, np.float32)
    depth[:10] = 0.0
    return Picture(np.full((48, 64, 3), 100, np.uint8), depth)


def test_the_depth_picture_follows_its_colour_picture_with_the_same_stamp(plant: Plant) -> None:
    sensors = Sensors(plant, FaultBoard(ROBOT, topics_of(ROBOT)), EXACT)
    out = sensors.pictures(sensors.develop(picture()), 100 * MS, 5 * NS, 110 * MS)
    assert [(t, s.stamp_ns, s.encoding) for t, s in out] == [(IMAGE, 5 * NS, "rgb8")]
    later = [(t, s) for t, s in sensors.tick(115 * MS, 6 * NS) if t == DEPTH]
    assert [(t, s.stamp_ns, s.encoding) for t, s in later] == [(DEPTH, 5 * NS, "32FC1")]
    np.testing.assert_array_equal(later[0][1].data, picture().depth)


def test_camera_noise_keeps_types_and_missing_depth(plant: Plant) -> None:
    sensors = Sensors(plant, FaultBoard(ROBOT, topics_of(ROBOT)), replace(EXACT, rgb_noise=4.0, depth_noise=0.002))
    (_, image), = sensors.pictures(sensors.develop(picture()), 0, NS, 0)
    depth = next(s for t, s in sensors.tick(TICK, NS) if t == DEPTH)
    assert image.data.dtype == np.uint8
    assert np.std(image.data.astype(float)) == pytest.approx(4.0, rel=0.1)
    assert depth.data.dtype == np.float32
    assert np.all(depth.data[:10] == 0.0)
    assert np.std(depth.data[10:]) == pytest.approx(0.002, rel=0.1)
    (_, second), = sensors.pictures(sensors.develop(picture()), 0, 2 * NS, 0)
    assert not np.array_equal(image.data, second.data)
