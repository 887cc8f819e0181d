"""twin_sync beside sensor_ingest: state, ghost, prediction, services, and what it says of silence."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import Process, wait_for
from fake_robot import FakeRobot, drop
from humanoid_twin.srv import Calibrate, Snapshot, WhatIf

from humanoid_core.types import ActionChunk, TwinStatus
from humanoid_ros.convert import from_msg, stamp_to_msg, to_msg

Start = Callable[..., Process]


@pytest.fixture
def robot(domain: int) -> Iterator[FakeRobot]:
    fake = FakeRobot()
    yield fake
    fake.end()


def elbow_chunk(robot: FakeRobot, to: float, stamp_ns: int) -> ActionChunk:
    start = robot.robot.stand[robot.robot.index("left_elbow_joint")]
    rows = np.linspace(start, to, 11)[1:, None]
    return ActionChunk(stamp_ns, 7, 1, "test", "", ("left_elbow_joint",), 0.05, rows, 1.0)


def test_the_twin_follows_looks_ahead_and_answers(start: Start, robot: FakeRobot) -> None:
    twins, ghosts = robot.listen("twin/state"), robot.listen("twin/joint_states")
    predictions, states = robot.listen("twin/prediction"), robot.listen("ingest/robot_state")
    start("sensor_ingest")
    start("twin_sync")
    robot.start()
    wait_for(lambda: [t for t in twins if t.status == TwinStatus.OK][50:], what="a twin in step")
    twin = twins[-1]
    assert twin.model_hash == robot.robot.hash
    assert 0.7 < twin.base_position[2] < 0.8
    assert twin.support_margin > 0.03
    wait_for(lambda: {t.stamp_ns for t in twins} & {s.stamp_ns for s in states}, what="a measurement's stamp")
    revisions = [t.revision for t in twins]
    assert revisions == sorted(set(revisions))
    wait_for(lambda: ghosts, what="the ghost robot")
    assert ghosts[-1].names == robot.robot.joint_names

    limit = float(robot.robot.upper[robot.robot.index("left_elbow_joint")])
    robot.send("vla/action_chunk", elbow_chunk(robot, limit + 0.3, time.time_ns()))
    wait_for(lambda: [p for p in predictions if p.chunk_seq == 7], what="a prediction of the chunk")
    seen = next(p for p in predictions if p.chunk_seq == 7)
    # 1.1 rad away at 2.5 rad/s: half a second comes near, more comes there.
    assert seen.first_violation_code == ""
    assert seen.min_joint_margin < 0.6
    answer = robot.call("twin/what_if", WhatIf, WhatIf.Request(
        chunk=to_msg(elbow_chunk(robot, limit + 0.3, 0)), horizon=1.0))
    assert answer.prediction.first_violation_code == "LIMIT_POSITION"
    assert answer.prediction.first_violation_subject == "left_elbow_joint"
    assert 0.4 < answer.prediction.first_violation_time < 0.8

    answer = robot.call("twin/what_if", WhatIf, WhatIf.Request(
        chunk=to_msg(elbow_chunk(robot, 0.7, 0)), horizon=1.0))
    assert answer.ok
    assert answer.reason == ""
    path = np.array(answer.trajectory).reshape(len(answer.time), robot.robot.n)
    assert path[-1, robot.robot.index("left_elbow_joint")] == pytest.approx(0.7, abs=0.05)
    assert from_msg(answer.prediction).first_violation_code == ""
    bad = elbow_chunk(robot, 0.7, 0)
    answer = robot.call("twin/what_if", WhatIf, WhatIf.Request(
        chunk=to_msg(ActionChunk(**{**bad.__dict__, "joint_names": ("left_elbo",)})), horizon=0.5))
    assert not answer.ok
    assert answer.reason.startswith("WRONG_NAMES")

    past = twins[-1].stamp_ns - 300_000_000
    answer = robot.call("twin/snapshot", Snapshot, Snapshot.Request(stamp=stamp_to_msg(past)))
    assert answer.ok
    assert 0 <= past - from_msg(answer.state).stamp_ns < 50_000_000
    answer = robot.call("twin/snapshot", Snapshot, Snapshot.Request(stamp=stamp_to_msg(past - 60 * 10**9)))
    assert not answer.ok
    assert answer.reason.startswith("EXPIRED")
    answer = robot.call("twin/calibrate", Calibrate, Calibrate.Request(what="friction", apply=True))
    assert not answer.ok
    assert answer.reason.startswith("EXCITATION")


def test_a_question_and_a_look_ahead_at_once_do_not_mix(start: Start, robot: FakeRobot) -> None:
    """Both roll out one copy of the model (the core refuses to be asked twice at once); each gets the future of its own
    chunk."""
    twins, predictions = robot.listen("twin/state"), robot.listen("twin/prediction")
    start("sensor_ingest")
    twin = start("twin_sync")
    robot.start()
    wait_for(lambda: [t for t in twins if t.status == TwinStatus.OK][50:], what="a twin in step")
    elbow = robot.robot.index("left_elbow_joint")
    limit = float(robot.robot.upper[elbow])
    looked = 0
    for _ in range(8):
        before = len(predictions)
        robot.send("vla/action_chunk", elbow_chunk(robot, limit + 0.3, time.time_ns()))
        answer = robot.call("twin/what_if", WhatIf, WhatIf.Request(
            chunk=to_msg(elbow_chunk(robot, 0.7, 0)), horizon=5.0))
        assert answer.ok
        path = np.array(answer.trajectory).reshape(len(answer.time), robot.robot.n)
        steps = np.abs(np.diff(path, axis=0))
        assert path[-1, elbow] == pytest.approx(0.7, abs=0.05)
        assert float(steps.max()) < 0.2, "no jump from one future to the other"
        assert from_msg(answer.prediction).first_violation_code == ""
        wait_for(lambda n=before: len(predictions) > n + 1, what="looks ahead beside it")
        looked += len([p for p in predictions[before:] if p.chunk_seq == 7])
        assert all(p.first_violation_code == "" for p in predictions[before:])
    assert looked > 4
    assert "at once" not in twin.output


def test_silence_is_said_and_ends(start: Start, robot: FakeRobot) -> None:
    twins: list[Any] = robot.listen("twin/state")
    start("sensor_ingest")
    start("twin_sync")
    wait_for(lambda: twins, what="a waiting twin")
    assert twins[-1].status == TwinStatus.WAITING
    assert twins[-1].position.size == 0
    robot.start()
    wait_for(lambda: twins[-1].status == TwinStatus.OK, what="a twin in step")
    robot.changes["joint_states"] = drop
    wait_for(lambda: twins[-1].status == TwinStatus.STALE, what="a stale twin")
    first = twins[-1]
    wait_for(lambda: twins[-1].revision > first.revision + 5, what="more of it")
    assert twins[-1].stamp_ns == first.stamp_ns
    assert np.all(twins[-1].position_stddev > first.position_stddev)
    robot.changes.clear()
    wait_for(lambda: twins[-1].status == TwinStatus.OK, what="the twin to be in step again")


def test_it_ends_cleanly_while_it_works(start: Start, robot: FakeRobot) -> None:
    twins = robot.listen("twin/state")
    start("sensor_ingest")
    process = start("twin_sync")
    robot.start()
    wait_for(lambda: twins and twins[-1].status == TwinStatus.OK, what="a twin in step")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "Traceback" not in process.output


def test_a_simulated_clock_that_jumps_back_starts_both_nodes_anew(start: Start, domain: int) -> None:
    robot = FakeRobot(simulated_clock=True)
    try:
        twins, states = robot.listen("twin/state"), robot.listen("ingest/robot_state")
        ingest, twin = start("sensor_ingest", use_sim_time=True), start("twin_sync", use_sim_time=True)
        robot.start()
        wait_for(lambda: twins and twins[-1].status == TwinStatus.OK, what="a twin in step with simulated time")
        assert 1000 * 10**9 < twins[-1].stamp_ns < 2000 * 10**9
        before = twins[-1]
        robot.jump_ns = -500 * 10**9
        wait_for(lambda: twins[-1].stamp_ns < before.stamp_ns - 400 * 10**9 and twins[-1].status == TwinStatus.OK,
                 what="a twin in step with the new time")
        assert twins[-1].revision > before.revision
        wait_for(lambda: states[-1].stale_sources == (), what="every source to come again")
        for process in (ingest, twin):
            wait_for(lambda p=process: "CLOCK_RESET" in p.output, what="the reason in the log")
    finally:
        robot.end()
