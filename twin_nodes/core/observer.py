"""External torque by a generalised momentum observer, without differentiating velocities.

    r = K (p(t) - p(0) - integral of (tau - friction + C^T v - g + r) dt),   p = M(q) v

(De Luca and Mattone, "Actuator failure detection and isolation using generalized momenta", ICRA 2003; Haddadin, De Luca
and Albu-Schaeffer, "Robot collisions: a survey", IEEE T-RO 33(6), 2017, eq. 38). C^T v - g = dM/dt v - (C v + g): the
second term is MuJoCo's bias force, the first is taken from two successive mass matrices.

Joints above a floating base are seen from the base: gravity is turned as the base is, so that leaning is accounted for;
its accelerations are not, they are in what is left over.
The legs of a standing robot carry the ground's reaction, which this cannot tell from other forces: they are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from humanoid_core.robot_model import Array
from twin_nodes.core.joint_dynamics import Motion

#: Below this speed, rad/s, the sign of the dry friction is not known.
STICKING = 0.05


@dataclass(frozen=True)
class Friction:
    """Viscous (N m s/rad) and Coulomb (N m) friction of each joint, (n,)."""

    viscous: Array
    coulomb: Array

    def torque(self, velocity: Array) -> Array:
        """What the motors lose at this velocity; the sign of the dry part is smooth within ``STICKING``."""
        lost: Array = self.viscous * velocity + self.coulomb * np.tanh(velocity / STICKING)
        return lost


class MomentumObserver:
    """``gain`` K in 1/s: the external torque comes through a first-order low pass with this bandwidth."""

    def __init__(self, n: int, gain: float) -> None:
        self.n, self.gain = n, gain
        self.clear()

    def clear(self) -> None:
        self.external: Array = np.zeros(self.n)
        self._momentum: Array | None = None
        self._before: tuple[Motion, Array] | None = None

    def update(self, dt: float, motion: Motion, velocity: Array, torque: Array) -> Array:
        """External torque (n,), N m, positive where it pushes a joint forwards.

        ``dt`` s since the sample before, ``torque`` (n,) N m on the joints in between, friction already taken off. The
        other terms are taken as the mean of both samples too: at the newer one alone, gravity that changes as a joint
        turns would look like viscous friction.
        """
        momentum, now = motion.mass @ velocity, (motion, velocity)
        before, self._before = self._before, now
        if self._momentum is None or before is None:
            self._momentum = momentum
            return self.external
        turning = (motion.mass - before[0].mass) @ (velocity + before[1]) / (2.0 * dt)
        expected = torque + turning - 0.5 * (motion.bias + before[0].bias)
        # Implicit in r, so that it is stable for any step: r = (r0 + K (dp - dt expected)) / (1 + K dt)
        self.external = ((self.external + self.gain * (momentum - self._momentum - dt * expected))
                         / (1.0 + self.gain * dt))
        self._momentum = momentum
        return self.external

    def noise(self, motion: Motion, velocity_noise: float, torque_noise: float, dt: float) -> Array:
        """Standard deviation (n,) of ``external`` from the noise of velocities (rad/s) and torques (N m)."""
        gain = self.gain / (1.0 + self.gain * dt)
        from_velocity = gain * velocity_noise * np.sqrt((motion.mass * motion.mass).sum(axis=1))
        share = self.gain * dt / (2.0 + self.gain * dt)
        std: Array = np.sqrt(from_velocity**2 + share * torque_noise**2)
        return std
