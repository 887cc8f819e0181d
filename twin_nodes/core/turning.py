"""Quaternions w x y z as plain floats: a few products a sample are faster so than as arrays."""

from __future__ import annotations

import math

import numpy as np

from humanoid_core.robot_model import Array


def turned(orientation: Array, angular_velocity: Array, dt: float) -> Array:
    """Orientation (4,) after turning for ``dt`` s (either sign) at a constant rate (3,) in its own frame.

    q(t + dt) = q(t) * exp(w dt / 2); the result has norm 1.
    """
    w, x, y, z = orientation.tolist()
    a, b, c = angular_velocity.tolist()
    angle = 0.5 * dt * math.sqrt(a * a + b * b + c * c)
    # sin(angle) / |rate|, in its limit for small angles
    s = 0.5 * dt * (1.0 - angle * angle / 6.0) if angle < 1e-3 else math.sin(angle) * 0.5 * dt / angle
    r, i, j, k = math.cos(angle), a * s, b * s, c * s
    out = (w * r - x * i - y * j - z * k, w * i + x * r + y * k - z * j,
           w * j - x * k + y * r + z * i, w * k + x * j - y * i + z * r)
    norm = math.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2 + out[3] ** 2)
    return np.array(out) / norm


def up(q: Array) -> Array:
    """World z (3,) in the frame of a unit quaternion (4,): the last row of its matrix."""
    w, x, y, z = q.tolist()
    return np.array((2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)))


def product(p: Array, q: Array) -> Array:
    """Hamilton product (4,): turn by ``q`` in the frame that ``p`` gives."""
    a, b, c, d = p.tolist()
    w, x, y, z = q.tolist()
    return np.array((a * w - b * x - c * y - d * z, a * x + b * w + c * z - d * y,
                     a * y - b * z + c * w + d * x, a * z + b * y - c * x + d * w))


def angle_between(a: Array, b: Array) -> float:
    """Angle in rad between two vectors (3,); NaN when one has no length."""
    n = float(np.linalg.norm(a) * np.linalg.norm(b))
    return math.acos(max(-1.0, min(1.0, float(a @ b) / n))) if n > 1e-9 else float("nan")
