"""Set-points for a robot behind ros2_control: the last good command, held when none comes or nothing is seen.

Controllers of ros2_control go on with what they were told last, so holding is to stop where the set-point is. There is
no word for damping or crouching in them: a mode that they cannot do is held, and said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, Mode
from robot_nodes.core.command_check import indices, refusal_of

#: Set-points move at no more than this share of the robot file's command velocity, as behind the gate they do.
CATCH_UP = 1.5


@dataclass(frozen=True)
class FollowerConfig:
    """Times in ns; ``jump`` rad: how far a first set-point may lie from the measured pose."""

    command_timeout_ns: int = 45 * MS
    state_timeout_ns: int = 100 * MS
    jump: float = 0.3


class Follower:
    """``joints``: names in the controller's order, each one of ``upper_body``. ``step`` once per period."""

    def __init__(self, robot: RobotModel, joints: tuple[str, ...], config: FollowerConfig) -> None:
        self.robot, self.joints, self.config = robot, joints, config
        self.refused = Refusals()
        self.following, self.reason = False, "NO_COMMAND"
        self._own = np.array([robot.index(n) for n in joints], dtype=np.intp)
        self._allowed = frozenset(int(i) for i in self._own)
        self._measured = np.full(robot.n, np.nan)
        self._seen_ns: int | None = None
        self._goal: Array | None = None
        self._target = np.zeros(robot.n)
        self._command_ns: int | None = None
        self._last_ns: int | None = None

    def measured(self, names: tuple[str, ...], position: Array, now_ns: int) -> None:
        """What joint_states says; joints that are not ours are left out. It counts once all of ours are there."""
        for name, value in zip(names, position, strict=False):
            if name in self.joints and np.isfinite(value):
                self._measured[self.robot.index(name)] = value
        if np.all(np.isfinite(self._measured[self._own])):
            self._seen_ns = now_ns

    def step(self, now_ns: int, commands: list[JointCommand], mode: Mode) -> Array | None:
        """Set-points (k,) in the order of ``joints`` in rad, or None while the controller keeps what it has."""
        dt = 0.0 if self._last_ns is None else (now_ns - self._last_ns) / NS
        self._last_ns = now_ns
        blind = self._seen_ns is None or now_ns - self._seen_ns > self.config.state_timeout_ns
        refused = ""
        for command in commands:
            refused = self._take(command, now_ns, mode, blind) or refused
        silent = self._command_ns is None or now_ns - self._command_ns >= self.config.command_timeout_ns
        missing = ("NO_STATE" if blind else f"robot/mode {mode.name}" if mode is not Mode.RUN
                   else refused or "NO_COMMAND" if silent else "")
        if missing or self._goal is None:
            if self.following and self._goal is not None:
                self._goal[:] = self._target
            if blind:
                self._goal = None  # begin again from where the robot is
            self.following, self.reason = False, missing or "NO_COMMAND"
            return None
        most = CATCH_UP * self.robot.command_velocity * dt
        self._target += np.clip(self._goal - self._target, -most, most)
        self.following, self.reason = True, ""
        return self._target[self._own].copy()

    def _take(self, command: JointCommand, now_ns: int, mode: Mode, blind: bool) -> str:
        code, detail = refusal_of(command, self.robot, self._allowed)
        if not code and mode is not Mode.RUN:
            return ""
        if not code and blind:
            code, detail = "NO_STATE", "a command while joint_states is missing"
        if code:
            return self.refused.refuse(code, detail)
        index = indices(command, self.robot)
        if self._goal is None:
            far = np.abs(command.position - self._measured[index])
            if np.max(far) > self.config.jump:
                i = int(np.argmax(far))
                return self.refused.refuse("JUMP", f"{command.joint_names[i]} is {far[i]:.2f} rad away from the first "
                                                   "set-point")
            self._target = np.where(np.isfinite(self._measured), self._measured, 0.0)
            self._goal = self._target.copy()
        self._goal[index] = command.position
        self._command_ns = now_ns
        return ""
