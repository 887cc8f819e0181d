"""Who notices that something is wrong with an encoder, a motor, or the forces on an arm; causes are named elsewhere.

Every watch learns how noisy its residual really is while nothing is wrong (never less than the sensors' own noise),
and takes its thresholds from how often it may be wrong, not from recordings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array
from twin_nodes.core.cusum import Cusum
from twin_nodes.core.residuals import Residual

Flags = NDArray[np.bool_]
#: Values beyond so many standard deviations teach nothing more; what cutting them there takes from a normal variance.
CUT, CUT_SHARE = 2.5, 0.955
#: Twice the log likelihood ratio that makes one cause clearly better than another (1000 : 1).
CLEARLY = 13.8
#: Samples in a block.
BLOCK = 10
#: Of reported velocities, which a drift is told from, rad/s: their noise, and for how much they may all be off in the
#: same way for seconds, being samples at one phase of a motion that ripples with the commands (0.035 was seen).
VELOCITY_NOISE, VELOCITY_BIAS = 0.05, 0.04


class Spread:
    """Standard deviation of each channel, learned slowly; quickly for the first ``quick`` values."""

    def __init__(self, n: int, quick: int, slow: int) -> None:
        self._variance = np.zeros(n)
        self._quick, self._slow, self._count = quick, slow, 0

    def learn(self, x: Array, floor: Array, may: Flags) -> Array:
        """Take one value each where ``may``; returns the standard deviation (n,), at least ``floor``."""
        self._count += 1
        share = 4.0 / self._quick if self._count < self._quick else 1.0 / self._slow
        known = may & np.isfinite(x)
        least = np.maximum(self._variance, floor * floor)
        square = np.minimum(np.where(known, x * x, least), CUT * CUT * least) / CUT_SHARE
        self._variance = np.where(known, least + share * (square - least), self._variance)
        std: Array = np.sqrt(np.maximum(self._variance, floor * floor))
        return std


class EncoderWatch:
    """Jumps: one step that no noise makes, and that stays. Drift: many small ones the same way. Frozen: none at all
    while the joint is told to move. ``offset``: sum of what has stayed, rad."""

    BEFORE, AFTER, RING = 20, 10, 32
    #: Reported velocities are off by so much of themselves (see RIPPLE in residuals.py).
    SCALE = 0.2
    #: Identical positions in a row, and how far the command has moved meanwhile, rad: a frozen encoder, and one that
    #: may be, of whose motor nothing can be told.
    SAME, MOVED = 20, 0.05
    FEW, LITTLE = 5, 0.003

    def __init__(self, n: int, sigmas: float, k: float, h: float) -> None:
        self.offset = np.zeros(n)
        self.offset_error = np.zeros(n)
        self.frozen: Flags = np.zeros(n, dtype=bool)
        self.stuck: Flags = np.zeros(n, dtype=bool)
        self.drifting: Flags = np.zeros(n, dtype=bool)
        self.rate = np.zeros(n)
        self.spread = Spread(n, 400, 2000)
        self._n, self._sigmas = n, sigmas
        self._drift = Cusum(n, k, h, 60)
        self._ring = np.zeros((self.RING, n))
        self._sum, self._count = np.zeros(n), 0
        self._since = np.full(n, -1)
        self._before = np.zeros(n)
        self._block = np.zeros((3, n))  # mean of the block before, sum of this one, distance travelled
        self._same, self._moved = np.zeros(n, dtype=np.int64), np.zeros(n)
        self._q_ref: Array | None = None

    def correct(self, joints: NDArray[np.intp]) -> None:
        """The offsets of these joints are taken care of."""
        self.offset[joints] = 0.0

    def believe(self, change: Array, least: float) -> None:
        """The model takes ``change`` (n,) rad more of what the encoders say for wrong: so much less is left to be
        found; less than 0, as when a correction is taken back: known, but open again. ``least``: standard error of an
        offset that was found before all was begun anew."""
        moved = change != 0.0
        self.offset = np.where(moved, self.offset - change, self.offset)
        unsure = np.where(self.offset_error > 0.0, self.offset_error, least)
        self.offset_error = np.where(moved, unsure, self.offset_error)
        self.offset[moved & (np.abs(self.offset) <= 3.0 * self.offset_error)] = 0.0
        self._q_ref = None  # what is commanded is told by another measure

    def update(self, r: Residual, commanded: Array, may: Flags) -> Flags:
        """Which joints' encoders are wrong now, by what is confirmed."""
        std = self.spread.learn(r.step, r.noise_step, may)
        bound = self._sigmas * std + self.SCALE * np.abs(r.velocity) * r.dt
        jumped = (np.abs(r.step) > bound) & (self._since < 0) & (self._count > self.RING)
        if jumped.any():
            recent = [(self._count - 1 - k) % self.RING for k in range(self.BEFORE)]
            self._before[jumped] = self._ring[recent].mean(axis=0)[jumped]
            self._since[jumped] = 0
        self._sum = self._sum + r.step
        self._ring[self._count % self.RING] = self._sum
        self._count += 1
        if (self._since >= 0).any():
            self._confirm(std)
        self._look_for_drift(r, std)
        self._look_for_frozen(r, commanded)
        wrong: Flags = (np.abs(self.offset) > 3.0 * self.offset_error) & (self.offset_error > 0.0)
        return wrong | self.drifting | self.frozen

    def _confirm(self, std: Array) -> None:
        self._since[self._since >= 0] += 1
        due = self._since > self.AFTER
        if due.any():
            recent = [(self._count - 1 - k) % self.RING for k in range(self.AFTER)]
            stayed = self._ring[recent].mean(axis=0) - self._before
            real = due & (np.abs(stayed) > 0.5 * self._sigmas * std)
            self.offset[real] += stayed[real]
            self.offset_error[real] = std[real] * np.sqrt(0.5 / self.AFTER + 0.5 / self.BEFORE)
            gone = real & (np.abs(self.offset) < 0.5 * self._sigmas * std)
            self.offset[gone] = 0.0
            self._since[due] = -1

    def _look_for_drift(self, r: Residual, std: Array) -> None:
        """Block means of the summed steps: encoder noise stays bounded in them, a drift does not, and the noise of the
        velocities that the steps were freed of adds up like a walk."""
        last, total, way = self._block
        total += self._sum
        way += np.abs(r.velocity) * r.dt
        if self._count % BLOCK:
            return
        mean = total / BLOCK
        step = np.where((self._since >= 0) | (self._count < 4 * BLOCK), 0.0, mean - last)
        # a jump that was seen is no drift
        step = np.where(np.abs(step) > self._sigmas * std, 0.0, step)
        spread = np.sqrt(std**2 / BLOCK + BLOCK * (VELOCITY_NOISE * r.dt) ** 2 + (BLOCK * VELOCITY_BIAS * r.dt) ** 2
                         + (self.SCALE * way) ** 2)
        self.drifting = self._drift.update(step / spread)
        self.rate += 0.1 * (step / (BLOCK * r.dt) - self.rate)
        last[:], total[:], way[:] = mean, 0.0, 0.0

    def _look_for_frozen(self, r: Residual, commanded: Array) -> None:
        still = r.same
        self._same = np.where(still, self._same + 1, 0)
        ref, self._q_ref = self._q_ref, commanded
        if ref is not None:
            self._moved = np.where(still, self._moved + _or_zero(np.abs(commanded - ref)), 0.0)
        self.frozen = (self._same >= self.SAME) & (self._moved > self.MOVED)
        self.stuck = (self._same >= self.FEW) & (self._moved > self.LITTLE)


