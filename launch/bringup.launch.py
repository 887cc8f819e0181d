"""The whole suite on one backend: ros2 launch humanoid_twin bringup.launch.py robot:=g1 backend:=mujoco

The nodes come from config/graphs/<graph>.yaml, which `humanoid-twin up` reads as well. They are brought up in the
graph's order and come to rest in reverse, here as there (humanoid_ros/bringup.py).
"""

import os
import signal
from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit, OnProcessStart, OnShutdown
from launch.events import Shutdown, matches_action
from launch.events.process import SignalProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from humanoid_core.graph import known_graphs, load_graph, parse_setting
from humanoid_core.robot import load_robot
from humanoid_ros.bringup import ACTIVE, Bringup
from vla_nodes.core.contract import policy_settings

#: s for all nodes together to come to rest, before they are told to end.
REST = 1.5
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
#: backend -> graph
BACKENDS = {"mujoco": "sim", "gazebo": "gazebo", "real": "real", "bag": "bag"}

ARGUMENTS = (
    ("robot", "g1", "robot file: a name in config/robots, or a path"),
    ("backend", "mujoco", "mujoco, gazebo, real or bag"),
    ("environment", "graph", "what stands around: a name in config/environments or a path, '' for nothing; graph: what "
     "the backend's graph says, the simulated table or nothing"),
    ("policy", "classical", "classical, or a policy contract: a name in config/policies, or a path"),
    ("seed", "7", "places the simulated objects and seeds the noise"),
    ("bag", "", "with backend:=bag: the recording to play, '' when something else plays one"),
    ("driver", "unitree", "with backend:=real: unitree, ros2_control, or none: something else"),
    ("interface", "", "with backend:=real: network interface to the robot, '' for the one that DDS chooses"),
    ("actuate", "true", "with backend:=real: false is a dry run, everything but the last publication"),
    ("record", "", "folder of a recording of everything, '' for none"),
    ("markers", "false", "drawings for rviz2: plan, balance, distances, level"),
    ("rviz", "false", "rviz2 with robot, twin and drawings, and diagnostics as a tree (rviz.launch.py)"),
    ("dashboard", "0", "port of the live page, 0 for none"),
    ("metrics", "0", "port of the Prometheus endpoint, 0 for none"),
    ("namespace", "", "puts every node and topic under this name"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("set", "", "parameters: 'node.key=value node.key=value'"),
)


def node_actions(graph, namespace="", log_level="info"):
    """One launch_ros Node for each node of the graph, in start order."""
    actions = []
    for node in graph.nodes:
        respawn = node.respawn
        parameters = [str(node.parameter_file)] if node.parameter_file else []
        parameters += [dict(node.parameters)] if node.parameters else []
        parameters += [{"autostart": False}] if node.managed else []
        actions.append(Node(
            package="humanoid_twin",
            executable=node.executable,
            name=node.name,
            exec_name=node.name,
            namespace=namespace,
            parameters=parameters,
            remappings=list(node.remap.items()),
            additional_env={k: v for k, v in node.environment.items() if k not in os.environ},
            ros_arguments=["--log-level", log_level],
            prefix=f"nice -n {node.nice}" if node.nice else None,
            output="screen",
            emulate_tty=True,
            # launch waits equally long each time; `humanoid-twin up` waits longer each time.
            respawn=respawn is not None,
            respawn_delay=respawn.delay if respawn else 0.0,
            respawn_max_retries=respawn.limit if respawn else -1,
            on_exit=_end_all(node.name) if node.required and respawn is None else None,
        ))
    return actions


def lifecycle_actions(graph, namespace, nodes, context):
    """What brings the nodes (launch_ros Nodes in the graph's order) up when their processes start, and down."""
    required = {node.name for node in graph.nodes if node.required}

    def tell(name, text):  # in the bring-up's thread
        words = f"{name} is active" if text == ACTIVE else f"{name} refused to be configured"
        actions = [LogInfo(msg=words)]
        if text != ACTIVE and name in required:
            actions += [LogInfo(msg="it is required, so everything ends"), EmitEvent(event=Shutdown(reason=words))]
        context.asyncio_loop.call_soon_threadsafe(lambda: [action.visit(context) for action in actions])

    made = []  # of a launch description that is only looked at, nothing

    def begin(name):
        if not made:
            made.append(Bringup(graph, namespace, tell))
        made[0].begin(name)

    def ended(name):
        made[0].ended(name)

    def down(_event, _context):
        """Also says Ctrl-C to each, which launch leaves to the terminal."""
        for bringup in made:
            for name in bringup.down(REST):
                print(f"{name} did not come to rest in its turn")
            bringup.close()
        return [EmitEvent(event=SignalProcess(signal_number=signal.SIGINT, process_matcher=matches_action(node)))
                for node in reversed(nodes)]

    actions = []
    for spec, node in zip(graph.nodes, nodes, strict=True):
        actions += [
            RegisterEventHandler(OnProcessStart(target_action=node, on_start=_say(begin, spec.name))),
            RegisterEventHandler(OnProcessExit(target_action=node, on_exit=_say(ended, spec.name)))]
    return [*actions, RegisterEventHandler(OnShutdown(on_shutdown=down))]


def _say(function, name):
    return lambda _event, _context: function(name)


def _end_all(name):
    """What ends with a required node that is not started again: everything."""

    def on_exit(_event, context):
        if context.is_shutdown:
            return None
        return [LogInfo(msg=f"{name} has ended; it is required, so everything ends"),
                EmitEvent(event=Shutdown(reason=f"{name} has ended"))]

    return on_exit


def _truth(given, name):
    if given[name] not in ("true", "false"):
        raise RuntimeError(f"{name}:={given[name]}: must be true or false")
    return given[name] == "true"


def _nodes(context):
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    backend = given["backend"]
    name = BACKENDS.get(backend)
    if name is None or name not in known_graphs():
        there = [b for b, g in BACKENDS.items() if g in known_graphs()]
        raise RuntimeError(f"backend:={backend}: there is no such graph here; backends: {', '.join(there)}")
    taken = load_graph(name).arguments
    values = {"robot": given["robot"], "seed": int(given["seed"]), "record": given["record"],
              "bag": given["bag"], "metrics": int(given["metrics"]), "dashboard": int(given["dashboard"])}
    values |= {"driver": given["driver"], "interface": given["interface"], "actuate": _truth(given, "actuate")}
    values |= {"environment": given["environment"]} if given["environment"] != "graph" else {}
    rviz = _truth(given, "rviz")
    values["markers"] = rviz or _truth(given, "markers")
    if given["log_level"] not in LOG_LEVELS:
        raise RuntimeError(f"log_level:={given['log_level']}: must be one of {', '.join(LOG_LEVELS)}")
    settings = [*policy_settings(given["policy"], load_robot(given["robot"])), *given["set"].split()]
    graph = load_graph(name, {k: v for k, v in values.items() if k in taken}, [parse_setting(s) for s in settings])
    nodes = node_actions(graph, given["namespace"], given["log_level"])
    return [*lifecycle_actions(graph, given["namespace"], nodes, context), *nodes, *(_rviz(given) if rviz else [])]


def _rviz(given):
    """What shows the graph, from the launch file beside this one."""
    source = PythonLaunchDescriptionSource(str(Path(__file__).parent / "rviz.launch.py"))
    arguments = {"robot": given["robot"], "namespace": given["namespace"]}
    return [IncludeLaunchDescription(source, launch_arguments=arguments.items())]


def generate_launch_description():
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=_nodes)])
