"""What the sim_robot process costs and how its messages arrive, with commands at 100 Hz.

python test/bench/bench_sim_robot.py [--seconds 20] [--no-camera] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
import rclpy
from humanoid_twin.msg import JointCommand, RobotMode
from rclpy.node import Node

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS
from humanoid_ros.qos import message_type, profile

ROBOT = load_robot("g1")
TIMED = ("joint_states", "imu/pelvis", "camera/head/image_raw", "camera/head/depth", "sim/truth")
Seen = dict[str, list[tuple[int, int]]]  # topic -> (stamp, arrival) ns


def listen(seconds: float) -> tuple[Seen, list[float]]:
    """Command the rest posture and note stamps and arrivals; also the real time factors told."""
    node = Node("bench")
    seen: Seen = defaultdict(list)
    factors: list[float] = []

    def note(name: str, message: Any) -> None:
        stamp = message.header.stamp
        seen[name].append((stamp.sec * NS + stamp.nanosec, time.time_ns()))
        if name == "sim/truth":
            factors.append(message.real_time_factor)

    for name in TIMED:
        node.create_subscription(message_type(TOPICS[name].type), name, lambda m, n=name: note(n, m),
                                 profile(TOPICS[name]))
    commands, modes = (node.create_publisher(kind, name, profile(TOPICS[name])) for kind, name in
                       ((JointCommand, "robot/joint_command"), (RobotMode, "robot/mode")))
    upper = ROBOT.groups["upper_body"]
    command = JointCommand(joint_names=[ROBOT.joint_names[i] for i in upper], position=ROBOT.rest[list(upper)].tolist())
    node.create_timer(0.01, lambda: commands.publish(command))
    node.create_timer(0.1, lambda: modes.publish(RobotMode(mode=RobotMode.RUN)))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    return seen, factors


def figures(seen: Seen, factors: list[float], cpu: float, seconds: float) -> dict[str, Any]:
    found = {"sim_cpu": {"value": round(cpu / 100.0, 3), "unit": "cores", "aim": 0.3, "n": round(seconds)},
             "sim_real_time_factor": {"value": round(statistics.mean(factors), 4), "unit": "1", "aim": 1.0,
                                      "n": len(factors)}}
    for name, rows in seen.items():
        key = name.replace("/", "_")
        rate = (len(rows) - 1) * NS / (rows[-1][0] - rows[0][0])
        ages = sorted((arrival - stamp) / 1e6 for stamp, arrival in rows)
        found[f"rate_{key}"] = {"value": round(rate, 2), "unit": "Hz", "aim": TOPICS[name].rate_hz, "n": len(rows)}
        for share in (50, 99):
            value = ages[min(len(ages) * share // 100, len(ages) - 1)]
            found[f"age_{key}_p{share}"] = {"value": round(value, 2), "unit": "ms", "aim": None, "n": len(ages)}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--no-camera", action="store_true")
    parser.add_argument("--domain", type=int, default=19, help="ROS_DOMAIN_ID")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.update(ROS_DOMAIN_ID=str(arguments.domain), OMP_NUM_THREADS="1")
    room = Path(__file__).resolve().parents[2] / "config" / "middleware" / "fastdds.xml"  # as in the graph
    os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(room))
    executable = Path(sys.prefix) / "lib" / "humanoid_twin" / "sim_robot"
    camera = str(not arguments.no_camera).lower()
    robot = subprocess.Popen([str(executable), "--ros-args", "-p", f"camera:={camera}"], start_new_session=True)
    rclpy.init()
    try:
        listen(3.0)  # start-up is not what is measured
        process = psutil.Process(robot.pid)
        process.cpu_percent()
        seen, factors = listen(arguments.seconds)
        found = figures(seen, factors, process.cpu_percent(), arguments.seconds)
    finally:
        os.killpg(robot.pid, signal.SIGINT)
        robot.wait(10)
        rclpy.try_shutdown()
    for name, figure in found.items():
        aim = "" if figure["aim"] is None else f"  aim {figure['aim']:g}"
        print(f"{name:36} {figure['value']:10} {figure['unit']:6} n {figure['n']}{aim}")
    if arguments.json:
        machine = {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
        arguments.json.write_text(json.dumps({"machine": machine, "figures": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
