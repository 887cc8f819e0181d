"""Set-points that a joint can always follow: bounded speed and acceleration, never past a limit.

Discrete time-optimal braking: a speed v that falls by a*dt each period needs v^2 / (2 a) + v dt / 2 to come to rest,
so the fastest allowed speed at distance e is a dt (sqrt(1/4 + 2 e / (a dt^2)) - 1/2)
(Zanasi, Lo Bianco, Tonielli 2000, "Nonlinear filters for the generation of smooth trajectories").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from humanoid_core.robot_model import Array

BRAKE_SHARE = 0.8  # of the acceleration, when steering towards a target: leaves room to follow one that brakes


def brake_speed(distance: Array, acceleration: Array, dt: float) -> Array:
    """Largest speed from which a joint still stops within `distance` (>= 0)."""
    step = acceleration * dt
    speed: Array = step * (np.sqrt(0.25 + 2.0 * distance / (step * dt)) - 0.5)
    return speed


class SetPoint:
    """Position and velocity of a group of joints, advanced once per period of `dt` seconds."""

    def __init__(self, lower: Array, upper: Array, velocity: Array, acceleration: Array, dt: float) -> None:
        self.lower, self.upper, self.velocity_limit, self.acceleration = lower, upper, velocity, acceleration
        self.dt = dt
        self.position = np.zeros(len(lower))
        self.velocity = np.zeros(len(lower))

    def rebase(self, position: Array) -> None:
        """Start anew at rest; a position outside the limits becomes the limit."""
        self.position = np.clip(position, self.lower, self.upper)
        self.velocity = np.zeros(len(self.lower))

    @property
    def moving(self) -> bool:
        return bool(np.any(np.abs(self.velocity) > 1e-9))

    def stop(self) -> None:
        """One period of braking towards rest."""
        self._advance(np.zeros_like(self.velocity))

    def towards(self, target: Array, target_velocity: Array, scale: float) -> None:
        """One period towards where the target is at its end, moving with it; speed at most `scale` of the limit."""
        self._advance(self._closing(target, target_velocity, scale))

    def give_way(self, target: Array, which: npt.NDArray[np.bool_], scale: float) -> None:
        """One period of braking, but the joints in `which` go towards `target`."""
        still = np.zeros_like(self.velocity)
        self._advance(np.where(which, self._closing(target, still, scale), still))

    def _closing(self, target: Array, target_velocity: Array, scale: float) -> Array:
        ahead = target - (self.position + target_velocity * self.dt)
        distance = np.abs(ahead)
        closing = np.minimum(distance / self.dt, brake_speed(distance, BRAKE_SHARE * self.acceleration, self.dt))
        top = self.velocity_limit * scale
        wanted: Array = np.clip(target_velocity + np.sign(ahead) * closing, -top, top)
        return wanted

    def _advance(self, wanted: Array) -> None:
        step = self.acceleration * self.dt
        v = np.clip(wanted, self.velocity - step, self.velocity + step)
        v = np.clip(v, -self.velocity_limit, self.velocity_limit)
        v = np.maximum(v, -brake_speed(self.position - self.lower, self.acceleration, self.dt))
        v = np.minimum(v, brake_speed(self.upper - self.position, self.acceleration, self.dt))
        self.velocity = v
        self.position = np.clip(self.position + v * self.dt, self.lower, self.upper)
