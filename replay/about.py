"""What stands beside the messages of a recording: robot, model, version, and the parameters of the running nodes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from humanoid_core.robot_model import RobotModel

PACKAGE = "humanoid-twin"


def about(robot: RobotModel, **more: str) -> dict[str, str]:
    """Custom data of a recording. Values are text, as rosbag2 keeps it."""
    return {"robot": robot.name, "model_hash": robot.hash, "version": version(), "git": revision(),
            "robot_file": Path(robot.file).name, **more}


def version() -> str:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""


def revision() -> str:
    """Commit of the source tree this runs from, with '-dirty' when it was edited; '' on an install without one."""
    tree = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=12"],
                              capture_output=True, text=True, timeout=5.0)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def parameters_of(node: Any, names: Iterable[str], spin: Any, timeout: float = 2.0) -> str:
    """JSON of the parameters of running nodes, by node; who does not answer in time is left out.

    ``node``: an rclpy node; ``spin``: called to let it work until a future is done.
    """
    from rclpy.parameter import parameter_value_to_python
    from rclpy.parameter_client import AsyncParameterClient

    found: dict[str, dict[str, Any]] = {}
    for name in names:
        client = AsyncParameterClient(node, name)
        if not client.wait_for_services(timeout_sec=timeout):
            continue
        listed = spin(client.list_parameters(), timeout)
        if listed is None:
            continue
        keys = list(listed.result.names)
        got = spin(client.get_parameters(keys), timeout)
        if got is not None:
            found[name] = {k: parameter_value_to_python(v) for k, v in zip(keys, got.values, strict=True)}
    return json.dumps(found, sort_keys=True, default=list)
