"""What was asked of the drives, and from when on: commands by the time at which they take effect.

A drive obeys its encoder. One that reports ``offset`` more than is true and is told to go to p brings its joint to
p - offset: that is the ``goal`` of a command, and everybody who asks where a joint is to be takes it from there. One
whose torque is ``scale`` times what it believes gives so much of what it is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS
from humanoid_core.types import JointCommand

#: A command that is older than this drives nothing any more: the robot has fallen back on its own.
TIMEOUT_NS = 100 * MS


@dataclass(frozen=True)
class Drive:
    """Set-points (n,) from ``start_ns`` on. Where ``on`` is False nobody asked for anything, ``position`` is NaN.

    ``position``: as commanded, by the encoder; ``goal``: the same as the joint's true position, rad.

    torque = kp (goal - q) + kd (velocity - v) + effort (+ what the drive itself adds)

    ``law``: kp, kd and effort as commanded.
    """

    start_ns: int
    on: NDArray[np.bool_]
    position: Array
    goal: Array
    velocity: Array
    effort: Array
    kp: Array
    kd: Array
    law: tuple[Array, Array, Array]
    gains: object = None
    """The same object in drives that differ in their set-points only."""


class Drives:
    """Commands in the order of their effect; the set-points of joints that a command does not name stay."""

    def __init__(self, robot: RobotModel, horizon_ns: int) -> None:
        self.robot, self.horizon_ns = robot, horizon_ns
        n = robot.n
        self._offset, self._scale = np.zeros(n), np.ones(n)
        #: Of names that were found right: the gate gives the same ones each time.
        self._known: tuple[tuple[str, ...], NDArray[np.intp]] = ((), np.zeros(0, dtype=np.intp))
        zero, nan = np.zeros(n), np.full(n, np.nan)
        self.none = Drive(0, np.zeros(n, dtype=bool), nan, nan, zero, zero, zero, zero, (zero, zero, zero))
        self.clear()

    def clear(self) -> None:
        self._starts: list[tuple[int, int]] = []
        self._commands: list[JointCommand] = []
        self._drives: list[Drive] = []
        self._trimmed = False

    def believe(self, offset: Array, scale: Array) -> None:
        """The encoders are off by this, (n,) rad, and the torques by this factor, (n,): of the commands kept and of
        those that come."""
        if offset is not self._offset or scale is not self._scale:
            self._offset, self._scale = offset, scale
            self._drives = [self._believed(drive) for drive in self._drives]

    def problem(self, command: JointCommand) -> tuple[str, str]:
        """(reason code, what is wrong) of a command that cannot be used, else ('', '')."""
        names = command.joint_names
        if names != self._known[0] or not names:
            unknown = [name for name in names if name not in self.robot.joint_names]
            if unknown or not names or len(set(names)) != len(names):
                return "WRONG_NAMES", f"unknown: {', '.join(unknown[:4])}" if unknown else "none, or one given twice"
            self._known = names, np.array([self.robot.index(name) for name in names], dtype=np.intp)
        for field in ("position", "velocity", "effort", "kp", "kd"):
            values = np.asarray(getattr(command, field))
            if len(values) != len(names) and (len(values) or field == "position"):
                return "WRONG_LENGTH", f"{field} has {len(values)} values for {len(names)} names"
            if not bool(np.isfinite(values).all()):
                return "NON_FINITE", field
        return "", ""

    def add(self, command: JointCommand, start_ns: int) -> str:
        """Take a command without a ``problem`` that takes effect at ``start_ns``; TOO_LATE: older than all kept."""
        key = (start_ns, command.seq)
        at = bisect_right(self._starts, key)
        if at == 0 and self._trimmed:
            return "TOO_LATE"
        self._starts.insert(at, key)
        self._commands.insert(at, command)
        del self._drives[at:]
        for k in range(at, len(self._commands)):
            before = self._drives[k - 1] if k else self.none
            self._drives.append(self._after(before, self._commands[k], self._starts[k][0]))
        self._trim()
        return ""

    def at(self, stamp_ns: int) -> Drive:
        """What is asked at this time; ``none`` before the first command and after a silence."""
        k = bisect_right(self._starts, (stamp_ns, 1 << 62)) - 1
        if k < 0 or stamp_ns - self._starts[k][0] > TIMEOUT_NS:
            return self.none
        return self._drives[k]

    @property
    def newest(self) -> Drive:
        """The latest one, whether it is still fresh or not."""
        return self._drives[-1] if self._drives else self.none

    def _believed(self, drive: Drive) -> Drive:
        kp, kd, effort = drive.law
        return replace(drive, goal=drive.position - self._offset, kp=self._scale * kp, kd=self._scale * kd,
                       effort=self._scale * effort)

    def _after(self, before: Drive, command: JointCommand, start_ns: int) -> Drive:
        robot, (names, index) = self.robot, self._known
        if command.joint_names != names:
            index = np.array([robot.index(name) for name in command.joint_names], dtype=np.intp)

        def put(old: Array, new: Array, default: Array | float) -> Array:
            out = old.copy()
            out[index] = new if len(new) else default
            return out

        on = before.on.copy()
        on[index] = True
        kp, kd, effort = before.law
        law = (put(kp, command.kp, robot.kp[index]), put(kd, command.kd, robot.kd[index]),
               put(effort, command.effort, 0.0))
        same = all(np.array_equal(new, old) for new, old in zip((on, *law), (before.on, *before.law), strict=True))
        position, velocity = put(before.position, command.position, np.nan), put(before.velocity, command.velocity, 0.0)
        return self._believed(Drive(start_ns, on, position, position, velocity, effort, kp, kd, law,
                                    before.gains if same else object()))

    def _trim(self) -> None:
        keep = bisect_right(self._starts, (self._starts[-1][0] - self.horizon_ns, 1 << 62)) - 1
        if keep > 0:
            del self._starts[:keep], self._commands[:keep], self._drives[:keep]
            self._trimmed = True
