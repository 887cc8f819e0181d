"""sim_robot as another process sees it: topics, rates, commands, fallback, push, faults, clock, clean end."""

from __future__ import annotations

import itertools
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from conftest import Process, wait_for
from geometry_msgs.msg import Vector3
from humanoid_twin.msg import JointCommand, RobotMode
from humanoid_twin.srv import Push, SetFault
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from unit.robots import ARM_MJCF, arm_data, write_robot

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS
from humanoid_ros.qos import message_type, profile

ROBOT = load_robot("g1")
RAW = [name for name, topic in TOPICS.items() if topic.publisher == "robot"]
UPPER = [ROBOT.joint_names[i] for i in ROBOT.groups["upper_body"]]
Start = Callable[..., Process]


def stamp(message: Any) -> int:
    return int(message.header.stamp.sec) * NS + int(message.header.stamp.nanosec)


class Watcher:
    """Collects messages of some topics and speaks to the robot."""

    def __init__(self) -> None:
        self.node = Node("watcher")
        self.seen: dict[str, list[Any]] = defaultdict(list)
        self.commands = self.node.create_publisher(
            JointCommand, "robot/joint_command", profile(TOPICS["robot/joint_command"]))
        self.modes = self.node.create_publisher(RobotMode, "robot/mode", profile(TOPICS["robot/mode"]))
        self.seq = 0

    def watch(self, *names: str) -> None:
        for name in names:
            self.node.create_subscription(message_type(TOPICS[name].type), name, self.seen[name].append,
                                          profile(TOPICS[name]))

    def spin_until(self, predicate: Callable[[], Any], what: str, timeout: float = 30.0) -> Any:
        def step() -> Any:
            end = time.monotonic() + 0.02
            while time.monotonic() < end:
                rclpy.spin_once(self.node, timeout_sec=0.005)
            return predicate()

        return wait_for(step, timeout, what)

    def last(self, name: str) -> Any:
        return self.seen[name][-1] if self.seen[name] else None

    def count(self, name: str, more: int) -> None:
        """Wait for so many more messages."""
        goal = len(self.seen[name]) + more
        self.spin_until(lambda: len(self.seen[name]) >= goal, f"{more} messages on {name}")

    def command(self, position: Any, names: Any = UPPER, **more: Any) -> None:
        self.seq += 1
        message = JointCommand(seq=self.seq, joint_names=list(names), position=list(position), **more)
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.commands.publish(message)

    def mode(self, mode: int) -> None:
        self.modes.publish(RobotMode(mode=mode, reason="test"))

    def call(self, kind: Any, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, name)
        self.spin_until(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.spin_until(future.done, f"the answer of {name}")
        return future.result()

    def diagnosis(self) -> dict[str, str]:
        """Values of the newest diagnostics."""
        message = self.last("diagnostics")
        return {v.key: v.value for v in message.status[0].values} if message else {}


@pytest.fixture
def watcher(domain: int) -> Iterator[Watcher]:
    rclpy.init()
    watcher = Watcher()
    yield watcher
    watcher.node.destroy_node()
    rclpy.try_shutdown()


def test_every_raw_topic_arrives_at_its_rate_with_what_it_promises(start: Start, watcher: Watcher) -> None:
    watcher.watch(*RAW, "sim/truth")
    start("sim_robot", seed=7)
    watcher.spin_until(lambda: len(watcher.seen["battery_state"]) > 15, "3 s of messages")
    for name in [*RAW, "sim/truth"]:
        stamps = [stamp(m) for m in watcher.seen[name]]
        assert stamps == sorted(set(stamps)), name
        # the middle interval: one hold-up of a busy machine is not the sensor's rate
        interval = statistics.median(b - a for a, b in itertools.pairwise(stamps))
        expected = TOPICS[name].rate_hz
        assert expected is not None
        assert pytest.approx(expected, rel=0.05) == NS / interval, name
    joints = watcher.last("joint_states")
    assert tuple(joints.name) == ROBOT.joint_names
    assert abs(time.time_ns() - stamp(joints)) < 5 * NS, "ROS time"
    np.testing.assert_allclose(joints.position[12:], ROBOT.rest[12:], atol=0.05)
    image, depth, info = (watcher.last(f"camera/head/{x}") for x in ("image_raw", "depth", "camera_info"))
    assert (image.encoding, depth.encoding) == ("rgb8", "32FC1")
    assert (image.width, image.height) == (depth.width, depth.height) == (info.width, info.height) == (320, 240)
    assert image.header.frame_id == depth.header.frame_id == info.header.frame_id
    assert ROBOT.camera is not None
    np.testing.assert_allclose(info.k, ROBOT.camera.k.ravel())
    metres = np.frombuffer(depth.data, np.float32).reshape(240, 320)
    assert 0.3 < metres[180, 160] < 1.0, "the table"
    colours = np.frombuffer(image.data, np.uint8).reshape(240, 320, 3).astype(int)
    assert np.any((colours[..., 0] > 120) & (colours[..., 1] < 60)), "something red stands there"
    assert {o.name for o in watcher.last("sim/truth").objects} == {"red cube", "green cylinder", "blue ball"}
    assert watcher.last("sim/truth").mode == "HOLD"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_while_it_renders(start: Start, watcher: Watcher, number: int) -> None:
    watcher.watch("camera/head/image_raw")
    robot = start("sim_robot")
    watcher.count("camera/head/image_raw", 3)
    robot.signal(number)
    assert robot.wait(5.0) == 0
    assert "Traceback" not in robot.output


def test_it_follows_commands_and_falls_back_when_they_stop(start: Start, watcher: Watcher) -> None:
    watcher.watch("joint_states", "sim/truth")
    start("sim_robot", camera=False, hold_time=0.5)
    watcher.count("sim/truth", 2)
    elbow = ROBOT.index("left_elbow_joint")
    target = ROBOT.rest[list(ROBOT.groups["upper_body"])].copy()
    target[UPPER.index("left_elbow_joint")] += 0.3

    def arrived() -> bool:
        watcher.command(target)  # 50 times a second: the wait polls every 20 ms
        return bool(abs(watcher.last("joint_states").position[elbow] - ROBOT.rest[elbow] - 0.3) < 0.05)

    watcher.command(target)
    watcher.count("sim/truth", 5)
    assert watcher.last("sim/truth").mode == "HOLD", "nobody asked for RUN"
    watcher.mode(RobotMode.RUN)
    watcher.spin_until(arrived, "the elbow to follow")
    assert {m.mode for m in watcher.seen["sim/truth"][-2:]} & {"RUN"}
    watcher.spin_until(lambda: watcher.last("sim/truth").mode == "HOLD", "HOLD without commands")
    assert watcher.last("sim/truth").mode_reason == "NO_COMMAND"
    watcher.spin_until(lambda: watcher.last("sim/truth").mode == "DAMP", "DAMP after a while")
    watcher.spin_until(arrived, "the elbow to follow again")
    watcher.mode(RobotMode.HOLD)
    watcher.spin_until(lambda: watcher.last("sim/truth").mode_reason == "test", "the mode that was asked for")
    assert not watcher.last("sim/truth").fallen


def test_a_strangers_modes_and_commands_are_refused_beside_the_gates(start: Start, watcher: Watcher) -> None:
    """DAMP would let it fall. The stranger is another participant, as another process is."""
    watcher.watch("joint_states", "sim/truth", "diagnostics")
    start("sim_robot", camera=False)
    context = rclpy.Context()
    rclpy.init(context=context)
    stranger = Node("stranger", context=context)
    modes = stranger.create_publisher(RobotMode, "robot/mode", profile(TOPICS["robot/mode"]))
    commands = stranger.create_publisher(JointCommand, "robot/joint_command", profile(TOPICS["robot/joint_command"]))
    rest = ROBOT.rest[list(ROBOT.groups["upper_body"])]

    def gate(speak: Callable[[], None] = lambda: None) -> bool:
        watcher.mode(RobotMode.RUN)
        watcher.command(rest)
        speak()
        return bool(watcher.last("sim/truth") and watcher.last("sim/truth").mode == "RUN")

    watcher.spin_until(gate, "the gate to be obeyed")
    for speak in (lambda: modes.publish(RobotMode(mode=RobotMode.DAMP, reason="stranger")),
                  lambda: commands.publish(JointCommand(seq=1, joint_names=UPPER, position=list(rest + 0.2)))):
        before = int(watcher.diagnosis().get("refused PUBLISHER", "0"))
        watcher.spin_until(lambda speak=speak, before=before: gate(speak) and int(watcher.diagnosis().get(
            "refused PUBLISHER", "0")) > before, "the refusals to be counted")
        end = time.monotonic() + 1.2  # the stranger is silent for long enough to be no gate any more
        watcher.spin_until(lambda end=end: gate() and time.monotonic() > end, "the gate to be obeyed on")
        assert not watcher.last("sim/truth").fallen
        np.testing.assert_allclose(np.array(watcher.last("joint_states").position)[12:], ROBOT.rest[12:], atol=0.05)
    assert "DAMP" not in {m.mode for m in watcher.seen["sim/truth"]}
    stranger.destroy_node()
    rclpy.try_shutdown(context=context)


def test_garbage_is_refused_counted_and_harmless(start: Start, watcher: Watcher) -> None:
    watcher.watch("joint_states", "sim/truth", "diagnostics")
    robot = start("sim_robot", camera=False)
    watcher.mode(RobotMode.RUN)
    watcher.spin_until(lambda: watcher.commands.get_subscription_count() and watcher.last("sim/truth"), "the robot")
    before = np.array(watcher.last("joint_states").position)
    rest = ROBOT.rest[list(ROBOT.groups["upper_body"])]
    garbage: dict[str, Callable[[], None]] = {
        "NON_FINITE": lambda: watcher.command([float("nan")] * len(UPPER)),
        "WRONG_LENGTH": lambda: watcher.command(rest[:-1]),
        "WRONG_NAMES": lambda: watcher.command([0.0], ["left_tail_joint"]),
        "NOT_CONTROLLED": lambda: watcher.command([0.0], ["left_knee_joint"]),
        "LIMIT_POSITION": lambda: watcher.command([90.0], ["left_elbow_joint"]),
        "OUT_OF_RANGE": lambda: watcher.mode(250),
    }

    def all_counted() -> bool:
        for code, send in garbage.items():
            if f"refused {code}" not in watcher.diagnosis():
                send()
        return all(f"refused {code}" in watcher.diagnosis() for code in garbage)

    watcher.spin_until(all_counted, "every refusal to be counted")
    assert robot.popen.poll() is None
    watcher.count("joint_states", 5)
    np.testing.assert_allclose(np.array(watcher.last("joint_states").position), before, atol=0.02)
    assert watcher.last("sim/truth").mode == "HOLD"
    assert "command refused" in robot.output


def test_a_push_moves_it_and_it_stays_on_its_feet(start: Start, watcher: Watcher) -> None:
    watcher.watch("sim/truth", "imu/pelvis")
    start("sim_robot", camera=False)
    watcher.count("sim/truth", 10)
    before = watcher.last("sim/truth").base_pose.position.x
    good = Push.Request(link="torso_link", impulse=Vector3(x=5.0), duration=0.1)
    answer = watcher.call(Push, "sim/push", good)
    assert (answer.accepted, answer.reason) == (True, "")
    watcher.spin_until(lambda: watcher.last("sim/truth").base_pose.position.x > before + 0.01, "the sway")
    watcher.count("sim/truth", 60)
    assert not any(m.fallen for m in watcher.seen["sim/truth"])
    assert abs(watcher.last("sim/truth").base_pose.position.x - before) < 0.02
    for bad, word in ((Push.Request(link="tail"), "no link 'tail'"),
                      (Push.Request(impulse=Vector3(x=float("inf"))), "finite"),
                      (Push.Request(duration=-1.0), "duration")):
        answer = watcher.call(Push, "sim/push", bad)
        assert not answer.accepted
        assert word in answer.reason


def test_faults_are_set_ended_and_refused_by_service(start: Start, watcher: Watcher) -> None:
    watcher.watch("joint_states", "imu/pelvis", "diagnostics")
    start("sim_robot", camera=False)
    watcher.count("imu/pelvis", 10)
    answer = watcher.call(SetFault, "sim/set_fault", SetFault.Request(fault="stopp"))
    assert not answer.accepted
    assert "did you mean 'stop'" in answer.reason
    assert watcher.call(SetFault, "sim/set_fault", SetFault.Request(fault="stop", target="imu/pelvis")).accepted
    watcher.count("joint_states", 20)  # what was under way has arrived
    silent = len(watcher.seen["imu/pelvis"])
    watcher.count("joint_states", 100)
    assert len(watcher.seen["imu/pelvis"]) == silent
    watcher.spin_until(lambda: watcher.diagnosis().get("faults") == "stop imu/pelvis", "the report")
    assert watcher.call(SetFault, "sim/set_fault", SetFault.Request(clear=True)).accepted
    watcher.count("imu/pelvis", 20)


def test_without_opengl_it_runs_on_and_says_so(start: Start, watcher: Watcher, monkeypatch: Any) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    watcher.watch("joint_states", "camera/head/image_raw", "diagnostics")
    robot = start("sim_robot")
    watcher.spin_until(lambda: "no pictures" in robot.output, "the log line")
    watcher.count("joint_states", 100)
    watcher.spin_until(lambda: watcher.last("diagnostics"), "diagnostics")
    status = watcher.last("diagnostics").status[0]
    assert status.level == b"\x01"
    assert "no pictures" in status.message
    assert "apt-get install" in status.message, "the way out"
    assert not watcher.seen["camera/head/image_raw"]


def test_stepped_time_is_on_the_clock_and_a_seed_repeats_the_run(start: Start, watcher: Watcher) -> None:
    clock: list[int] = []
    watcher.node.create_subscription(Clock, "/clock", lambda m: clock.append(m.clock.sec * NS + m.clock.nanosec), 10)
    watcher.watch("joint_states", "imu/torso", "camera/head/image_raw")
    runs = []
    for seed in (5, 5, 6):
        for messages in (*watcher.seen.values(), clock):
            messages.clear()
        robot = start("sim_robot", mode="stepped", speed=2.0, seed=seed)
        # Some runs are heard from their first second on, others only from the seventh: the last ones are common.
        watcher.spin_until(lambda: clock and clock[-1] > 12 * NS and all(len(m) > 20 for m in watcher.seen.values()),
                           "simulated time")
        robot.signal(signal.SIGINT)
        assert robot.wait() == 0
        watcher.spin_until(lambda: not watcher.node.count_publishers("/clock"), "the last message of this run")
        runs.append({name: {stamp(m): m for m in messages} for name, messages in watcher.seen.items()})
        assert all(t % 5_000_000 == 0 for t in clock)
        assert set(runs[-1]["joint_states"]) <= {t + NS for t in range(0, 60 * NS, 5_000_000)}
    first, again, other = runs
    for name in ("joint_states", "imu/torso", "camera/head/image_raw"):
        common = sorted(first[name].keys() & again[name].keys())
        assert len(common) > 5
        assert all(first[name][t] == again[name][t] for t in common), f"{name} of the same seed"
    differ = first["joint_states"].keys() & other["joint_states"].keys()
    assert any(first["joint_states"][t] != other["joint_states"][t] for t in differ)


def test_as_fast_as_possible_is_faster_than_the_clock_on_the_wall(start: Start, watcher: Watcher) -> None:
    watcher.watch("sim/truth")
    start("sim_robot", mode="stepped", camera=False)
    watcher.spin_until(lambda: watcher.last("sim/truth") and watcher.last("sim/truth").real_time_factor > 1.5,
                       "a real time factor above 1.5")


def test_another_robot_by_parameter(start: Start, watcher: Watcher, tmp_path: Path) -> None:
    path = write_robot(tmp_path, arm_data("mjcf", "arm.xml"), ARM_MJCF)
    watcher.watch("joint_states", "sim/truth")
    start("sim_robot", robot=path, objects='""')
    watcher.count("joint_states", 20)
    assert list(watcher.last("joint_states").name) == ["lift", "bend"]
    watcher.mode(RobotMode.RUN)

    def arrived() -> bool:
        watcher.command([0.4, -0.3], ["lift", "bend"])
        return bool(np.allclose(watcher.last("joint_states").position, [0.4, -0.3], atol=0.03))

    watcher.spin_until(arrived, "the arm to follow")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"robot": "g2"}, "known robots: biped12, g1, h1, t1"),
        ({"objects": "red cub"}, "did you mean 'cube'"),
        ({"physics_step": 0.002}, "must divide 0.005 s"),
        ({"imu_dropuot": 0.1}, "did you mean 'imu_dropout'"),
        ({"mode": "slow"}, "must be one of real_time, stepped"),
    ],
)
def test_what_it_cannot_use_is_one_line_and_exit_code_2(start: Start, params: dict[str, Any], words: str) -> None:
    robot = start("sim_robot", **params)
    assert robot.wait(30) == 2
    assert words in robot.output
    assert "Traceback" not in robot.output
