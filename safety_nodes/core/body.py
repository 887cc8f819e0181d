"""Has the body come low, and to rest? Judged from measurements alone; without fresh ones the answer is no."""

from __future__ import annotations

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import RobotState
from safety_nodes.core.attitude import attitude

_NEAR = 0.2  # rad: legs this close to the crouch posture have arrived
_SLOW = 0.2  # rad/s, of leg joints and base: at rest
_LYING = 1.0  # rad off the vertical: the body lies


class Body:
    """Since when, on the monotonic clock, the robot has been crouched, or lying, and at rest."""

    def __init__(self, robot: RobotModel) -> None:
        self._robot = robot
        self._legs = np.array(robot.groups.get("legs", ()), dtype=np.intp)
        crouch: Array = robot.crouch[self._legs]
        #: A robot without a crouch posture of its own never counts as low.
        self._crouch = crouch if bool(np.any(np.abs(crouch - robot.stand[self._legs]) > _NEAR)) else None
        #: Whether it leans further than a crouched body does.
        self.toppling = False
        self._low_since: int | None = None
        self._lying_since: int | None = None

    def look(self, state: RobotState | None, mono_ns: int) -> None:
        """Take the newest fresh state of the right shape, or None."""
        low = lying = self.toppling = False
        if state is not None:
            q, v, turn = state.position[self._legs], state.velocity[self._legs], state.angular_velocity
            slow = bool((np.abs(v) < _SLOW).all()) and bool((np.abs(turn) < _SLOW).all())
            tilt = attitude(self._robot).tilt(state)
            lying, self.toppling = slow and tilt > _LYING, tilt > _LYING / 2
            low = slow and tilt < _LYING / 2 and self._crouch is not None and bool(
                (np.abs(q - self._crouch) < _NEAR).all())
        self._low_since = (self._low_since or mono_ns) if low else None
        self._lying_since = (self._lying_since or mono_ns) if lying else None

    def low(self, mono_ns: int) -> float:
        """Seconds crouched and at rest."""
        return 0.0 if self._low_since is None else (mono_ns - self._low_since) / NS

    def lying(self, mono_ns: int) -> float:
        """Seconds lying and at rest."""
        return 0.0 if self._lying_since is None else (mono_ns - self._lying_since) / NS
