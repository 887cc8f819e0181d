"""The onboard balance controller of the legs: keeps a standing humanoid on its own feet.

Law: stiff PD to the stance plus an ankle strategy on the capture point xi = c + v sqrt(z / g) of the whole
body (Pratt et al. 2006). With e = xi - target, target the middle of the contact points, in the heading frame:
ankle pitch gets + kx e_x and ankle roll - ky e_y, N m per foot. A slow integral of the centre of mass error
leans the stance (ankle pitch and roll reference), so that a constant load, such as arms stretched over a
table, does not eat up the margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from humanoid_core.kinematics import GRAVITY, Indices
from humanoid_core.robot_model import Array, RobotModel


@dataclass(frozen=True)
class BalanceGains:
    """Gains per weight m g, so that another robot starts from something sensible."""

    capture_x: float = 1.376  # N m per foot, per m of capture point error, per N of weight
    capture_y: float = 0.688
    lean_x: float = 2.5  # rad/s of ankle reference per m of centre of mass error
    lean_y: float = 1.2
    lean_max: float = 0.12  # rad
    crouch_time: float = 4.0  # s to go all the way down, or up again


def _ankles(robot: RobotModel) -> tuple[Indices, Indices]:
    """Joints of the ankles that turn about the body's y (pitch) and x (roll): by name, or by axis where the name does
    not say."""
    pitch, roll = [], []
    for i in robot.groups.get("legs", ()):
        name, axis = robot.joint_names[i].lower(), robot.axes[i]
        if "ankle" not in name:
            continue
        if "pitch" in name or ("roll" not in name and axis is not None and abs(axis[1]) > 0.7):
            pitch.append(i)
        elif "roll" in name or (axis is not None and abs(axis[0]) > 0.7):
            roll.append(i)
    return np.array(pitch, dtype=np.intp), np.array(roll, dtype=np.intp)


class Balance:
    """Adds stance references and ankle torque for ``legs``; reads the simulated body it runs in, nothing
    else."""

    def __init__(self, robot: RobotModel, model: mujoco.MjModel, gains: BalanceGains | None = None) -> None:
        self.gains = gains or BalanceGains()
        self.legs = np.array(robot.groups.get("legs", ()), dtype=np.intp)
        self.pitch, self.roll = _ankles(robot)
        #: Without feet and ankles there is nothing to balance with: the legs hold their posture.
        self.active = bool(len(robot.feet)) and len(self.pitch) > 0 and not robot.base_fixed
        self._stand, self._crouch = robot.stand, robot.crouch
        self._base = model.body(robot.base_link).id
        self._feet = [(model.body(f.link).id, f.points.mean(axis=0)) for f in robot.feet]
        self._weight = GRAVITY * float(model.body_subtreemass[self._base])
        self._kx = self.gains.capture_x * self._weight * 2.0 / max(len(self.pitch), 1)
        self._ky = self.gains.capture_y * self._weight * 2.0 / max(len(self.roll), 1)
        self.reset()

    def reset(self) -> None:
        """Forget the lean and stand up."""
        self.lean_x = self.lean_y = 0.0
        self.depth = 0.0  # 0 standing .. 1 crouched

    def reference(self, reference: Array, dt: float, crouch: bool) -> None:
        """Write the legs' part of ``reference`` (n,): stance, crouch depth and lean."""
        step = dt / self.gains.crouch_time
        self.depth = min(self.depth + step, 1.0) if crouch else max(self.depth - step, 0.0)
        legs = self.legs
        if self.depth > 0.0:
            s = self.depth * self.depth * (3.0 - 2.0 * self.depth)
            reference[legs] = self._stand[legs] + s * (self._crouch[legs] - self._stand[legs])
        else:
            reference[legs] = self._stand[legs]
        if self.active:
            reference[self.pitch] += self.lean_x
            reference[self.roll] -= self.lean_y

    def ankles(self, data: mujoco.MjData, velocity: Array, dt: float) -> tuple[float, float]:
        """Return the torque (pitch, roll) for each ankle, N m. ``velocity`` (3,) of the centre of mass,
        world."""
        c, x = data.subtree_com[self._base], data.xpos
        height = fx = fy = fz = 0.0
        for body, middle in self._feet:
            m = data.xmat[body]
            p = x[body]
            fx += p[0] + m[0] * middle[0] + m[1] * middle[1] + m[2] * middle[2]
            fy += p[1] + m[3] * middle[0] + m[4] * middle[1] + m[5] * middle[2]
            fz += p[2]
        k = 1.0 / len(self._feet)
        height = max(c[2] - fz * k, 0.1)
        m = data.xmat[self._base]
        norm = math.hypot(m[0], m[3]) or 1.0
        cos, sin = m[0] / norm, m[3] / norm
        cx, cy = c[0] - fx * k, c[1] - fy * k
        w = math.sqrt(height / GRAVITY)
        ex, ey = cx + velocity[0] * w, cy + velocity[1] * w
        gains, limit = self.gains, self.gains.lean_max
        lean_x = self.lean_x + gains.lean_x * dt * (cos * cx + sin * cy)
        lean_y = self.lean_y + gains.lean_y * dt * (cos * cy - sin * cx)
        self.lean_x = min(max(lean_x, -limit), limit)
        self.lean_y = min(max(lean_y, -limit), limit)
        return self._kx * (cos * ex + sin * ey), -self._ky * (cos * ey - sin * ex)
