"""A recording that is begun before the graph still says which parameters its nodes had."""

from __future__ import annotations

import json
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor

from humanoid_replay.about import RunningParameters
from humanoid_ros.watcher import own_context


def test_parameters_of_nodes_that_come_up_later_are_gathered(domain: int) -> None:
    context, told = own_context(domain), list[dict[str, dict[str, object]]]()
    executor = SingleThreadedExecutor(context=context)
    recorder = rclpy.create_node("recorder", context=context)
    executor.add_node(recorder)
    gathered = RunningParameters(recorder, ("sim_robot", "absent"), lambda text: told.append(json.loads(text)))

    def until(condition: bool, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (condition and told):
            gathered.look()
            executor.spin_once(timeout_sec=0.05)

    try:
        until(False, 0.2)
        assert not told
        robot = rclpy.create_node("sim_robot", context=context)
        robot.declare_parameter("seed", 7)
        executor.add_node(robot)
        until(True, 20.0)
        assert told[-1]["sim_robot"]["seed"] == 7
        until(False, 0.2)
        assert len(told) == 1, "each node is asked once"
        robot.destroy_node()
    finally:
        executor.shutdown()
        recorder.destroy_node()
        rclpy.shutdown(context=context)
