"""Moves the set-point: after a command, at a person's speeds, to rest, or out of the way.

Before a step towards a command, or at a jog's speeds, the collision geometry is asked whether the arms may go to where
braking after this step would end. If not, they brake, and stand until what is commanded is itself allowed again, which
is retreat: approach stops before contact, and a policy that only grazes something goes on by itself.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from safety_nodes.core.clearance import Clearance
from safety_nodes.core.command_check import Accepted
from safety_nodes.core.config import GateConfig
from safety_nodes.core.intake_override import Indices
from safety_nodes.core.setpoint import SetPoint, Step

_EXTRAPOLATE = 0.02  # s: a target moves on between two commands, at most two periods
_YIELD_SPEED = 0.3  # share of the command speed


class Motion:
    """The controlled joints in ``names`` order. ``pose``: as measured, None until known."""

    def __init__(self, robot: RobotModel, group: tuple[int, ...], config: GateConfig,
                 clearance: Clearance | None) -> None:
        rows = np.array(group, dtype=np.intp)
        self.names = tuple(robot.joint_names[i] for i in group)
        self._rows, self._config, self._clearance = rows, config, clearance
        self._fall = robot.fall[rows]
        self.point = SetPoint(robot.lower[rows], robot.upper[rows], robot.command_velocity[rows],
                              robot.command_acceleration[rows], robot.command_jerk[rows], 1.0 / config.rate)
        self.pose: Array | None = None
        self._measured: Array = robot.stand  # all joints
        self.removed = np.zeros(len(rows), dtype=bool)  # joints taken out of the controlled set
        self.removed_names: tuple[str, ...] = ()
        self._stopped = False  # by the collision geometry
        self.slowed = 0  # steps of a jog that was asked to go faster than it may
        self.contact = ""  # what the latest refused step would have come too near to

    def measure(self, position: Array) -> None:
        """All joints as measured, finite, (n,)."""
        self._measured, self.pose = position, position[self._rows]

    def remove(self, names: tuple[str, ...]) -> None:
        """These joints follow what is measured of them, whatever is commanded. Kept until told otherwise."""
        if names != self.removed_names:
            self.removed_names, self.removed = names, np.array([n in names for n in self.names])

    def near_pose(self) -> bool:
        """The set-point stands where the joints are measured (or at the limit next to it)."""
        return self.pose is not None and bool(
            (np.abs(self.point.position - self._target()) <= self._config.rebase_tolerance).all())

    # --- one period each

    def follow(self, last: Accepted, scale: float, mono_ns: int) -> str:
        """After the policy's command. Returns '' or the reason code for which the arms brake instead."""
        point = self.point
        ahead = min(max((mono_ns - last.made_ns) / NS, -_EXTRAPOLATE), _EXTRAPOLATE)
        target, velocity = point.position.copy(), np.zeros(len(self.names))
        wanted = last.position + last.velocity * ahead
        low, high = point.lower[last.index], point.upper[last.index]
        target[last.index] = np.clip(wanted, low, high)
        if ahead < _EXTRAPOLATE:  # beyond that, and at a joint's limit, the target stands still
            velocity[last.index] = np.where((wanted >= low) & (wanted <= high), last.velocity, 0.0)
        self._yield_removed(target, velocity)
        return self._go(point.toward(target, velocity, scale), target)

    def jog(self, index: Indices, velocity: Array, scale: float) -> str:
        """At a person's speeds. Returns '' or the reason code for which the arms brake instead."""
        point, wanted = self.point, np.zeros(len(self.names))
        top = min(scale, self._config.jog_share) * point.velocity_limit[index]
        wanted[index] = np.clip(velocity, -top, top)
        self.slowed += bool(np.any(np.abs(velocity) > top))
        wanted[self.removed] = 0.0
        return self._go(point.drive(wanted), None)

    def hold(self, fresh: bool) -> None:
        """To rest. While the measured pose is ``fresh``, a joint that is kept further off than `yield_error` (an
        obstacle, a weak motor) is not pressed on: its set-point comes back to that distance."""
        point, limit = self.point, self._config.yield_error
        if not fresh or self.pose is None:
            point.take(point.brake())
            return
        error = self.pose - point.position
        far = (np.abs(error) > limit) | self.removed
        if not bool(far.any()):
            point.take(point.brake())
            return
        target = np.clip(self.pose - np.where(self.removed, 0.0, np.sign(error) * limit), point.lower, point.upper)
        point.take(point.give_way(target, far, _YIELD_SPEED))

    def tuck(self) -> None:
        """To the fall posture, as fast as the limits allow."""
        self.point.take(self.point.toward(self._fall, np.zeros(len(self.names)), 1.0))

    def accompany(self) -> None:
        """With the measured pose, while the robot does not listen."""
        self.point.take(self.point.toward(self._target(), np.zeros(len(self.names)), 1.0))

    # --- help

    def _go(self, step: Step, target: Array | None) -> str:
        code = self._forbidden(step.rest)
        if not code and self._stopped and target is not None:
            code = self._forbidden(target)
        self._stopped = bool(code)
        self.point.take(self.point.brake() if code else step)
        return code

    def _forbidden(self, goal: Array) -> str:
        """Reason code when the way from the set-point to ``goal`` would come too near to something."""
        if self._clearance is None:
            return ""
        here, to = self._measured.copy(), self._measured.copy()
        here[self._rows], to[self._rows] = self.point.position, goal
        contact = self._clearance.allowed(here, to)
        if contact is None:
            return ""
        self.contact = f"{contact.first} and {contact.second}, {contact.distance:.3f} m"
        return "ENVIRONMENT" if contact.obstacle else "SELF_COLLISION"

    def _yield_removed(self, target: Array, velocity: Array) -> None:
        if bool(self.removed.any()):
            target[self.removed] = self._target()[self.removed]
            velocity[self.removed] = 0.0

    def _target(self) -> Array:
        assert self.pose is not None
        inside: Array = np.clip(self.pose, self.point.lower, self.point.upper)
        return inside
