"""The launch files and `humanoid-twin up` start the same nodes with the same parameters.

The launch files are read without `launch`; where the real `launch_ros` is installed they are also executed.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from humanoid_core.graph import known_graphs, load_graph

LAUNCH = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def constant(path: Path, name: str) -> Any:
    """The value that a module assigns to `name`."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path.name} assigns no {name}")


def test_every_launch_file_of_the_design_is_there() -> None:
    there = {p.name.removesuffix(".launch.py") for p in FILES}
    assert {"bringup", "sim", "robot", "replay", "gazebo"} <= there


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_launch_file_has_its_entry_and_names_no_executable_itself(path: Path) -> None:
    functions = {n.name for n in tree(path).body if isinstance(n, ast.FunctionDef)}
    assert "generate_launch_description" in functions
    texts = {n.value for n in ast.walk(tree(path)) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    executables = {n.executable for g in known_graphs() for n in load_graph(g).nodes}
    assert not texts & executables, "nodes are listed in config/graphs only"


def test_every_backend_that_a_launch_file_fixes_is_one_of_bringup() -> None:
    backends = constant(LAUNCH / "bringup.launch.py", "BACKENDS")
    assert set(known_graphs()) <= set(backends.values())
    for path in FILES:
        if path.name not in ("bringup.launch.py", "rviz.launch.py"):
            assert backends[constant(path, "BACKEND")] in known_graphs()


def test_bringup_takes_the_arguments_of_the_design() -> None:
    names = [name for name, _, _ in constant(LAUNCH / "bringup.launch.py", "ARGUMENTS")]
    assert {"robot", "backend", "policy", "namespace", "log_level", "record", "rviz", "dashboard", "markers",
            "metrics"} <= set(names)


def _launch_ros_is_there() -> bool:
    spec = importlib.util.find_spec("launch_ros")
    return spec is not None and spec.origin is not None


needs_launch = pytest.mark.skipif(not _launch_ros_is_there(), reason="launch_ros is not installed (it is no wheel)")


def expand(file: str, **arguments: str) -> list[Any]:
    """All launch_ros Nodes that a launch file comes to."""
    from launch import LaunchContext
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    from launch_ros.actions import Node

    context = LaunchContext()
    todo: list[Any] = [IncludeLaunchDescription(PythonLaunchDescriptionSource(str(LAUNCH / file)),
                                                launch_arguments=arguments.items())]
    nodes = []
    while todo:
        entity = todo.pop(0)
        if isinstance(entity, Node):
            nodes.append(entity)
            continue
        todo = [*(entity.visit(context) or []), *todo]
    for node in nodes:
        node._perform_substitutions(context)
    return nodes


@needs_launch
@pytest.mark.parametrize("backend", ["mujoco", "real", "bag"])
def test_launch_ros_makes_the_graphs_nodes(backend: str) -> None:
    graph = load_graph(constant(LAUNCH / "bringup.launch.py", "BACKENDS")[backend])
    nodes = expand("bringup.launch.py", backend=backend, namespace="left")
    assert [n.node_name for n in nodes] == [f"/left/{n.name}" for n in graph.nodes]
    assert [n.node_executable for n in nodes] == [n.executable for n in graph.nodes]


@needs_launch
def test_sim_launch_takes_seed_robot_and_settings() -> None:
    nodes = {n.node_executable: n for n in expand("sim.launch.py", seed="11", set="command_gate.rate=50.0")}
    assert _parameters(nodes["sim_robot"])["seed"] == 11
    assert _parameters(nodes["command_gate"])["rate"] == 50.0


def _parameters(node: Any) -> dict[str, Any]:
    """What launch_ros wrote into the node's parameter files."""
    import yaml

    merged: dict[str, Any] = {}
    for path, _ in node._Node__expanded_parameter_arguments:
        for block in yaml.safe_load(Path(path).read_text()).values():
            merged.update(block["ros__parameters"])
    return merged


@needs_launch
def test_policy_and_log_level_reach_the_nodes() -> None:
    nodes = {n.node_executable: n for n in expand("bringup.launch.py", policy="g1_small", log_level="warn")}
    assert _parameters(nodes["vla_policy"])["backend"] == "hf"
    assert all("warn" in [s.text for word in node.cmd for s in word if hasattr(s, "text")] for node in nodes.values())
    with pytest.raises(Exception, match="log_level:=loud: must be one of debug"):
        expand("bringup.launch.py", log_level="loud")


@needs_launch
def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Exception, match="mujoco"):
        expand("bringup.launch.py", backend="mujoko")
