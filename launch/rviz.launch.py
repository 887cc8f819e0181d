"""A running graph in rviz2, here or on another computer: ros2 launch humanoid_twin rviz.launch.py robot:=g1

Two robot_state_publishers: the robot from `joint_states`, the twin's from `twin/joint_states` under the frame prefix
`twin/`. Where both stand, and what is drawn over them, comes from scene_markers (markers:=true in the graph).
"""

import tempfile
from pathlib import Path

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from humanoid_core.robot import load_robot
from humanoid_core.urdf import urdf

ARGUMENTS = (
    ("robot", "g1", "robot file: a name in config/robots, or a path"),
    ("namespace", "", "the robot's namespace"),
)
CONFIG = Path(__file__).parent.parent / "config"
#: Package -> what is missing without it.
NEEDED = {"robot_state_publisher": "the frames of the links", "rviz2": "the window"}
TWIN = "twin"


def _is_there(package):
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def _window(prefix):
    """The rviz2 configuration; a robot in a namespace has its frames under it."""
    path = CONFIG / "rviz" / "humanoid_twin.rviz"
    if not prefix:
        return str(path)
    whole = yaml.safe_load(path.read_text())
    for display in whole["Visualization Manager"]["Displays"]:
        if "TF Prefix" in display:
            display["TF Prefix"] = f"{prefix}{display['TF Prefix']}".rstrip("/")
    with tempfile.NamedTemporaryFile("w", suffix=".rviz", delete=False) as file:
        yaml.safe_dump(whole, file)
    return file.name


def _nodes(context):
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    missing = [f"{package} ({what})" for package, what in NEEDED.items() if not _is_there(package)]
    if missing:
        raise RuntimeError(f"not installed: {', '.join(missing)}; the way out: sudo apt-get install "
                           + " ".join(f"ros-$ROS_DISTRO-{package.replace('_', '-')}" for package in NEEDED))
    namespace = given["namespace"].strip("/")
    prefix = f"{namespace}/" if namespace else ""
    description = urdf(load_robot(given["robot"]))
    actions = [Node(package="robot_state_publisher", executable="robot_state_publisher", namespace=space,
                    name="robot_state_publisher", output="screen",
                    parameters=[{"robot_description": description, "frame_prefix": frame}])
               for space, frame in ((namespace, prefix), (f"{prefix}{TWIN}", f"{prefix}{TWIN}/"))]
    actions.append(Node(package="rviz2", executable="rviz2", name="rviz2", namespace=namespace, output="screen",
                        arguments=["-d", _window(prefix)]))
    if _is_there("diagnostic_aggregator"):
        actions.append(Node(package="diagnostic_aggregator", executable="aggregator_node", name="aggregator",
                            namespace=namespace, output="screen",
                            parameters=[str(CONFIG / "diagnostics" / "aggregator.yaml")],
                            remappings=[("/diagnostics", "diagnostics"), ("/diagnostics_agg", "diagnostics_agg"),
                                        ("/diagnostics_toplevel_state", "diagnostics_toplevel_state")]))
    else:
        actions.append(LogInfo(msg="diagnostic_aggregator is not installed: rqt_robot_monitor would show no tree"))
    return actions


def generate_launch_description():
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=_nodes)])
