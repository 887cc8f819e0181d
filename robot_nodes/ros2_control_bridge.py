"""ros2_control_bridge: robot/joint_command as set-points of a forward or joint-trajectory controller.

joint_states comes from joint_state_broadcaster as it is; sensor_ingest brings it into the robot file's order.
"""

from __future__ import annotations

from collections.abc import Mapping

from builtin_interfaces.msg import Duration
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from humanoid_core.reasons import Refusals
from humanoid_core.robot import RobotError, load_robot
from humanoid_core.robot_model import Array
from humanoid_core.robot_schema import nearest
from humanoid_core.timing import NS, Metronome
from humanoid_core.types import JointSample
from humanoid_ros.inbox import Inbox
from humanoid_ros.node import OK, WARN, HumanoidNode, run
from humanoid_ros.params import declare
from humanoid_ros.realtime import REAL_TIME
from robot_nodes.core.follower import Follower
from robot_nodes.gate_inbox import GateInbox
from robot_nodes.params import FORWARD, ControlParams


class Ros2ControlBridge(HumanoidNode):
    """Publishes std_msgs/Float64MultiArray or trajectory_msgs/JointTrajectory on the controller's topic."""

    def __init__(self) -> None:
        super().__init__("ros2_control_bridge")
        self.priority = REAL_TIME
        self.params = declare(self, ControlParams)

    def configure(self) -> None:
        """Build everything."""
        p = self.params
        robot = self.robot = load_robot(p.robot)
        joints = p.joints if any(p.joints) else tuple(robot.joint_names[i] for i in robot.groups["upper_body"])
        for name in joints:
            if name not in robot.joint_names or robot.index(name) not in robot.groups["upper_body"]:
                names = [robot.joint_names[i] for i in robot.groups["upper_body"]]
                raise RobotError(robot.file, "groups.upper_body", name, "the parameter 'joints' names it, the group "
                                 f"does not; {nearest(name, names)}".replace("key", "joint"))
        self.core = Follower(robot, joints, p.follower())
        self.refused = Refusals()
        self.sent = self.kept_back = 0
        kind = Float64MultiArray if p.controller == FORWARD else JointTrajectory
        self._out = self.create_publisher(kind, p.topic, 1)
        self._states = Inbox(self, "joint_states")
        self._gate = GateInbox(self, self.refused)
        self.steady_loop(p.rate, self._drive)
        self.diagnostics(self._report)
        if not p.actuate:
            self.get_logger().warning("dry run (actuate: false): nothing is sent to the controller")

    def _drive(self, now_ns: int, _loop: Metronome) -> None:
        for letter in self._states.take(now_ns):
            sample = letter.open()
            if isinstance(sample, JointSample):
                self.core.measured(sample.names, sample.position, letter.arrival_ns)
        commands, mode = self._gate.take(now_ns)
        out = self.core.step(now_ns, commands, mode)
        if out is None:
            return
        if not self.params.actuate:
            self.kept_back += 1
            return
        self.sent += 1
        self._out.publish(self._message(out))

    def _message(self, out: Array) -> Float64MultiArray | JointTrajectory:
        if self.params.controller == FORWARD:
            return Float64MultiArray(data=out.tolist())
        # one point, reached a little later than the next one comes: the controller interpolates without stopping
        ahead = round(self.params.lead * NS)
        point = JointTrajectoryPoint(positions=out.tolist(),
                                     time_from_start=Duration(sec=ahead // NS, nanosec=ahead % NS))
        return JointTrajectory(joint_names=list(self.core.joints), points=[point])

    def _report(self) -> tuple[int, str, Mapping[str, object]]:
        core = self.core
        text = "following" if core.following else f"holding {core.reason}"
        listeners = self._out.get_subscription_count()
        level = OK
        if not listeners:
            level, text = WARN, f"{text}: no controller listens on {self.params.topic}"
        if not self.params.actuate:
            level, text = WARN, f"dry run, {text}"
        refusals = {f"refused {k}": v for c in (self.refused, core.refused) for k, v in c.items()}
        return level, text, {"reason": core.reason, "sent": self.sent, "kept back (dry run)": self.kept_back,
                             "controllers": listeners, **refusals}


def main() -> int:
    return run(Ros2ControlBridge)
