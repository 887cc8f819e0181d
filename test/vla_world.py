"""What vla_policy meets in the graph, in one test process: camera, robot state, permits and a gate that passes.

Steps the simulated robot by the wall clock; a slow machine makes it coarse, not wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from conftest import wait_for
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from humanoid_core.robot import RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.topics import ACTIONS, TOPICS
from humanoid_core.types import (
    ActionChunk,
    GateStatus,
    ImageSample,
    JointCommand,
    Level,
    Mode,
    Permit,
    RobotState,
    VlaStatus,
)
from humanoid_ros.convert import from_msg, to_msg
from humanoid_ros.qos import message_type, profile
from sim_nodes.core.camera import Camera
from sim_nodes.core.judge import Judge
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.truth import Truth

STEP = 0.02  # s between two looks at the world


class World:
    """Runs in a thread of its own from `start` to `close`; the switches may be turned at any time."""

    def __init__(self, robot: RobotModel, seed: int = 7) -> None:
        self.robot = robot
        self.plant = Plant(robot, PlantParams(seed=seed))
        self.truth = Truth(self.plant)
        self.pictures, self.level, self.accept_new = True, Level.SAFE, True
        self.judge: Judge | None = None
        self.commands: list[tuple[JointCommand, float]] = []
        self.chunks: list[ActionChunk] = []
        self.statuses: list[VlaStatus] = []
        self.feedback: list[Any] = []
        self.node = Node("world")
        self._pub = {n: self._publisher(n) for n in (
            "camera/head/image_raw", "camera/head/depth", "camera/head/camera_info", "ingest/robot_state",
            "safety/permit", "safety/gate", "vla/instruction")}  # fmt: skip
        self._listen("vla/joint_command", self._on_command)
        self._listen("vla/action_chunk", self.chunks.append)
        self._listen("vla/status", self.statuses.append)
        row = next(a for a in ACTIONS if a.name == "vla/follow_instruction")
        self._kind = message_type(row.type)
        self.client = ActionClient(self.node, self._kind, row.name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._end, self._ready = threading.Event(), threading.Event()
        self._why = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._seq = 0

    def _publisher(self, name: str) -> Any:
        return self.node.create_publisher(message_type(TOPICS[name].type), name, profile(TOPICS[name]))

    def _listen(self, name: str, take: Callable[[Any], None]) -> None:
        self.node.create_subscription(
            message_type(TOPICS[name].type), name, lambda m: take(from_msg(m)), profile(TOPICS[name]))

    def start(self) -> str:
        """Returns why there are no pictures, '' when there are."""
        self._thread.start()
        self._ready.wait(30.0)
        return self._why

    def close(self) -> None:
        self._end.set()
        self._thread.join(timeout=10.0)
        self._executor.shutdown()
        self.client.destroy()
        self.node.destroy_node()

    # --- what a test does

    def say(self, text: str) -> None:
        self._pub["vla/instruction"].publish(to_msg(text))

    def ask(self, prompt: str, timeout: float = 0.0) -> Any:
        """Send a goal; returns a function that gives the result once there is one, and the goal's handle."""
        wait_for(self.client.server_is_ready, 30.0, "the action server")
        sent = self.client.send_goal_async(
            self._kind.Goal(prompt=prompt, timeout=timeout),
            feedback_callback=lambda m: self.feedback.append(m.feedback))
        wait_for(sent.done, 30.0, "the goal's acceptance")
        handle = sent.result()
        assert handle.accepted
        got = handle.get_result_async()
        return handle, lambda: got.result() if got.done() else None

    @property
    def status(self) -> VlaStatus | None:
        return self.statuses[-1] if self.statuses else None

    def now_ns(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    # --- the world's thread

    def _run(self) -> None:
        spec = self.robot.camera
        assert spec is not None
        camera = Camera(self.plant.model, spec.name, spec.width, spec.height, spec.near, spec.far)
        self._why = camera.why
        self.plant.set_mode(Mode.RUN)
        self._ready.set()
        begin, steps, picture_at = time.monotonic(), 0, 0.0
        while not self._end.is_set() and rclpy.ok():
            self._executor.spin_once(timeout_sec=0.002)
            while self._executor_busy():
                pass
            due = int((time.monotonic() - begin) / self.plant.params.dt) - steps
            if due <= 0:
                continue
            # as much as a command stays valid: more would make the robot hold in between
            self.plant.step(min(due, 20))
            steps += due
            self._publish_state()
            if self.judge is not None:
                self.judge.feed(self.truth.read())
            if camera.on and self.pictures and time.monotonic() - picture_at > 0.1:
                picture_at = time.monotonic()
                self._publish_picture(camera)
        camera.close()

    def _executor_busy(self) -> bool:
        """Take what else has come, without waiting."""
        before = len(self.commands)
        self._executor.spin_once(timeout_sec=0.0)
        return len(self.commands) > before

    def _publish_state(self) -> None:
        p, now, z = self.plant, self.now_ns(), np.zeros(3)
        self._seq += 1
        state = RobotState(
            now, self._seq, p.data.qpos[p._qadr].copy(), p.data.qvel[p._vadr].copy(), np.zeros(self.robot.n),
            np.zeros(self.robot.n), np.array([1.0, 0, 0, 0]), z, z, np.zeros((2, 3)), 48.0, 1.0)  # fmt: skip
        self._pub["ingest/robot_state"].publish(to_msg(state))
        scale = 1.0 if self.level < Level.DANGER else 0.0
        permit = Permit(now, self._seq, self.level, scale, 0.03, self.accept_new, False, 0)
        self._pub["safety/permit"].publish(to_msg(permit))
        held = self.level >= Level.DANGER
        gate = GateStatus(now, "holding" if held else "passing", "NO_PERMIT" if held else "", 0, 0, (), 0, 0, 0.0, 0.0)
        self._pub["safety/gate"].publish(to_msg(gate))

    def _publish_picture(self, camera: Camera) -> None:
        shot, now = camera.picture(self.plant.data), self.now_ns()
        assert self.robot.camera is not None
        info = CameraInfo(width=camera.width, height=camera.height, k=self.robot.camera.k.ravel().tolist())
        info.header.stamp.sec, info.header.stamp.nanosec = divmod(now, NS)
        self._pub["camera/head/camera_info"].publish(info)
        self._pub["camera/head/image_raw"].publish(to_msg(ImageSample(now, "rgb8", shot.rgb)))
        self._pub["camera/head/depth"].publish(to_msg(ImageSample(now, "32FC1", shot.depth)))

    def _on_command(self, command: JointCommand) -> None:
        self.commands.append((command, time.monotonic()))
        if self.level < Level.DANGER:
            self.plant.command(command)


def longest_gap_ms(commands: list[tuple[JointCommand, float]]) -> float:
    """Between the stamps of neighbouring commands."""
    stamps = [c.stamp_ns for c, _ in commands]
    return max(np.diff(stamps)) / MS if len(stamps) > 1 else 0.0
