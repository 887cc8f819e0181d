"""sensor_ingest as a process: what it publishes while a robot's sensors behave and misbehave."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import Process, wait_for
from fake_robot import FakeRobot, drop

from humanoid_core.types import TwinState, TwinStatus

Start = Callable[..., Process]


@pytest.fixture
def robot(domain: int) -> Iterator[FakeRobot]:
    fake = FakeRobot()
    yield fake
    fake.end()


def newest(got: list[Any], timeout: float = 10.0) -> Any:
    """The next message that comes from now on."""
    seen = len(got)
    wait_for(lambda: len(got) > seen + 1, timeout, "another message")
    return got[-1]


def source(health: list[Any], topic: str) -> Any:
    return next(s for s in health[-1].sources if s.topic == topic) if health else None


def refused(health: list[Any], topic: str, code: str) -> int:
    row = source(health, topic)
    return dict(row.refusals).get(code, 0) if row is not None else 0


def test_states_come_in_the_robots_order_with_capture_stamps(start: Start, robot: FakeRobot) -> None:
    order = np.random.default_rng(1).permutation(robot.robot.n)
    stamps: set[int] = set()

    def shuffled(sample: Any) -> Any:
        stamps.add(sample.stamp_ns)
        return replace(sample, names=tuple(sample.names[i] for i in order), position=sample.position[order],
                       velocity=sample.velocity[order], effort=sample.effort[order])

    robot.changes["joint_states"] = shuffled
    states, health = robot.listen("ingest/robot_state"), robot.listen("ingest/sensor_health")
    start("sensor_ingest")
    robot.start()
    wait_for(lambda: len(states) > 200, what="200 robot states")
    state = states[-1]
    assert np.abs(state.position - robot.robot.stand).max() < 0.01
    assert {s.stamp_ns for s in states} <= stamps
    assert state.imu_source == "imu/pelvis"
    assert [s.seq for s in states] == sorted({s.seq for s in states})
    wait_for(lambda: health and health[-1].all_required_ok, what="a good health report")
    wait_for(lambda: 150.0 < source(health, "joint_states").rate_hz < 250.0, what="a measured rate")
    assert source(health, "camera/head/depth").state == "waiting"


def test_a_faulty_imu_is_refused_counted_and_replaced_until_it_is_well(start: Start, robot: FakeRobot) -> None:
    states, health = robot.listen("ingest/robot_state"), robot.listen("ingest/sensor_health")
    start("sensor_ingest")
    robot.start()
    wait_for(lambda: len(states) > 20, what="robot states")
    robot.changes["imu/pelvis"] = lambda s: replace(s, angular_velocity=np.full(3, np.nan))
    wait_for(lambda: refused(health, "imu/pelvis", "NON_FINITE") > 10, what="counted refusals")
    assert newest(states).imu_source == "imu/torso"
    assert np.isfinite(states[-1].angular_velocity).all()
    assert source(health, "imu/pelvis").backup == "imu/torso"
    robot.changes["imu/pelvis"] = drop
    wait_for(lambda: source(health, "imu/pelvis").state in ("stale", "refusing"), what="a silent sensor to be noticed")
    robot.changes.clear()
    wait_for(lambda: newest(states).imu_source == "imu/pelvis", what="the primary to take over again")


def test_wrong_names_make_no_state_and_are_named(start: Start, robot: FakeRobot) -> None:
    robot.changes["joint_states"] = lambda s: replace(s, names=("left_hip", *s.names[1:]))
    states, health = robot.listen("ingest/robot_state"), robot.listen("ingest/sensor_health")
    process = start("sensor_ingest")
    robot.start()
    wait_for(lambda: refused(health, "joint_states", "WRONG_NAMES") > 10, what="counted refusals")
    assert states == []
    assert "left_hip" in source(health, "joint_states").last_refusal
    wait_for(lambda: "left_hip" in process.output, what="a line in the log")


def test_a_required_sensor_that_never_comes_is_named_and_nothing_is_published(
        start: Start, robot: FakeRobot) -> None:
    robot.changes["imu/pelvis"] = drop
    states, health = robot.listen("ingest/robot_state"), robot.listen("ingest/sensor_health")
    start("sensor_ingest")
    robot.start()
    wait_for(lambda: health and source(health, "joint_states").accepted > 100, what="joint samples")
    assert states == []
    assert source(health, "imu/pelvis").state == "waiting"
    assert not health[-1].all_required_ok


def test_other_sources_are_watched_while_the_joints_are_silent(start: Start, robot: FakeRobot) -> None:
    robot.changes["joint_states"] = drop
    health = robot.listen("ingest/sensor_health")
    start("sensor_ingest")
    robot.start()
    wait_for(lambda: health and source(health, "imu/torso").accepted > 300, what="IMU samples")
    wait_for(lambda: 150.0 < source(health, "imu/torso").rate_hz < 250.0, what="a measured rate")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(start: Start, robot: FakeRobot, number: signal.Signals) -> None:
    states = robot.listen("ingest/robot_state")
    process = start("sensor_ingest")
    robot.start()
    wait_for(lambda: states, what="a robot state")
    process.signal(number)
    assert process.wait() == 0
    assert "Traceback" not in process.output


@pytest.mark.parametrize(("parameters", "words"), [
    ({"handbak_ms": 1.0}, "handback_ms"), ({"robot": "g2"}, "g2"), ({"future_ms": -1.0}, "future_ms")])
def test_a_wrong_configuration_is_refused_with_the_way_out(
        start: Start, domain: int, parameters: dict[str, Any], words: str) -> None:
    process = start("sensor_ingest", **parameters)
    assert process.wait() == 2
    assert words in process.output
    assert "Traceback" not in process.output


def test_the_twins_estimate_stands_in_for_a_wrist_sensor_that_is_lost(start: Start, robot: FakeRobot) -> None:
    wrist = robot.robot.index("left_wrist_yaw_joint")

    def lost(sample: Any) -> Any:
        """The twin speaks beside it: everything at rest, the wrist at 0.4 rad."""
        q, v = robot.robot.stand.copy(), np.zeros(robot.robot.n)
        q[wrist] = 0.4
        zero = np.zeros(3)
        robot.send("twin/state", TwinState(sample.stamp_ns, 1, robot.robot.hash, q, v, v, v, zero,
                                           np.array([1.0, 0.0, 0.0, 0.0]), zero, zero, zero, zero, 0.1, v, 1.0, 0.004,
                                           TwinStatus.OK))
        position = sample.position.copy()
        position[wrist] = np.nan
        return replace(sample, position=position)

    states = robot.listen("ingest/robot_state")
    process = start("sensor_ingest")
    robot.start()
    wait_for(lambda: len(states) > 20, what="robot states")
    robot.changes["joint_states"] = lost
    wait_for(lambda: newest(states).estimated_joints == ("left_wrist_yaw_joint",), what="the estimate")
    assert states[-1].position[wrist] == pytest.approx(0.4)
    wait_for(lambda: "ESTIMATED" in process.output, what="a line in the log")
    robot.changes.clear()
    wait_for(lambda: newest(states).estimated_joints == (), what="the sensor to speak for itself again")
