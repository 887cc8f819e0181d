"""The graphs on which rows of the fault matrix are played: the simulated robot with what a row needs, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from humanoid_core.graph import Graph, NodeSpec, load_graph

#: The vla_policy and the camera cost most of a processor; where a row does not ask for them, `inject` swings an arm.
PLAIN = (("sim_robot", "camera", False), ("sensor_ingest", "watch_camera", False))
#: Plays on simulated time, which the robot itself publishes and which begins anew with it.
CLOCKED = ("sensor_ingest", "twin_sync", "safety_monitor", "command_gate")


def make_graph(kind: str, robot: str | None = None, seed: int = 1) -> Graph:
    """``kind``: arms, table (with things on it), whole (with camera and policy), deaf (no joint sensor), clock."""
    arguments: dict[str, str | int] = {"seed": seed, **({"robot": robot} if robot else {})}
    if kind == "whole":
        return load_graph("sim", arguments)
    if kind == "table":
        graph = load_graph("sim", arguments, PLAIN)
    else:  # nothing stands around, and nobody looks for it
        graph = load_graph("sim", {**arguments, "environment": ""}, (*PLAIN, ("sim_robot", "objects", "")))
    nodes = [node for node in graph.nodes if node.name in ("sim_robot", *CLOCKED)]
    if kind == "deaf":
        nodes = [_changed(n, remap={"joint_states": "nobody/joint_states"}) if n.name == "sensor_ingest" else n
                 for n in nodes]
    if kind == "clock":
        respawn = next(n.respawn for n in nodes if n.respawn is not None)
        nodes = [replace(_changed(n, {"publish_clock": True}), respawn=respawn) if n.name == "sim_robot"
                 else _changed(n, {"use_sim_time": True}) for n in nodes]
    return replace(graph, name=f"{graph.name}, {kind}", nodes=tuple(nodes))


def _changed(node: NodeSpec, parameters: Mapping[str, bool] | None = None,
             remap: Mapping[str, str] | None = None) -> NodeSpec:
    return replace(node, parameters={**node.parameters, **(parameters or {})}, remap={**node.remap, **(remap or {})})
