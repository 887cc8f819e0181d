"""One Unitree robot: frames in, samples out; commands in, frames out. Puts intake, actuation and onboard together.

``hear`` runs in the thread that waits for frames, ``step`` in the one that sends; what passes between them is one
immutable ``Seen``.
"""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_core.robot_model import RobotModel
from humanoid_core.types import EMPTY, JointCommand, Mode
from robot_nodes.core.actuation import Actuation, ActuationConfig, Seen, addressed
from robot_nodes.core.frames import Record
from robot_nodes.core.intake import Intake, IntakeConfig, Taken
from robot_nodes.core.onboard import Answer, Onboard, Request

#: Frames of another variant that come before anything else was accepted: the configuration is wrong, not the network.
SURE = 5


@dataclass(frozen=True)
class Out:
    """What a period brings. ``frame`` is None, or to be sent; in a dry run it is made all the same."""

    frame: Record | None
    requests: list[Request]


class Bridge:
    """``actuate`` False: everything but the last publication."""

    def __init__(self, robot: RobotModel, intake: IntakeConfig, actuation: ActuationConfig, onboard: Onboard,
                 actuate: bool) -> None:
        self.robot, self.actuate = robot, actuate
        self.intake = Intake(robot, intake)
        self.actuation = Actuation(robot, actuation)
        self.onboard = onboard
        self.sent = self.kept_back = 0
        self._seen = Seen(EMPTY, 0)
        self.why_not = ""

    def hear(self, frame: Record, arrival_ns: int, mono_ns: int) -> Taken:
        """One LOW_STATE record; arrival by the ROS clock and by the monotonic one."""
        taken = self.intake.take(frame, arrival_ns)
        if not taken.reason:
            self._seen = Seen(taken.position, mono_ns, self.intake.restarts)
        return taken

    @property
    def wrong_robot(self) -> int | None:
        """The variant that stands there instead of the robot file's, once that is sure; None otherwise."""
        intake = self.intake
        return intake.mode_machine if intake.accepted == 0 and intake.refused["WRONG_ROBOT"] >= SURE else None

    def step(self, now_ns: int, commands: list[JointCommand], mode: Mode, answers: list[Answer]) -> Out:
        """One period, at monotonic ``now_ns``."""
        requests = self.onboard.step(now_ns, mode, answers)
        self.why_not = self.onboard.why_not(now_ns)
        seen = self._seen
        frame = self.actuation.step(now_ns, commands, mode,
                                    Seen(seen.position, seen.arrival_ns, seen.restarts, self.why_not))
        if frame is not None:
            frame = addressed(frame, self.intake.config.mode_machine)
        if not self.actuate:
            self.kept_back += (frame is not None) + sum(r.acts for r in requests)
            return Out(None, [r for r in requests if not r.acts])
        self.sent += frame is not None
        return Out(frame, requests)
