"""vla_policy as a process: instructions over topic and action, chunks and commands, waiting, leave, clean end."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalStatus
from conftest import Process, wait_for
from peers.board import Peer
from unit.robots import ARM_MJCF, arm_data, write_robot
from vla_world import World

from humanoid_core.robot import load_robot
from humanoid_core.types import Level
from sim_nodes.core.judge import Judge

ROBOT = load_robot("g1")
UPPER = list(ROBOT.groups["upper_body"])
Start = Callable[..., Process]
#: A loaded machine may hold everything up for a while; what is tested here is order and reason, not speed.
PATIENT = {"permit_age": 1.0, "state_age": 1.0, "picture_age": 2.0, "max_age": 5.0, "skew": 0.2, "timeout": 100.0}


@pytest.fixture
def world(domain: int) -> Iterator[World]:
    rclpy.init()
    made = World(ROBOT)
    why = made.start()
    if why:
        made.close()
        rclpy.shutdown()
        pytest.skip(why)
    yield made
    made.close()
    rclpy.shutdown()


@pytest.fixture
def policy(world: World, start: Start) -> Process:
    process = start("vla_policy", **PATIENT)
    wait_for(lambda: world.status, 40.0, "vla/status")
    return process


def test_a_touch_over_the_action(world: World, policy: Process) -> None:
    world.judge = Judge(ROBOT, "touch", "blue ball", "left")
    _, result = world.ask("touch the blue ball with your left hand")
    got = wait_for(result, 90.0, "the result")
    assert got.status == GoalStatus.STATUS_SUCCEEDED
    assert got.result.success
    assert "blue ball" in got.result.detail
    assert got.result.seconds > 1.0
    wait_for(lambda: world.judge and world.judge.verdict().success, 10.0, "the judge to agree")
    assert {f.state for f in world.feedback} >= {"acting"}
    progress = [f.progress for f in world.feedback]
    assert progress == sorted(progress)
    wait_for(lambda: world.status and world.status.state == "done", 30.0, "done")
    chunk = world.chunks[0]
    assert chunk.policy_id == "classical"
    assert chunk.joint_names == tuple(ROBOT.joint_names[i] for i in UPPER)
    assert chunk.instruction == "touch the blue ball with your left hand"
    assert chunk.stamp_ns <= chunk.inference_start_ns <= chunk.inference_end_ns
    assert len(chunk.positions) * chunk.step_dt >= 1.0
    commands = [c for c, _ in world.commands]
    assert all(b.seq > a.seq for a, b in itertools.pairwise(commands))
    assert {c.epoch for c in commands} == {chunk.epoch}
    wait_for(lambda: _quiet(world), 60.0, "silence once the arm is back")
    off = np.abs(world.plant.data.qpos[world.plant._qadr] - ROBOT.rest)[UPPER]
    assert off.max() < 0.15


def _quiet(world: World) -> bool:
    """No command for half a second."""
    return not world.commands or time.monotonic() - world.commands[-1][1] > 0.5


def test_an_instruction_on_the_topic_and_a_new_one_in_mid_motion(world: World, policy: Process) -> None:
    world.say("wave with your right hand")
    wait_for(lambda: len(world.commands) > 100, 40.0, "motion")
    handle, result = world.ask("go back to rest")
    assert handle.accepted
    got = wait_for(result, 60.0, "the result")
    assert got.result.success
    positions = np.array([c.position for c, _ in world.commands])
    stamps = np.array([c.stamp_ns for c, _ in world.commands])
    speed = np.abs(np.diff(positions, axis=0)) / (np.diff(stamps)[:, None] / 1e9)
    assert np.all(speed <= ROBOT.command_velocity[UPPER] * 1.01), "no jump where one task follows the other"
    assert len({c.epoch for c, _ in world.commands}) == 2


def test_a_newer_goal_cancels_the_older(world: World, policy: Process) -> None:
    _, first = world.ask("wave with your right hand")
    wait_for(lambda: world.commands, 40.0, "motion")
    _, second = world.ask("stand on your head")
    old, new = wait_for(first, 20.0, "the first result"), wait_for(second, 20.0, "the second result")
    assert (old.result.success, old.result.reason_code) == (False, "CANCELLED")
    assert (new.result.success, new.result.reason_code) == (False, "NOT_UNDERSTOOD")
    assert new.status == GoalStatus.STATUS_ABORTED
    assert "it knows" in new.result.detail
    wait_for(lambda: world.status and world.status.state == "refused", 10.0, "refused on vla/status")
    wait_for(lambda: _quiet(world), 20.0, "the motion to come to its end")


def test_two_steps_in_one_goal(world: World, policy: Process) -> None:
    """The goal's one result is for both; the feedback tells the step and how sure the policy is."""
    world.judge = Judge(ROBOT, "wave", "", "right")
    _, result = world.ask("wave with your right hand, then raise your left hand")
    got = wait_for(result, 120.0, "the result")
    assert got.result.success, got.result.detail
    assert "2 steps" in got.result.detail
    assert world.judge.verdict().success
    details = [f.detail for f in world.feedback]
    assert any("step 1 of 2" in d for d in details)
    assert any("step 2 of 2" in d for d in details)
    assert max(f.confidence for f in world.feedback) > 0.4
    assert [c.instruction for c in world.chunks][:: max(len(world.chunks) - 1, 1)] == [
        "wave with your right hand", "raise your left hand"]  # fmt: skip


