"""Joint positions, velocities and disturbance torques with their covariance, from measurements and commands.

One Kalman filter of three states (q, v, d) for each joint, all of them at once as arrays. They share the model's
inertia matrix M and bias b when they predict::

    M a = kp (q* - q) + kd (v* - v) + effort* + s b - b - damping v - friction + d     a joint that a command drives
    M a = measured torque - b - damping v - friction + d                                any other one
    a = d / (M of the joint alone)                       a leg that stands, or a joint whose torque nobody tells

s is the share of the bias that the drive carries by itself, learnt from its measured torque. The step is the implicit
midpoint rule (explicit ones blow up with stiff drives on light links, implicit Euler lags)::

    dv = h (M + h D / 2 + h^2 K / 4)^-1 (torque at q + h v / 2 and v),  v' = v + dv,  q' = q + h (v + dv / 2)

When exactly a command begins to act is known to ``command_jitter`` only. A set-point that moves at v* and comes dt late
leaves the torque kp v* dt off for the time T of one command, a push of kp v* T dt: a random walk of the velocity,
(kp v* sigma)^2 T / M^2 a second.

Covariance goes through the same step with each joint's own inertia and is corrected in
Joseph form (Bar-Shalom, Li, Kirubarajan 2001, ch. 5); a measurement beyond the gate on its squared Mahalanobis
distance is kept out, and one that stays out for ``relock`` is believed after all. A foot that lands stops its leg at
once: a velocity there that nothing foretold, of a joint that is where it should be, widens the belief instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from twin_nodes.core.drives import Drive, Drives
from twin_nodes.core.estimate import Estimate
from twin_nodes.core.joint_dynamics import JointDynamics, Motion

#: Longest step of the prediction, s, and how many steps a gap may take.
STEP, MOST_STEPS = 0.005, 40
#: Inertia and bias are worked out anew this often: within it a joint turns by a hundredth of a radian.
REFRESH_NS = 7_500_000
#: Speed at which dry friction has almost its full size, rad/s: tanh(v / SLIDING).
SLIDING = 0.05
#: No joint is faster than so many times its limit: the belief has run away from measurements that it keeps out.
RUNAWAY = 3.0
#: Initial standard deviation of the disturbance, as a share of the joint's torque limit.
UNKNOWN = 0.05
#: Memory of the share of the bias that the drive carries, s.
SHARE_MEMORY = 2.0

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class EstimatorConfig:
    """SI units; ``*_rate`` are random walks: standard deviation after 1 s.

    acceleration_density: unmodelled acceleration of a joint, as white noise, rad/s^2 per root hertz;
    command_jitter: by how much the moments at which commands begin to act vary, s, of commands every
    ``command_period`` s; disturbance_rate: in shares of the joint's torque limit; reaction_rate: rad/s^2 of a leg that
    stands.
    """

    position_noise: float = 5e-4
    velocity_noise: float = 2e-2
    effort_noise: float = 0.05
    acceleration_density: float = 0.12
    command_jitter: float = 2e-3
    command_period: float = 0.01
    disturbance_rate: float = 0.02
    reaction_rate: float = 3.0
    gate: float = 25.0
    relock_s: float = 0.1


@dataclass(frozen=True)
class JointInput:
    """One measurement. ``gravity`` (3,) in the base's frame; ``standing``: joints between the base and a foot that
    carries load; ``usable``: joints whose sensor speaks; ``sound``: joints of which something may be learnt, being
    touched by no open anomaly; ``effort`` NaN where nobody tells."""

    stamp_ns: int
    position: Array
    velocity: Array
    effort: Array
    gravity: Array
    standing: Flags
    usable: Flags
    sound: Flags


@dataclass(frozen=True)
class JointBelief:
    """Never changed in place. ``cov`` (n, 3, 3) of (q, v, d); ``out_ns``: since when a joint's samples are rejected,
    0: they are not; ``carried`` (n,): torque that the drives give by themselves against the bias, as far as it was
    learnt; ``relocks``: how often a joint was believed after all; ``repaired``: how often numbers failed."""

    stamp_ns: int
    q: Array
    v: Array
    d: Array
    cov: Array
    loose: Flags
    effort: Array
    learnt: tuple[Array, Array]
    carried: Array
    out_ns: NDArray[np.int64]
    relocks: NDArray[np.int64]
    repaired: NDArray[np.int64]
    motion: Motion
    motion_ns: int
    acceleration: Array
    innovation: Array
    innovation_var: Array
    nis: Array
    gated: Flags


class JointEstimator:
    """A pure function of measurements and of the commands given to ``drives``; see ``advance`` and ``ahead``."""

    def __init__(self, robot: RobotModel, config: EstimatorConfig, drives: Drives) -> None:
        self.robot, self.config, self.drives = robot, config, drives
        self.dynamics = JointDynamics(robot)
        c, n = config, robot.n
        self._unknown = (UNKNOWN * robot.effort) ** 2
        self._white = c.acceleration_density**2
        self._drift_var = (c.disturbance_rate * robot.effort) ** 2
        self._noise = np.array([max(c.position_noise, 1e-9) ** 2, max(c.velocity_noise, 1e-9) ** 2])
        self._zero = np.zeros(n)
        self._fastest = RUNAWAY * robot.velocity

    # --- the filter

    def start(self, m: JointInput) -> JointBelief:
        """What the first measurement tells."""
        n = self.robot.n
        none, zero = np.zeros(n, dtype=np.int64), np.zeros(n)
        motion = self.dynamics.at(m.position, m.velocity, m.gravity)
        return JointBelief(m.stamp_ns, m.position, m.velocity, zero, self._fresh(), self._loose(m), m.effort,
                           (zero, zero), zero, none, none, none, motion, m.stamp_ns, zero, zero,
                           np.full(n, self._noise[0]), zero, np.zeros(n, dtype=bool))

    def advance(self, before: JointBelief | None, m: JointInput) -> JointBelief:
        """Belief after one more measurement: predict, gate, correct."""
        if before is None:
            return self.start(m)
        loose = self._loose(m)
        # A drive reports its mean torque since the report before.
        q, v, cov = self._predict(before, m.stamp_ns, loose, np.where(loose, 0.0, m.effort))
        belief = self._correct(before, m, q, v, cov)
        if m.stamp_ns - before.motion_ns < REFRESH_NS:
            return replace(belief, loose=loose)
        motion = self.dynamics.at(belief.q, belief.v, m.gravity)
        learnt = self._learn(before, m, belief, motion)
        return replace(belief, loose=loose, motion=motion, motion_ns=m.stamp_ns, learnt=learnt,
                       carried=_share(*learnt) * motion.own)

    def ahead(self, belief: JointBelief, stamp_ns: int) -> tuple[Array, Array]:
        """(q, v) at a later time if the disturbances stay; joints that no command drives go on at their speed."""
        q, v = belief.q, belief.v
        at, span = belief.stamp_ns, stamp_ns - belief.stamp_ns
        if span <= 0:
            return q, v
        steps = min(MOST_STEPS, max(1, -(-span // round(STEP * NS))))
        h = span / steps / NS
        model: _Step | None = None
        for k in range(steps):
            drive = self.drives.at(at + round((k + 0.5) * span / steps))
            if model is None or model.gains is not drive.gains:
                model = _Step(self, belief, drive, ~drive.on, h, self._zero, coast=True)
            else:
                model.use(drive)
            q, v = model.take(q, v)
        return q, v

    def grown(self, belief: JointBelief, age_s: float) -> tuple[Array, Array]:
        """Variances of q and v when nothing was measured for ``age_s``: a disturbance that stays, and one that walks.

        No drive is taken to hold the joint: a robot that is not heard may do anything.
        """
        m = belief.motion.give
        drift = np.where(belief.loose, self.config.reaction_rate**2, (m**2) * self._drift_var)
        p = belief.cov
        v = p[:, 1, 1] + (m * age_s) ** 2 * p[:, 2, 2] + drift * age_s**3 / 3.0
        q = (p[:, 0, 0] + age_s**2 * p[:, 1, 1] + (0.5 * m * age_s**2) ** 2 * p[:, 2, 2] + drift * age_s**5 / 20.0)
        return q, v

    def threshold(self, belief: JointBelief) -> Array:
        """Smallest jump of a measured position that the gate would reject, rad."""
        found: Array = np.sqrt(self.config.gate * belief.innovation_var)
        return found

    def estimate(self, belief: JointBelief, m: JointInput, mean_effort: Array | None = None) -> Estimate:
        """The belief in the words of those who judge it. A standing leg's disturbance holds the ground's reaction.
        ``mean_effort``: of all reports since the update before, where there was more than the one in ``m``."""
        known = belief.loose & np.isfinite(m.effort)
        reaction = np.where(known, belief.motion.bias - m.effort, 0.0)
        drive = self.drives.newest
        mean = m.effort if mean_effort is None else mean_effort
        p = belief.cov
        return Estimate(
            belief.stamp_ns, belief.q, belief.v, belief.d + reaction, p[:, 0, 0],
            p[:, 1, 1], p[:, 2, 2] + np.where(known, self.config.effort_noise**2, 0.0), belief.innovation,
            belief.innovation_var, belief.nis, belief.gated, m.position, m.velocity, m.effort, mean, drive.goal,
            belief.acceleration)

    # --- what stands behind

    def _fresh(self) -> Array:
        cov = np.zeros((self.robot.n, 3, 3))
        cov[:, 0, 0], cov[:, 1, 1], cov[:, 2, 2] = self._noise[0], self._noise[1], self._unknown
        return cov

    def _loose(self, m: JointInput) -> Flags:
        loose: Flags = m.standing | ~np.isfinite(m.effort)
        return loose

    def _predict(self, before: JointBelief, stamp_ns: int, loose: Flags, effort: Array) -> tuple[Array, Array, Array]:
        span = stamp_ns - before.stamp_ns
        steps = min(MOST_STEPS, max(1, -(-span // round(STEP * NS))))
        h = span / steps / NS
        q, v, cov = before.q, before.v, before.cov
        model: _Step | None = None
        for k in range(steps):
            drive = self.drives.at(before.stamp_ns + round((k + 0.5) * span / steps))
            if model is None or model.gains is not drive.gains:
                model = _Step(self, before, drive, loose & ~drive.on, h, effort)
                f, noise = model.linear()
            else:
                model.use(drive)
            q, v = model.take(q, v)
            cov = f @ cov @ f.transpose(0, 2, 1) + noise
        return q, v, cov

    def _correct(self, before: JointBelief, m: JointInput, q: Array, v: Array, cov: Array) -> JointBelief:
        x = np.stack((q, v, before.d), axis=1)
        y_q = m.position - q
        s_q = cov[:, 0, 0] + self._noise[0]
        nis_q = y_q * y_q / s_q
        # NaN fails the comparison and is kept out.
        take = m.usable & (nis_q <= self.config.gate)
        x, cov = self._update(x, cov, 0, y_q, s_q, take)
        y_v = m.velocity - x[:, 1]
        s_v = cov[:, 1, 1] + self._noise[1]
        nis_v = y_v * y_v / s_v
        landed = take & m.standing & (nis_v > self.config.gate) & (np.abs(y_v) <= self.robot.velocity)
        if landed.any():
            cov[:, 1, 1] += np.where(landed, y_v * y_v, 0.0)
            s_v = cov[:, 1, 1] + self._noise[1]
            nis_v = y_v * y_v / s_v
        take_v = m.usable & (nis_v <= self.config.gate)
        x, cov = self._update(x, cov, 1, y_v, s_v, take_v)
        gated = m.usable & ~(take & take_v)
        out = np.where(gated, np.where(before.out_ns > 0, before.out_ns, m.stamp_ns), 0)
        relock = gated & (m.stamp_ns - out >= self.config.relock_s * NS) & np.isfinite(m.position + m.velocity)
        # A sum is finite only when each term is.
        broken = ~np.isfinite(x.sum(axis=1) + cov.sum(axis=(1, 2))) | ~(np.abs(x[:, 1]) <= self._fastest)
        anew = relock | broken
        if anew.any():
            x, cov = self._anew(before, m, x, cov, anew)
            out = np.where(anew, 0, out)
        span = (m.stamp_ns - before.stamp_ns) / NS
        return replace(
            before, stamp_ns=m.stamp_ns, acceleration=(v - before.v) / span, q=x[:, 0], v=x[:, 1], d=x[:, 2], cov=cov,
            effort=m.effort, out_ns=out, relocks=before.relocks + relock, repaired=before.repaired + broken,
            innovation=y_q, innovation_var=s_q, nis=np.where(m.usable, 0.5 * (nis_q + nis_v), 0.0), gated=gated)

    def _anew(self, before: JointBelief, m: JointInput, x: Array, cov: Array, anew: Flags) -> tuple[Array, Array]:
        """Begin from the measurement. What the drive's law would pull there is put into the disturbance, with as much
        doubt: after a jump of its encoder the drive may know of it or not."""
        sane = np.isfinite(m.position + m.velocity)
        q, v = np.where(sane, m.position, before.q), np.where(sane, m.velocity, 0.0)
        drive = self.drives.at(m.stamp_ns - 1)
        pull = np.where(drive.on, drive.kp * (drive.goal - q) + drive.kd * (drive.velocity - v), 0.0)
        fresh = self._fresh()
        fresh[:, 2, 2] += pull * pull
        x = np.where(anew[:, None], np.stack((q, v, -pull), axis=1), x)
        return x, np.where(anew[:, None, None], fresh, cov)

    def _update(self, x: Array, cov: Array, i: int, y: Array, s: Array, take: Flags) -> tuple[Array, Array]:
        """One scalar measurement of state ``i`` for each joint: P' = (I - K H) P (I - K H)^T + K r K^T."""
        gain = np.where(take, 1.0 / s, 0.0)[:, None] * cov[:, :, i]
        kept = cov - gain[:, :, None] * cov[:, i, None, :]  # (I - K H) P
        cov = kept - (kept[:, :, i] - self._noise[i] * gain)[:, :, None] * gain[:, None, :]
        return x + gain * np.where(take, y, 0.0)[:, None], 0.5 * (cov + cov.transpose(0, 2, 1))

    def _learn(self, before: JointBelief, m: JointInput, belief: JointBelief, motion: Motion) -> tuple[Array, Array]:
        """Share of the bias in what the drive adds to its command: least squares with a fading memory. Nothing is
        learnt of a joint that an open anomaly touches: a weak motor would be taken for a drive that carries less."""
        drive = self.drives.at(m.stamp_ns - 1)
        known = drive.on & np.isfinite(m.effort) & ~belief.gated & m.sound
        asked = drive.kp * (drive.goal - belief.q) + drive.kd * (drive.velocity - belief.v) + drive.effort
        fade = np.exp(-(m.stamp_ns - before.motion_ns) / NS / SHARE_MEMORY)
        num, den = before.learnt
        b = motion.own
        return (np.where(known, fade * num + b * (m.effort - asked), num), np.where(known, fade * den + b * b, den))


