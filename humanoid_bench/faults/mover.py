"""A policy that gently swings one arm for ever: something must be under way when a fault comes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.types import JointCommand

AMPLITUDE, OMEGA = 0.5, 2.0  # rad and rad/s of the left elbow: up to 0.5 rad/s
BLEND = 1.5  # s from the present set-point onto the swing


class Mover:
    """Makes a command per call; a new motion, under a new epoch, only while ``willing``."""

    def __init__(self, robot: RobotModel, first_epoch: int = 1) -> None:
        group = robot.groups["upper_body"]
        self.names = tuple(robot.joint_names[i] for i in group)
        self._elbow = self.names.index("left_elbow_joint")
        self._middle = robot.rest[list(group)]
        self._epochs = itertools.count(first_epoch)
        self._epoch = 0
        self._begin: tuple[int, Array] | None = None  # monotonic time, way from the swing to where the arm was
        self._seq = 0
        self._held_ns = 0
        self.willing = True
        self.change: Callable[[JointCommand], list[JointCommand]] | None = None

    def commands(self, mono_ns: int, ros_ns: int, gate: Any, setpoint: Array | None) -> list[JointCommand]:
        """What the policy says now: the motion goes by monotonic time, stamps are ROS time. ``gate``: newest
        GateStatus; ``setpoint``: the robot's newest command."""
        if setpoint is None or gate is None:
            return []
        if self._begin is None or (self.willing and self._interrupted(mono_ns, gate)):
            if not self.willing:
                return []
            self._epoch = next(self._epochs)
            self._begin, self._held_ns = (mono_ns, setpoint - self._swing(0.0)[0]), mono_ns
        t0, off = self._begin
        q, v = self._swing((mono_ns - t0) / 1e9)
        share, rate = _fade((mono_ns - t0) / 1e9)
        self._seq += 1
        command = JointCommand(ros_ns, self._seq, self._epoch, "mover", self.names, q + share * off, v + rate * off)
        return [command] if self.change is None else self.change(command)

    def _interrupted(self, mono_ns: int, gate: Any) -> bool:
        """The gate has not passed anything for a while."""
        if gate.state == "passing":
            self._held_ns = mono_ns
        return mono_ns - self._held_ns > 400_000_000

    def _swing(self, t: float) -> tuple[Array, Array]:
        q, v = self._middle.copy(), np.zeros(len(self.names))
        q[self._elbow] -= 0.5 * AMPLITUDE * (1.0 - math.cos(OMEGA * t))
        v[self._elbow] = -0.5 * AMPLITUDE * OMEGA * math.sin(OMEGA * t)
        return q, v


def _fade(t: float) -> tuple[float, float]:
    """Share of the way back that is left after t s, and its rate: a half cosine."""
    if t >= BLEND:
        return 0.0, 0.0
    x = math.pi * t / BLEND
    return 0.5 * (1.0 + math.cos(x)), -0.5 * math.pi / BLEND * math.sin(x)
