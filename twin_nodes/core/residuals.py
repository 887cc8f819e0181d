"""What does not fit, joint by joint: where a joint says it is, what its motor gives, and what pushes from outside.

``step``      position minus (last position + velocity x time): no model of the robot in it, only its encoder.
``given``     measured torque minus kp (q* - q) + kd (v* - v) + feed-forward + gravity: only its motor and drive.
``external``  momentum observer: everything that neither motor, friction nor the model explains.

A wrong encoder shows in the first, a weak motor in the second, a load or a touch in the third, each of them alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import RobotState
from twin_nodes.core.drives import Drive
from twin_nodes.core.estimate import Estimate
from twin_nodes.core.joint_dynamics import LEVEL, JointDynamics, Motion
from twin_nodes.core.observer import Friction, MomentumObserver

#: A gap between samples that is longer starts everything anew, s.
GAP = 0.1
#: A drive's torque rests on what it measured half of its own step earlier (400 Hz), s.
DRIVE_DELAY = 0.00125
#: Reported velocities are instants of a motion that ripples with the commands: their mean error over this time, s, is
#: taken from the positions.
RIPPLE = 0.1
#: Sum of squared biases, (N m)^2, from which on it is clear whether a drive carries them.
MANY_BIASES = 10.0


@dataclass(frozen=True)
class Residual:
    """Arrays (n,), NaN: nothing can be said. ``dt`` s since the sample before; ``same``: the very same position."""

    dt: float
    step: Array
    given: Array
    external: Array
    torque: Array
    velocity: Array
    noise_step: Array
    noise_given: Array
    noise_external: Array
    same: NDArray[np.bool_]


class Residuals:
    """One update per estimate. ``gain``: bandwidth of the momentum observer, 1/s; ``dynamics`` may be shared with
    whoever hands in the motion; ``command_jitter``: s, by how much the moments at which commands begin to act vary."""

    def __init__(self, robot: RobotModel, position_noise: float, velocity_noise: float, torque_noise: float,
                 gain: float, dynamics: JointDynamics | None = None, command_jitter: float = 0.0) -> None:
        self.robot, n = robot, robot.n
        self._noise = (position_noise, velocity_noise, torque_noise)
        # A report is the mean of half the time of a command: one that comes late weighs double in it.
        self._late = 2.0 * command_jitter
        self.dynamics = dynamics or JointDynamics(robot)
        source = robot.sources.get("joint_states")
        #: A torque is reported as its mean over this time, s, whether or not every report is used.
        self._report = 1.0 / source.rate if source is not None else 0.005
        self.friction = Friction(robot.damping, robot.frictionloss)
        #: True over reported torque, (n,): what a drive carries by itself it gives with the same torque constant.
        self.scale = np.ones(n)
        self.observer = MomentumObserver(n, gain)
        upper = robot.groups.get("upper_body", tuple(range(n)))
        #: Joints whose law is known and whose external torque is not the ground's: on a floating base, not the legs.
        self.seen = np.zeros(n, dtype=bool)
        self.seen[list(upper if not robot.base_fixed else range(n))] = True
        self.clear()

    def clear(self) -> None:
        self.observer.clear()
        self._last: Estimate | None = None
        self._carries: Array | None = None
        self._teach, self._ripple = np.zeros((2, self.robot.n)), np.zeros(self.robot.n)

    def restart(self) -> None:
        """The next sample begins a new series: the model changes."""
        self.observer.clear()
        self._last = None

    def settle(self) -> None:
        """From now on a drive is taken to carry the model's bias by itself, or not at all, as it did until now; a joint
        that had no bias to carry does as the others do."""
        product, square = self._teach
        clear = square > MANY_BIASES
        share = np.where(clear, product / np.maximum(square, 1e-9), 0.0)
        usual = float(np.median(share[clear])) if clear.any() else 1.0
        self._carries = np.where(np.where(clear, share, usual) > 0.5, 1.0, 0.0)

    def update(self, now: Estimate, state: RobotState, drive: Drive | None,
               motion: Motion | None = None) -> Residual | None:
        """None for the first of a series."""
        last, self._last = self._last, now
        dt = 0.0 if last is None else (now.stamp_ns - last.stamp_ns) / NS
        q, v, torque = now.measured_position, now.measured_velocity, now.measured_effort
        if motion is None:
            motion = self.dynamics.at(q, v, gravity_of(state))
        if last is None or not 0.0 < dt <= GAP:
            self.observer.clear()
            self.observer.update(max(dt, 1e-3), motion, v, torque)
            return None
        whole = now.mean_effort - self.friction.torque(now.velocity)
        external = self.observer.update(dt, motion, v, np.where(np.isfinite(whole), whole, 0.0))
        sq, sv, st = self._noise
        spread = self.observer.noise(motion, sv, st, dt)
        blind = ~self.seen | np.isnan(torque)
        step = q - last.measured_position - 0.5 * dt * (v + last.measured_velocity)
        # a jump of the encoder is not a velocity
        self._ripple += min(dt / RIPPLE, 1.0) * (np.minimum(np.maximum(step / dt, -0.5), 0.5) - self._ripple)
        given, given_noise = self._given(now, drive, motion, dt)
        noise_step = np.full(self.robot.n, np.hypot(np.sqrt(2.0) * sq, dt * sv / np.sqrt(2.0)))
        return Residual(dt, step, given, np.where(blind, np.nan, external), torque, v, noise_step, given_noise,
                        np.where(blind, np.nan, spread), q == last.measured_position)

    def _given(self, now: Estimate, drive: Drive | None, motion: Motion, dt: float) -> tuple[Array, Array]:
        """The reported torque is the mean since the report before, so the law is taken half a sample earlier.

        As measured: the estimate rests on this very law, and lags when it is broken.
        """
        n = self.robot.n
        if drive is None:
            return np.full(n, np.nan), np.full(n, np.nan)
        sq, sv, st = self._noise
        q, v = now.measured_position, now.measured_velocity + self._ripple
        earlier = 0.5 * min(dt, self._report) + DRIVE_DELAY
        asked = drive.kp * (drive.goal - q + earlier * v) + drive.kd * (drive.velocity - v)
        asked += drive.effort
        use = drive.on & self.seen
        if self._carries is None:
            more = np.where(use & np.isfinite(now.measured_effort), now.measured_effort - asked, 0.0)
            self._teach += np.stack((more * motion.own, np.where(use, motion.own**2, 0.0)))
            law = asked + self.scale * motion.own
        else:
            law = asked + self._carries * self.scale * motion.own
        given = np.where(use & (np.abs(law) < self.robot.effort), now.measured_effort - law, np.nan)
        late = drive.kp * drive.velocity * self._late
        return given, np.sqrt((drive.kp * sq) ** 2 + (drive.kd * sv) ** 2 + st**2 + late**2)


def gravity_of(state: RobotState) -> Array:
    """(3,) m/s^2 in the base's frame: minus the specific force of an accelerometer that sits on the base, unturned."""
    force = state.linear_acceleration
    return -force if bool(np.isfinite(force).all()) and float(np.abs(force).sum()) > 1.0 else LEVEL
