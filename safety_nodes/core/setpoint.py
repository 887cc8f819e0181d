"""Set-points that a joint can always follow: bounded speed, acceleration and jerk, never past a limit.

Each period the fastest way to the target within the limits is planned anew from the present position, velocity and
acceleration, and its first ``dt`` is taken (Berscheid and Kroeger 2021, "Jerk-limited Real-time Trajectory Generation
with Arbitrary Target States", the library `ruckig`). A target that moves is met in the frame that moves with it, so
that following it leaves no lag. But it may brake while it is caught up with: a step after which the set-point could
only come to rest past where the target could is replaced by one to there.

The invariant that keeps a joint off its limits: from every set-point, braking as hard as allowed ends inside them. A
step after which that would not hold is replaced by one period of that braking, for that joint alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ruckig import ControlInterface, InputParameter, Ruckig, RuckigError, Synchronization, Trajectory

from humanoid_core.robot_model import Array

_SAME = 1e-9  # rad, rad/s, rad/s^2: below this, rest is rest and a limit is kept
_FAST = 1e-4  # rad/s above the allowed speed that is not worth slowing down for
_PAST = 0.01  # rad by which a braking set-point may end past a braking target
_ALONG = 0.9  # share of the top speed with which the frame moves along: leaves room to catch up

State = tuple[Array, Array, Array]  # position, velocity, acceleration


@dataclass(frozen=True)
class Step:
    """One period further: position rad, velocity rad/s, acceleration rad/s^2, and where braking from there ends."""

    position: Array
    velocity: Array
    acceleration: Array
    rest: Array


class SetPoint:
    """State of a group of joints. ``toward``, ``drive``, ``give_way`` and ``brake`` propose a step of ``dt`` s,
    ``take`` makes it."""

    def __init__(self, lower: Array, upper: Array, velocity: Array, acceleration: Array, jerk: Array,
                 dt: float) -> None:
        self.lower, self.upper, self.velocity_limit = lower, upper, velocity
        self.acceleration_limit, self.jerk_limit, self.dt = acceleration, jerk, dt
        self.failures = 0  # plans that could not be made; the joints braked instead
        self.outside = 0  # times that it started from a position outside the limits, at the limit
        n = len(lower)
        self._plan, self._way = Ruckig(n), Trajectory(n)
        self._planned = True  # the latest way to a speed
        self._target_velocity = np.zeros(n)  # at the last plan
        self._position, self._stop = _asked(n, acceleration, jerk), _asked(n, acceleration, jerk)
        self._stop.control_interface = ControlInterface.Velocity
        self._stop.max_velocity = velocity.tolist()
        self.rebase(np.zeros(n))

    def rebase(self, position: Array) -> None:
        """Start anew at rest; a position outside the limits becomes the limit."""
        self.position = np.clip(position, self.lower, self.upper)
        self.outside += bool(np.any(np.abs(self.position - position) > _SAME))
        self.velocity, self.acceleration = np.zeros(len(self.lower)), np.zeros(len(self.lower))

    @property
    def moving(self) -> bool:
        return bool(np.any(np.abs(self.velocity) > _SAME) or np.any(np.abs(self.acceleration) > _SAME))

    def take(self, step: Step) -> None:
        self.position, self.velocity, self.acceleration = step.position, step.velocity, step.acceleration

    def brake(self) -> Step:
        """One period of coming to rest."""
        return self._step(self._speeding(np.zeros_like(self.velocity)))

    def drive(self, velocity: Array) -> Step:
        """One period towards a speed, rad/s; a joint that nears its limit brakes in time."""
        return self._safe(self._speeding(np.clip(velocity, -self.velocity_limit, self.velocity_limit)))

    def toward(self, target: Array, target_velocity: Array, scale: float) -> Step:
        """One period towards where the target is at its end, moving with it; speed at most `scale` of the limit."""
        step = self._safe(self._closing(target, target_velocity, scale))
        slowing = np.clip((target_velocity - self._target_velocity) / self.dt, -self.acceleration_limit,
                          self.acceleration_limit)
        self._target_velocity = target_velocity
        if not bool(target_velocity.any()):
            return step
        rest = np.clip(self._resting(target, target_velocity, slowing), self.lower, self.upper)
        past = (step.rest - rest) * np.sign(step.velocity) > _PAST
        if not bool(past.any()):
            return step
        p, v, a = self._closing(rest, np.zeros_like(rest), scale)
        return self._safe((np.where(past, p, step.position), np.where(past, v, step.velocity),
                           np.where(past, a, step.acceleration)))

    def give_way(self, target: Array, which: npt.NDArray[np.bool_], scale: float) -> Step:
        """One period of braking, but the joints in `which` go towards `target`."""
        to, still = self._closing(target, np.zeros_like(target), scale), self._speeding(np.zeros_like(target))
        return self._safe((np.where(which, to[0], still[0]), np.where(which, to[1], still[1]),
                           np.where(which, to[2], still[2])))

    # --- plans

    def _closing(self, target: Array, target_velocity: Array, scale: float) -> State:
        """State after ``dt`` of the fastest way to ``target`` (where it is after ``dt``), in the frame that moves with
        it. A joint that is faster than ``scale`` allows slows down first."""
        if not len(target):
            return self._speeding(target)
        top = self.velocity_limit * scale
        along = np.clip(target_velocity, -_ALONG * top, _ALONG * top)
        peak = self.velocity + self.acceleration * np.abs(self.acceleration) / (2.0 * self.jerk_limit)
        fast = (np.maximum(self.velocity, peak) > top + _FAST) | (np.minimum(self.velocity, peak) < -top - _FAST)
        ask = self._position
        ask.current_position = np.where(fast, 0.0, self.position - (target - along * self.dt)).tolist()
        ask.current_velocity = np.where(fast, 0.0, self.velocity - along).tolist()
        ask.current_acceleration = np.where(fast, 0.0, self.acceleration).tolist()
        ask.max_velocity, ask.min_velocity = (top - along).tolist(), (-top - along).tolist()
        try:
            self._plan.calculate(ask, self._way)
        except RuckigError:
            self.failures += 1
            return self._speeding(np.zeros_like(target))
        p, v, a = (np.array(x) for x in self._way.at_time(self.dt))
        p, v = p + target, v + along
        if bool(fast.any()):
            slower = self._speeding(np.clip(self.velocity, -top, top))
            p, v, a = np.where(fast, slower[0], p), np.where(fast, slower[1], v), np.where(fast, slower[2], a)
        return p, v, a

    def _speeding(self, wanted: Array) -> State:
        """State after ``dt`` of the fastest way to the speed ``wanted``."""
        if not len(wanted):  # a robot whose policy has no joints: the library cannot plan for none
            return wanted, wanted, wanted
        if not self._ask_speed(self.position, self.velocity, self.acceleration, wanted):
            return self._plain(wanted)
        p, v, a = self._way.at_time(self.dt)
        return np.array(p), np.array(v), np.array(a)

    def _plain(self, wanted: Array) -> State:
        """The same without a plan: at once towards ``wanted`` within the acceleration limit, the jerk for once not."""
        limit = self.acceleration_limit * self.dt
        v = self.velocity + np.clip(wanted - self.velocity, -limit, limit)
        return self.position + 0.5 * (self.velocity + v) * self.dt, v, np.zeros_like(v)

    def _resting(self, position: Array, velocity: Array, acceleration: Array) -> Array:
        """Where a joint comes to rest that brakes as hard as it may."""
        if not len(position):
            return position
        if not self._ask_speed(position, velocity, acceleration, np.zeros_like(position)):
            return _braked(position, velocity, self.acceleration_limit)
        return np.array(self._way.at_time(self._way.duration)[0])

    def _ask_speed(self, position: Array, velocity: Array, acceleration: Array, wanted: Array) -> bool:
        """Plan the way to a speed; False: it could not be planned."""
        ask = self._stop
        ask.current_position, ask.current_velocity = position.tolist(), velocity.tolist()
        ask.current_acceleration, ask.target_velocity = acceleration.tolist(), wanted.tolist()
        try:
            self._plan.calculate(ask, self._way)
        except RuckigError:
            self.failures += 1
            self._planned = False
        else:
            self._planned = True
        return self._planned

    def _step(self, state: State) -> Step:
        p = np.clip(state[0], self.lower, self.upper)
        v = np.clip(state[1], -self.velocity_limit, self.velocity_limit)
        a = np.clip(state[2], -self.acceleration_limit, self.acceleration_limit)
        still = (np.abs(v) <= _SAME) & (np.abs(a) <= _SAME)
        v[still] = a[still] = 0.0
        return Step(p, v, a, self._resting(p, v, a))

    def _safe(self, state: State) -> Step:
        """A step to ``state``; for a joint that could then not brake before its limit, one period of braking."""
        step = self._step(state)
        if not len(step.position):
            return step
        if self._planned:
            extrema = self._way.position_extrema  # of the braking after that step
            low, high = np.array([x.min for x in extrema]), np.array([x.max for x in extrema])
        else:
            low, high = np.minimum(step.position, step.rest), np.maximum(step.position, step.rest)
        fine = (low >= self.lower - _SAME) & (high <= self.upper + _SAME)
        if bool(fine.all()):
            return step
        p, v, a = self._speeding(np.zeros_like(step.velocity))
        return self._step((np.where(fine, step.position, p), np.where(fine, step.velocity, v),
                           np.where(fine, step.acceleration, a)))


def _braked(position: Array, velocity: Array, limit: Array) -> Array:
    """Where a joint comes to rest at its acceleration limit: q + v |v| / (2 a)."""
    rest: Array = position + velocity * np.abs(velocity) / (2.0 * limit)
    return rest


def _asked(n: int, acceleration: Array, jerk: Array) -> InputParameter:
    ask = InputParameter(n)
    ask.synchronization = Synchronization.No
    ask.max_acceleration, ask.max_jerk = acceleration.tolist(), jerk.tolist()
    ask.target_position = ask.target_velocity = ask.target_acceleration = [0.0] * n
    return ask