def _share(num: Array, den: Array) -> Array:
    """Share of the bias that each drive carries, 0 to 1; 0 while there is nothing to learn from."""
    share: Array = np.where(den > 1e-3, np.minimum(np.maximum(num / np.maximum(den, 1e-9), 0.0), 1.0), 0.0)
    return share


def share_of(belief: JointBelief) -> Array:
    """The same of a belief."""
    return _share(*belief.learnt)


class _Step:
    """The implicit step of one length with one set of gains, ready to be taken several times.

    ``loose``: moved by the disturbance alone; ``coast``: not moved by anything.
    """

    def __init__(self, owner: JointEstimator, belief: JointBelief, drive: Drive, loose: Flags, h: float,
                 effort: Array, coast: bool = False) -> None:
        robot, motion, self.owner = owner.robot, belief.motion, owner
        self.drive, self.gains, self.h, self.loose, self.coast = drive, drive.gains, h, loose, coast
        self.give = motion.give
        self.driven = drive.on & ~loose
        tight = (~loose).astype(np.float64)
        on = self.driven.astype(np.float64)
        self._on, self._tight = on, tight
        self._kp, self._kd = on * drive.kp, on * drive.kd
        sliding = np.tanh(belief.v / SLIDING)
        friction = tight * robot.frictionloss
        slope = friction / SLIDING * (1.0 - sliding * sliding)
        self._damp = tight * robot.damping + slope
        given = on * (drive.effort + belief.carried) + (1.0 - on) * effort
        self._torque = tight * (given - motion.bias) - friction * sliding + slope * belief.v + belief.d
        self._brake = 0.5 * h * self._kp + self._kd + self._damp
        self._aim(drive)
        mass = motion.mass * tight[:, None]
        mass *= tight
        mass.flat[::len(tight) + 1] += ((1.0 - tight) / self.give + 0.5 * h * (self._kd + self._damp)
                                        + 0.25 * h * h * self._kp)
        # Symmetric (so its transpose, which LAPACK need not copy, will do) and positive definite; solved several times.
        self._factor = dpotrf(mass.T, clean=False, overwrite_a=True)[0]

    def use(self, drive: Drive) -> None:
        """Other set-points with the same gains."""
        if drive is not self.drive:
            self.drive = drive
            self._aim(drive)

    def _aim(self, drive: Drive) -> None:
        """Torque that does not depend on where the joint is and how fast."""
        self._asked = self._kp * np.where(self.driven, drive.goal, 0.0) + self._kd * drive.velocity + self._torque

    def take(self, q: Array, v: Array) -> tuple[Array, Array]:
        """(q, v) a step later."""
        h = self.h
        torque = self._asked - self._kp * q - self._brake * v
        if self.coast:
            torque *= self._tight
        change = h * dpotrs(self._factor, torque)[0]
        return q + h * (v + 0.5 * change), v + change

    def linear(self) -> tuple[Array, Array]:
        """(F, Q) of each joint by itself, (n, 3, 3)."""
        h, m, o, c_ = self.h, self.give, self.owner, self.owner.config
        k, c = self._kp, self._kd + self._damp
        g = h * m / (1.0 + 0.5 * h * c * m + 0.25 * h * h * k * m)
        f = np.zeros((len(m), 3, 3))
        f[:, 1, 0], f[:, 1, 1], f[:, 1, 2] = -g * k, 1.0 - g * (0.5 * h * k + c), g
        f[:, 0, 0], f[:, 0, 1], f[:, 0, 2] = 1.0 - 0.5 * h * g * k, 0.5 * h * (1.0 + f[:, 1, 1]), 0.5 * h * g
        f[:, 2, 2] = 1.0
        told = (self._tight - self._on) * (h * c_.effort_noise) ** 2
        told += h * c_.command_period * (k * self.drive.velocity * c_.command_jitter) ** 2
        white = (g / h) ** 2 * (h * o._white / m**2 + told)
        noise = np.zeros((len(m), 3, 3))
        noise[:, 1, 1], noise[:, 0, 0] = white, 0.25 * h * h * white
        noise[:, 0, 1] = noise[:, 1, 0] = 0.5 * h * white
        noise[:, 2, 2] = h * np.where(self.loose, (c_.reaction_rate / m) ** 2, o._drift_var)
        return f, noise