class MotorWatch:
    """Likelihood ratio of a motor that gives ``share`` of what it is asked for against one that gives all (Page's sum
    of log likelihood ratios; its mean time between false alarms is at least exp(h) samples: Lorden, "Procedures for
    reacting to a change in distribution", Ann. Math. Statist. 42, 1971), and a two-sided sum for any other error."""

    def __init__(self, n: int, share: float, h: float, k: float, h_mean: float) -> None:
        self.spread = Spread(n, 400, 2000)
        self.std = np.zeros(n)
        self._slope, self._h = 1.0 - 1.0 / share, h
        self._score = np.zeros(n)
        self._mean = Cusum(n, k, h_mean, 400)
        #: Since a joint's sums were last zero: torque x error, torque squared, error, its square, count.
        self._sums, self._new, self._recent = np.zeros((5, n)), np.zeros((5, n)), np.zeros((2, n))

    def clear(self, where: Flags) -> None:
        self._score[where] = 0.0
        self._sums[:, where] = 0.0
        self._mean.clear(where)

    def update(self, r: Residual, may: Flags, learn: Flags) -> Flags:
        """Which motors do not give what they are asked for; ``may``: where that can be judged."""
        self.std = std = self.spread.learn(r.given, r.noise_given, learn)
        known = may & np.isfinite(r.given)
        e, torque = np.where(known, r.given, 0.0), np.where(known, r.torque, 0.0)
        less = self._slope * torque
        score = self._score + (less * e - 0.5 * less * less) / (std * std)
        self._score = np.minimum(np.maximum(score, 0.0), 1.5 * self._h)
        sums = self._sums
        sums[:, (self._score <= 0.0) & (self._mean.level <= 0.0)] = 0.0
        new = self._new
        new[0], new[1], new[2], new[3], new[4] = torque * e, torque * torque, e, e * e, known
        sums += new
        self._recent += (r.dt / 0.7) * (new[:2] - self._recent)
        return (self._score > self._h) | self._mean.update(e / std)

    def share(self, i: int) -> tuple[float, float, bool]:
        """(share of the torque, its standard error, whether that explains it: an encoder that is off would have jumped,
        so a constant error must explain it clearly better to be believed)."""
        te, tt, e, ee, count = self._sums[:, i]
        slope = te / max(tt, 1e-9)
        scaled, constant = ee - te * slope, ee - e * e / max(count, 1.0)
        share = 1.0 / max(1.0 - slope, 1e-3)
        clearly = CLEARLY * float(self.std[i]) ** 2
        return share, share * share * float(self.std[i]) / np.sqrt(max(tt, 1e-9)), bool(scaled <= constant + clearly)

    def offset(self, i: int, kp: float) -> float:
        """Constant error in rad of the position that explains the torque."""
        _, _, e, _, count = self._sums[:, i]
        return float(e / max(count, 1.0) / max(kp, 1e-9))

    def recovered(self, i: int) -> bool:
        """Whether the last second shows a motor that gives all again."""
        te, tt = self._recent[:, i]
        return bool(tt > 0.05 and te / tt > 0.5 * self._slope)


