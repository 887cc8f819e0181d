"""Inverse kinematics of a hand: where the arm's joints must be for the hand's point to be there.

Levenberg-Marquardt on weighted residuals (Nocedal and Wright, ch. 10) with the joint limits kept by
projection: position in m, pointing direction as a unit vector, distance from a comfortable posture in rad.
Several starts; the best is taken. Everything in the base frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from humanoid_core.kinematics import Kinematics
from humanoid_core.robot_model import Array, RobotModel

#: Stay this far inside the joint limits, rad.
LIMIT_MARGIN = 0.05
#: Bent further than this, a wrist folds the hand onto the forearm, rad.
WRIST_RANGE = 1.25
#: Waist joints lend a hand, but dearly: leaning moves the centre of mass and turns the camera.
WAIST_RANGE = {"waist_yaw_joint": 0.35, "waist_pitch_joint": 0.15}
#: Weights of the residuals: per m, per unit vector, per rad of arm and of waist.
W_POINT, W_POSTURE, W_WAIST = 100.0, 0.04, 1.5


@dataclass(frozen=True)
class Reach:
    """``q`` (n,) whole robot; ``error`` m from hand to target; ``axis_error`` rad (0 without an axis)."""

    q: Array
    error: float
    axis_error: float


@dataclass(frozen=True)
class Wish:
    """Where a hand shall be: its ``point`` (3,) in the hand link's frame at ``target`` (3,) m, and, when
    ``axis`` (3,) unit is given, its pointing direction along it with ``axis_weight``. Base frame."""

    side: str
    target: Array
    point: Array
    axis: Array | None = None
    axis_weight: float = 0.3


class ArmIk:
    """Solves for one arm and, a little, the waist. Not for use from two threads at once."""

    def __init__(self, robot: RobotModel, kinematics: Kinematics | None = None, waist: bool = True) -> None:
        self.robot = robot
        self.kinematics = kinematics or Kinematics(robot)
        self._joints: dict[str, np.ndarray] = {}
        self._bounds: dict[str, tuple[Array, Array]] = {}
        self._weights: dict[str, Array] = {}
        for side in robot.hands:
            arm = list(robot.groups[f"{side}_arm"])
            body = [robot.index(n) for n in WAIST_RANGE if n in robot.joint_names] if waist else []
            index = np.array(body + arm, dtype=np.intp)
            low, high = robot.lower[index] + LIMIT_MARGIN, robot.upper[index] - LIMIT_MARGIN
            for i, joint in enumerate(body):
                reach = WAIST_RANGE[robot.joint_names[joint]]
                low[i], high[i] = max(low[i], -reach), min(high[i], reach)
            wrist = np.array(["wrist" in robot.joint_names[i] for i in index])
            low[wrist] = np.maximum(low[wrist], -WRIST_RANGE)
            high[wrist] = np.minimum(high[wrist], WRIST_RANGE)
            self._joints[side], self._bounds[side] = index, (low, high)
            self._weights[side] = np.array([W_WAIST] * len(body) + [W_POSTURE] * len(arm))

    def solve(self, wish: Wish, starts: Sequence[Array], posture: Array) -> Reach:
        """Fulfil a wish. ``starts``: whole-robot joint vectors (n,) to begin from; ``posture`` (n,): where the
        spare freedom is drawn to. Joints outside arm and waist keep their value of the start."""
        best: Reach | None = None
        for start in starts:
            reach = self._descend(wish, start, posture)
            if best is None or _cost(reach) < _cost(best) - 1e-3:
                best = reach
            if best.error < 0.002 and best.axis_error < 0.1:
                break
        assert best is not None, "solve needs at least one start"
        return best

    def _descend(self, wish: Wish, start: Array, posture: Array) -> Reach:
        index, (low, high) = self._joints[wish.side], self._bounds[wish.side]
        q = np.array(start, dtype=np.float64)
        x = np.clip(q[index], low, high)
        damping = 1e-2
        q[index] = x
        residual, jacobian = self._linearise(wish, q, posture)
        for _ in range(60):
            gradient = jacobian.T @ residual
            free = ~(((x <= low) & (gradient > 0.0)) | ((x >= high) & (gradient < 0.0)))
            h = jacobian[:, free].T @ jacobian[:, free]
            h[np.diag_indices_from(h)] += damping
            step = np.zeros_like(x)
            step[free] = -np.linalg.solve(h, gradient[free])
            tried = np.clip(x + np.clip(step, -0.4, 0.4), low, high)
            q[index] = tried
            new, new_jacobian = self._linearise(wish, q, posture)
            if new @ new < residual @ residual:
                small = float(np.max(np.abs(tried - x))) < 1e-5
                x, residual, jacobian, damping = tried, new, new_jacobian, max(damping * 0.3, 1e-6)
                if small:
                    break
            else:
                damping *= 5.0
                if damping > 1e6:
                    break
        q[index] = x
        return self._outcome(wish, q)

    def _linearise(self, wish: Wish, q: Array, posture: Array) -> tuple[Array, Array]:
        """Residuals (m,) and their Jacobian (m, joints)."""
        k, link, index = self.kinematics, self.robot.hands[wish.side].link, self._joints[wish.side]
        w = self._weights[wish.side]
        k.update(q)
        residuals = [W_POINT * (k.position(link, wish.point) - wish.target), w * (q[index] - posture[index])]
        jacobians = [W_POINT * k.jacobian(link, wish.point)[:, index], np.diag(w)]
        if wish.axis is not None:
            # d(direction) = omega x direction
            direction = k.hand(wish.side)[1]
            turn = k.rotation_jacobian(link)[:, index]
            residuals.append(wish.axis_weight * (direction - wish.axis))
            jacobians.append(wish.axis_weight * (_skew(direction).T @ turn))
        return np.concatenate(residuals), np.vstack(jacobians)

    def _outcome(self, wish: Wish, q: Array) -> Reach:
        k = self.kinematics
        k.update(q)
        error = float(np.linalg.norm(k.position(self.robot.hands[wish.side].link, wish.point) - wish.target))
        direction = k.hand(wish.side)[1]
        angle = 0.0 if wish.axis is None else float(np.arccos(np.clip(direction @ wish.axis, -1.0, 1.0)))
        return Reach(q, error, angle)


def _skew(v: Array) -> Array:
    """The matrix (3, 3) with skew(v) @ w = v x w."""
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def _cost(reach: Reach) -> float:
    return reach.error + 0.02 * reach.axis_error