def test_cancelling_the_goal_stops_the_commands(world: World, policy: Process) -> None:
    handle, result = world.ask("wave with your left hand")
    wait_for(lambda: len(world.commands) > 50, 40.0, "motion")
    handle.cancel_goal_async()
    got = wait_for(result, 20.0, "the result")
    assert got.status == GoalStatus.STATUS_CANCELED
    assert got.result.reason_code == "CANCELLED"
    wait_for(lambda: _quiet(world), 10.0, "silence")


def test_without_pictures_nothing_is_guessed(world: World, start: Start) -> None:
    world.pictures = False
    start("vla_policy", **{**PATIENT, "patience": 3.0})
    _, result = world.ask("touch the red cube")
    wait_for(lambda: world.status and world.status.reason_code == "NO_PICTURE", 30.0, "the reason on vla/status")
    got = wait_for(result, 30.0, "the result")
    assert got.result.reason_code == "NO_PICTURE"
    assert world.chunks == []
    assert world.commands == []


def test_lost_leave_stops_and_a_new_epoch_resumes(world: World, policy: Process) -> None:
    _, result = world.ask("raise your right hand")
    wait_for(lambda: len(world.commands) > 50, 40.0, "motion")
    world.level = Level.DANGER
    wait_for(lambda: world.status and world.status.state == "waiting", 10.0, "waiting on vla/status")
    wait_for(lambda: _quiet(world), 10.0, "silence")
    before = len(world.commands)
    world.level = Level.SAFE
    got = wait_for(result, 60.0, "the result")
    assert got.result.success
    assert world.commands[before][0].epoch > world.commands[before - 1][0].epoch
    assert all(c.epoch > world.commands[before - 1][0].epoch for c in world.chunks[-3:])


def test_a_server_that_dies_and_comes_back_in_mid_motion(world: World, start: Start) -> None:
    with Peer("openpi") as peer:
        start("vla_policy", **{**PATIENT, "patience": 60.0}, backend="openpi", policy="g1_openpi",
              server=f"ws://127.0.0.1:{peer.port}")
        wait_for(lambda: world.status, 40.0, "vla/status")
        world.say("turn to the left")
        wait_for(lambda: len(world.commands) > 50, 40.0, "motion")
        peer.kill()
        wait_for(lambda: world.status and world.status.reason_code == "NO_SERVER", 10.0, "the reason on vla/status")
        wait_for(lambda: world.status and world.status.state == "waiting", 20.0, "the hold")
        wait_for(lambda: _quiet(world), 10.0, "silence")
        assert world.status is not None
        assert (world.status.reason_code, str(peer.port) in world.status.detail) == ("NO_SERVER", True)
        stopped = len(world.commands)
        assert np.max(np.abs(world.commands[-1][0].velocity)) < 1e-6
        peer.start()
        wait_for(lambda: len(world.commands) > stopped + 50, 40.0, "motion by itself")
        assert world.commands[-1][0].epoch > world.commands[stopped - 1][0].epoch
        assert world.chunks[-1].policy_id == "g1_openpi"
        positions = np.array([c.position for c, _ in world.commands])
        stamps = np.array([c.stamp_ns for c, _ in world.commands])
        speed = np.abs(np.diff(positions, axis=0)) / (np.diff(stamps)[:, None] / 1e9)
        assert np.all(speed <= ROBOT.command_velocity[UPPER] * 1.01), "no jump where it goes on"


def test_it_ends_cleanly(policy: Process) -> None:
    policy.signal(signal.SIGINT)
    assert policy.wait(15.0) == 0
    assert "Traceback" not in policy.output


@pytest.mark.parametrize(
    ("params", "word"),
    [({"timeuot": 3.0}, "did you mean 'timeout'"), ({"backend": "magic"}, "classical"), ({"rate": 1.0}, "at least"),
     ({"backend": "openpi"}, "g1_openpi"), ({"backend": "gr00t", "policy": "g1_openpi"}, "parameter backend says"),
     ({"backend": "lerobot", "policy": "g1_lerobot", "server": "10.1.2.3:8080"}, "neither loopback nor")],
)
def test_a_wrong_parameter_is_one_line_and_exit_code_2(start: Start, params: dict[str, object], word: str) -> None:
    process = start("vla_policy", **params)
    assert process.wait(30.0) == 2
    assert word in process.output
    assert "Traceback" not in process.output


def test_a_robot_that_the_policy_cannot_move_is_refused_by_name(start: Start, tmp_path: Path) -> None:
    process = start("vla_policy", robot=write_robot(tmp_path, arm_data("mjcf", "arm.xml"), ARM_MJCF))
    assert process.wait(30.0) == 2
    assert "camera" in process.output
    assert "Traceback" not in process.output