class ForceWatch:
    """Block means of the external torque against their spread, a two-sided sum for each joint."""

    def __init__(self, n: int, k: float, h: float) -> None:
        self.spread = Spread(n, 40, 400)
        self.mean, self.std = np.zeros(n), np.ones(n)
        self.z = np.zeros(n)
        self._cusum = Cusum(n, k, h, 100)
        self._total, self._count = np.zeros(n), 0
        self._alarm: Flags = np.zeros(n, dtype=bool)

    def clear(self, where: Flags) -> None:
        self._cusum.clear(where)
        self._alarm = self._alarm & ~where

    def update(self, r: Residual, floor: Array, may: Flags) -> Flags | None:
        """Once a block: on which joints something pushes; in between None. ``floor`` (n,) N m: error of the model."""
        self._total += _or_zero(r.external)
        self._count += 1
        if self._count % BLOCK:
            return None
        self.mean = self._total / BLOCK
        self._total = np.zeros_like(self.mean)
        least = np.sqrt(_or_zero(r.noise_external) ** 2 / BLOCK + floor**2)
        self.std = self.spread.learn(self.mean, least, may & np.isfinite(r.external))
        self.z = np.where(np.isfinite(r.external), self.mean / self.std, 0.0)
        self._alarm = self._cusum.update(self.z)
        return self._alarm


def _or_zero(x: Array) -> Array:
    known: Array = np.where(np.isfinite(x), x, 0.0)
    return known
