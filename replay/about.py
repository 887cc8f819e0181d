"""What stands beside the messages of a recording: robot, model, version, and the parameters of the running nodes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from humanoid_core.robot_model import RobotModel

PACKAGE = "humanoid-twin"
#: Whose parameters belong to a recording.
NODES = ("sim_robot", "sensor_ingest", "twin_sync", "vla_policy", "safety_monitor", "command_gate")


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


class RunningParameters:
    """The same for a recorder that was there before the nodes: ``look`` now and then from a timer of ``node``;
    ``tell`` gets all that is known whenever a node has answered."""

    def __init__(self, node: Any, names: Iterable[str], tell: Callable[[str], None]) -> None:
        self._node, self._tell = node, tell
        self._awaited: dict[str, Any] = dict.fromkeys(names)
        self._found: dict[str, dict[str, Any]] = {}

    def look(self) -> None:
        """Ask the nodes that have come up."""
        from rclpy.parameter_client import AsyncParameterClient

        for name in sorted(self._awaited.keys() & set(self._node.get_node_names())):
            if self._awaited[name] is None:
                self._awaited[name] = AsyncParameterClient(self._node, name)
            elif self._awaited[name].services_are_ready():
                client = self._awaited.pop(name)
                client.list_parameters().add_done_callback(partial(self._listed, name, client))

    def _listed(self, name: str, client: Any, answer: Any) -> None:
        keys = list(answer.result().result.names)
        client.get_parameters(keys).add_done_callback(partial(self._got, name, keys))

    def _got(self, name: str, keys: list[str], answer: Any) -> None:
        from rclpy.parameter import parameter_value_to_python

        values = answer.result().values
        self._found[name] = {k: parameter_value_to_python(v) for k, v in zip(keys, values, strict=True)}
        self._tell(json.dumps(self._found, sort_keys=True, default=list))
