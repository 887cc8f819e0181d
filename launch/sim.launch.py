"""The simulated robot: bringup.launch.py with backend:=mujoco and the same other arguments."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

BACKEND = "mujoco"


def generate_launch_description():
    bringup = PythonLaunchDescriptionSource(str(Path(__file__).parent / "bringup.launch.py"))
    return LaunchDescription([IncludeLaunchDescription(bringup, launch_arguments={"backend": BACKEND}.items())])
