"""Friction of each joint, torque scale and load in the hand, from motion, with intervals; recursive and forgetting.

With the momentum observer's low pass LP on both sides no acceleration is needed (filtered regression: Slotine and Li,
"On the adaptive control of robot manipulators", IJRR 6(3), 1987; survey: Swevers, Verdonck and De Schutter, "Dynamic
model identification for industrial robots", IEEE Control Systems 27(5), 2007)::

    y = LP(torque - M a - b) = viscous LP(v) + coulomb LP(sign v) + mass LP(J^T (h' - g)) + (1 - scale) LP(torque)

J is a hand's Jacobian of the joints of its arm, h its velocity by all joints above the base. Samples are summed into
blocks of a second; information fades with each.
The intervals come from how much the blocks differ (cluster-robust: Liang and Zeger, "Longitudinal data analysis using
generalized linear models", Biometrika 73, 1986), since what a rigid model leaves over is not white.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from twin_nodes.core.estimate import Estimate
from twin_nodes.core.explain import Arms
from twin_nodes.core.joint_dynamics import Motion
from twin_nodes.core.observer import MomentumObserver

#: Bandwidth of the low pass, 1/s; length of a block, s; how many are kept; what is left of their weight after another.
GAIN, BLOCK, KEPT, FADE = 20.0, 1.0, 240, 0.998
#: Joints slower than this, rad/s, stick and slide: their friction is anything up to its limit. How much of the low pass
#: must be filled with one direction: a twentieth of what stuck before still bent the friction of light joints.
SLIDING, DECIDED = 0.1, 0.995
VISCOUS, COULOMB, LOAD, SCALE = range(4)
#: Blocks that hold something, sliding either way, rad, and condition number of the scaled information that suffice.
LEAST_BLOCKS, LEAST_WAY, WORST_CONDITION = 12, 0.5, 50.0
CONFIDENCE = 0.95
#: What statistics do not show of a load: share of it that a base held still and point masses get wrong, and kg.
RIGID, LIGHT = 0.015, 0.01


@dataclass(frozen=True)
class Value:
    """An identified number with its 95 % interval; ``problem``: why it cannot be used, '' when it can."""

    value: float
    low: float
    high: float
    problem: str = ""

    @property
    def error(self) -> float:
        return 0.5 * (self.high - self.low)


@dataclass
class _Block:
    information: Array
    moment: Array
    way: Array  # (2, n) forwards and backwards
    count: Array
    begin_ns: int


class Identification:
    """One update per estimate; ``arms`` must look at the dynamics from which the motion comes."""

    def __init__(self, robot: RobotModel, arms: Arms) -> None:
        self.robot, self.arms = robot, arms
        self._observer = MomentumObserver(robot.n, GAIN)
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        n = self.robot.n
        self._observer.clear()
        self._last: Estimate | None = None
        self._hand: dict[str, tuple[Array, Array]] = {}
        self._filtered = np.zeros((3, n))
        self._rows = np.zeros((4, n))
        self.blocks: deque[_Block] = deque(maxlen=KEPT)
        self._new = self._block()
        self._begin_ns = 0

    def forget(self, joints: NDArray[np.intp]) -> None:
        """What was learned of these joints no longer holds."""
        for block in (*self.blocks, self._new):
            block.information[joints], block.moment[joints], block.way[:, joints] = 0.0, 0.0, 0.0
            block.count[joints] = 0.0

    def update(self, now: Estimate, motion: Motion, may: NDArray[np.bool_]) -> None:
        """``may``: joints whose numbers are sound now."""
        last, self._last = self._last, now
        dt = 0.0 if last is None else (now.stamp_ns - last.stamp_ns) / NS
        if last is None or not 0.0 < dt <= 0.1:
            self._observer.clear()
            self._hand.clear()
            self._filtered[:], self._rows[LOAD] = 0.0, 0.0
            self._begin_ns = now.stamp_ns
            return
        # estimated velocities: of the slow noise that matters here they have a fraction of what the measured ones have
        torque, v = now.mean_effort, now.velocity
        known = np.isfinite(torque)
        torque = np.where(known, torque, 0.0)
        left = -self._observer.update(dt, motion, v, torque)
        self._weigh(dt, v)
        filtered = self._filtered
        filtered[0] += GAIN * (now.position - last.position)
        filtered[1] += GAIN * dt * np.sign(now.velocity)
        filtered[2] += GAIN * dt * torque
        filtered /= 1.0 + GAIN * dt
        rows = self._rows
        rows[VISCOUS], rows[COULOMB], rows[SCALE] = filtered
        if now.stamp_ns - self._begin_ns < NS:
            return
        use = may & known & (np.abs(filtered[1]) > DECIDED) & (np.abs(now.velocity) > SLIDING)
        self._add(left, use, dt)

    def _weigh(self, dt: float, v: Array) -> None:
        """Torque of one kilogram in each hand, J^T (h' - g), through the same low pass; the waist moves hands too."""
        for side, index in self.arms.joints.items():
            jacobian = self.arms.jacobian(side)
            now = jacobian, jacobian @ v
            before, self._hand[side] = self._hand.get(side, now), now
            pushed = 0.5 * (jacobian + before[0])[:, index].T @ (now[1] - before[1] - dt * self.arms.gravity)
            self._rows[LOAD, index] = (self._rows[LOAD, index] + GAIN * pushed) / (1.0 + GAIN * dt)

    def _add(self, y: Array, use: NDArray[np.bool_], dt: float) -> None:
        new, rows = self._new, self._rows * use
        new.information += rows.T[:, :, None] * rows.T[:, None, :]
        new.moment += (rows * y).T
        speed = rows[VISCOUS] * dt
        new.way[0] += np.maximum(speed, 0.0)
        new.way[1] += np.maximum(-speed, 0.0)
        new.count += use
        assert self._last is not None
        if self._last.stamp_ns - new.begin_ns >= BLOCK * NS:
            for block in self.blocks:
                block.information *= FADE
                block.moment *= FADE
            self.blocks.append(new)
            self._new = self._block()

    def _block(self) -> _Block:
        n = self.robot.n
        begin_ns = 0 if self._last is None else self._last.stamp_ns
        return _Block(np.zeros((n, 4, 4)), np.zeros((n, 4)), np.zeros((2, n)), np.zeros(n), begin_ns)

    # --- what was found

    def joint(self, i: int, columns: tuple[int, ...] = (VISCOUS, COULOMB, LOAD)) -> dict[int, Value]:
        """Column -> value. A joint without a hand behind it has no load."""
        use = tuple(c for c in columns if c != LOAD or any(i in index for index in self.arms.joints.values()))
        blocks = [b for b in self.blocks if b.count[i] > 20]
        problem = self._poor(i, blocks, use)
        theta, influence = _solve(blocks, i, use)
        width = _width(influence, len(use))
        return {c: Value(float(theta[k]), float(theta[k] - width[k]), float(theta[k] + width[k]), problem)
                for k, c in enumerate(use)}

    def load(self, side: str) -> Value:
        """Mass in a hand in kg: what its joints say, weighted by how sure each is."""
        found, weights, problem = [], [], "no joint of the arm has moved enough"
        sums: dict[int, float] = {}
        for i in (int(i) for i in self.arms.joints[side]):
            blocks = [b for b in self.blocks if b.count[i] > 20]
            if self._poor(i, blocks, (VISCOUS, COULOMB, LOAD)):
                continue
            theta, influence = _solve(blocks, i, (VISCOUS, COULOMB, LOAD))
            variance = float((influence[:, LOAD] ** 2).sum())
            if variance > 0.0:
                found.append(float(theta[LOAD]))
                weights.append(1.0 / variance)
                for block, share in zip(blocks, influence[:, LOAD], strict=True):
                    sums[id(block)] = sums.get(id(block), 0.0) + float(share) / variance
        if not found:
            return Value(float("nan"), float("nan"), float("nan"), problem)
        total = sum(weights)
        mass = sum(f * w for f, w in zip(found, weights, strict=True)) / total
        width = float(np.hypot(_width(np.array([[s / total] for s in sums.values()]), 1)[0], RIGID * mass + LIGHT))
        return Value(mass, mass - width, mass + width)

    def _poor(self, i: int, blocks: list[_Block], use: tuple[int, ...]) -> str:
        """Why the motion so far does not tell the parameters of a joint apart, '' when it does."""
        if len(blocks) < LEAST_BLOCKS:
            return f"moved in {len(blocks)} of the {LEAST_BLOCKS} seconds that are needed"
        way = np.add.reduce([b.way[:, i] for b in blocks])
        if not float(way.min()) >= LEAST_WAY:
            return f"moved {way[0]:.2f} rad one way and {way[1]:.2f} rad the other, {LEAST_WAY} are needed"
        worst = condition(_sub(np.add.reduce([b.information[i] for b in blocks]), use))
        return f"condition number {worst:.0f} above {WORST_CONDITION:.0f}" if not worst <= WORST_CONDITION else ""


def condition(information: Array) -> float:
    """Condition number of an information matrix with its parameters scaled to one size; inf when one is silent."""
    size = np.sqrt(np.diag(information))
    if not bool((size > 1e-9).all()):
        return float("inf")
    return float(np.linalg.cond(information / np.outer(size, size)))


def _sub(information: Array, use: tuple[int, ...]) -> Array:
    return information[np.ix_(use, use)]


def _solve(blocks: list[_Block], i: int, use: tuple[int, ...]) -> tuple[Array, Array]:
    """(parameters, what each block pulls them by (blocks, parameters))."""
    pick = list(use)
    information = np.array([b.information[i] for b in blocks]).reshape(-1, 4, 4)[:, pick][:, :, pick]
    moment = np.array([b.moment[i] for b in blocks]).reshape(-1, 4)[:, pick]
    inverse = np.linalg.pinv(information.sum(axis=0), hermitian=True)
    theta: Array = inverse @ moment.sum(axis=0)
    return theta, (moment - information @ theta) @ inverse


def _width(influence: Array, parameters: int) -> Array:
    """Half of the interval of each parameter from the blocks' influences (blocks, p)."""
    count = len(influence)
    if count <= parameters:
        return np.full(influence.shape[1], np.inf)
    variance = (influence**2).sum(axis=0) * count / (count - parameters)
    width: Array = stdtrit(count - parameters, 0.5 + 0.5 * CONFIDENCE) * np.sqrt(variance)
    return width
