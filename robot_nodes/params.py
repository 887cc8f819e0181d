"""Parameters of the bridges: the one home of their defaults, units and bounds."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS, nanoseconds
from humanoid_ros.params import param
from robot_nodes.core.actuation import ARM_SDK, LOWCMD, ActuationConfig
from robot_nodes.core.follower import FollowerConfig
from robot_nodes.core.intake import IntakeConfig
from robot_nodes.core.unitree_spec import UnitreeSpec, mode_machine_of


@dataclass(frozen=True)
class UnitreeParams:
    """Parameters of unitree_bridge."""

    robot: str = param("g1", "robot file: a name in config/robots, or a path")
    vendor: str = param("unitree", "vendor file: a name in config/bridges, or a path")
    interface: str = param("", "network interface to the robot, '' for the one that DDS chooses")
    dds_domain: int = param(0, "the robot's DDS domain (ROS has its own, ROS_DOMAIN_ID)", low=0, high=232)
    actuate: bool = param(True, "false: a dry run, everything but the last publication")
    control: str = param(ARM_SDK, "arm_sdk: the onboard controller balances; lowcmd: every motor is ours (gantry)",
                         choices=(ARM_SDK, LOWCMD))
    rate: float = param(100.0, "frames to the robot", "Hz", low=20.0, high=500.0)
    engage_time: float = param(1.0, "from the onboard controller's posture to ours", "s", low=0.1, high=30.0)
    release_time: float = param(3.0, "and back", "s", low=0.1, high=30.0)
    command_timeout: float = param(0.045, "silence of robot/joint_command before the pose is held", "s", low=0.01,
                                   high=1.0)
    hold_time: float = param(5.0, "further silence before the pose is let go", "s", low=0.0, high=3600.0)
    state_timeout: float = param(0.04, "silence of lowstate before nothing new is done", "s", low=0.005, high=1.0)
    lost_time: float = param(1.0, "further silence of lowstate before the pose is let go", "s", low=0.0, high=60.0)
    lag: float = param(0.04, "extra way of lowstate beyond which it is stale", "s", low=0.005, high=1.0)
    jump: float = param(0.3, "largest distance of the first set-point from the measured pose", "rad", low=0.01,
                        high=1.0)
    check_onboard: bool = param(True, "ask the onboard controller for its state before commanding it")
    release_onboard: bool = param(False, "lowcmd: release the vendor's motion service")

    def actuation(self, spec: UnitreeSpec) -> ActuationConfig:
        """What the core takes of it."""
        return ActuationConfig(
            self.control, spec.weight_motor, nanoseconds(self.engage_time), nanoseconds(self.release_time),
            nanoseconds(self.command_timeout), nanoseconds(self.hold_time), nanoseconds(self.state_timeout),
            nanoseconds(self.lost_time), self.jump)

    def intake(self, spec: UnitreeSpec, robot: RobotModel) -> IntakeConfig:
        """The rates are the robot file's; raises BridgeError for a robot without a variant number."""
        return IntakeConfig(mode_machine_of(robot), spec.tick, nanoseconds(self.lag), period_ns(robot, "joint_states"),
                            period_ns(robot, "motor_status"))


def period_ns(robot: RobotModel, topic: str) -> int:
    """Nominal time between two samples of a source; 10 ms for one that the robot file does not name."""
    source = robot.sources.get(topic)
    return round(1e9 / source.rate) if source is not None else 10 * MS


FORWARD, TRAJECTORY = "forward", "trajectory"


@dataclass(frozen=True)
class ControlParams:
    """Parameters of ros2_control_bridge."""

    robot: str = param("g1", "robot file: a name in config/robots, or a path")
    controller: str = param(FORWARD, "forward: position_controllers/JointGroupPositionController; trajectory: "
                                     "joint_trajectory_controller", choices=(FORWARD, TRAJECTORY))
    topic: str = param("position_controller/commands", "the controller's topic (trajectory: .../joint_trajectory)")
    joints: tuple[str, ...] = param(("",), "names in the controller's order; one empty name: the group upper_body")
    actuate: bool = param(True, "false: a dry run, everything but the last publication")
    rate: float = param(100.0, "set-points a second", "Hz", low=20.0, high=500.0)
    lead: float = param(0.03, "trajectory: time from a set-point's publication to when it shall be reached", "s",
                        low=0.005, high=1.0)
    command_timeout: float = param(0.045, "silence of robot/joint_command before the pose is held", "s", low=0.01,
                                   high=1.0)
    state_timeout: float = param(0.1, "silence of joint_states before the pose is held", "s", low=0.01, high=1.0)
    jump: float = param(0.3, "largest distance of the first set-point from the measured pose", "rad", low=0.01,
                        high=1.0)

    def follower(self) -> FollowerConfig:
        """What the core takes of it."""
        return FollowerConfig(nanoseconds(self.command_timeout), nanoseconds(self.state_timeout), self.jump)
