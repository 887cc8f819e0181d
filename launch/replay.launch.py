"""A recording played with 'ros2 bag play --clock': bringup.launch.py with backend:=bag and the same other arguments."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

BACKEND = "bag"


def generate_launch_description():
    bringup = PythonLaunchDescriptionSource(str(Path(__file__).parent / "bringup.launch.py"))
    return LaunchDescription([IncludeLaunchDescription(bringup, launch_arguments={"backend": BACKEND}.items())])
