"""A real robot: bringup.launch.py with backend:=real and the same other arguments; see docs/real-robot.md.

driver:=unitree speaks DDS to a Unitree G1, driver:=ros2_control to the controllers of any robot, driver:=none to none.
actuate:=false is a dry run.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

BACKEND = "real"


def generate_launch_description():
    bringup = PythonLaunchDescriptionSource(str(Path(__file__).parent / "bringup.launch.py"))
    return LaunchDescription([IncludeLaunchDescription(bringup, launch_arguments={"backend": BACKEND}.items())])
