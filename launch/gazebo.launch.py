"""Gazebo with the robot in it, and the suite: bringup.launch.py with backend:=gazebo and the same other arguments.

World, robot and controllers are written from the robot file and the environment file into a folder of their own.
Everything runs on simulated time.
"""

import tempfile
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from humanoid_core.environment import load_environment
from humanoid_core.gazebo import BROADCASTER, POSITION, write_files
from humanoid_core.robot import load_robot, robot_folders

BACKEND = "gazebo"
USE_SIM_TIME = {"use_sim_time": True}

ARGUMENTS = (
    ("robot", "g1", "robot file: a name in config/robots, or a path"),
    ("environment", "table", "what stands around: a name in config/environments, '' for nothing"),
    ("gantry", "true", "the robot hangs where it stands: Gazebo has no onboard controller that balances"),
    ("gui", "true", "show Gazebo's window"),
)


def bridge_file():
    """config/bridges/gazebo.yaml of this install."""
    found = [f.parent / "bridges" / "gazebo.yaml" for f in robot_folders()]
    return next(path for path in found if path.is_file())


def _gazebo(context):
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    for name in ("gantry", "gui"):
        if given[name] not in ("true", "false"):
            raise RuntimeError(f"{name}:={given[name]}: must be true or false")
    folder = Path(tempfile.mkdtemp(prefix="humanoid_twin_gazebo_"))
    robot = load_robot(given["robot"])
    world, text = write_files(folder, robot, load_environment(given["environment"]), given["gantry"] == "true")
    start = PathJoinSubstitution([FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"])
    flags = f"-r {world}" if given["gui"] == "true" else f"-r -s --headless-rendering {world}"
    nodes = [
        Node(package="robot_state_publisher", executable="robot_state_publisher", output="screen",
             parameters=[{"robot_description": text, **USE_SIM_TIME}]),
        Node(package="ros_gz_sim", executable="create", output="screen", parameters=[USE_SIM_TIME],
             arguments=["-topic", "robot_description", "-name", robot.name]),
        Node(package="ros_gz_bridge", executable="parameter_bridge", output="screen",
             parameters=[{"config_file": str(bridge_file()), **USE_SIM_TIME}]),
        Node(package="controller_manager", executable="spawner", output="screen", parameters=[USE_SIM_TIME],
             arguments=[BROADCASTER, POSITION]),
    ]
    return [IncludeLaunchDescription(PythonLaunchDescriptionSource(start), launch_arguments={
        "gz_args": flags, "on_exit_shutdown": "true"}.items()), *nodes]


def generate_launch_description():
    declared = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    bringup = PythonLaunchDescriptionSource(str(Path(__file__).parent / "bringup.launch.py"))
    return LaunchDescription([*declared, OpaqueFunction(function=_gazebo),
                              IncludeLaunchDescription(bringup, launch_arguments={"backend": BACKEND}.items())])
