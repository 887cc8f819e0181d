"""An attitude that leaves its own gyroscope: where up was, turned by the rate, must be where up is.

    u(t + dt) = exp(-[w] dt) u(t)      u: world z in the IMU's frame, w: mean of the two rates

What is left may be as large as ``limit`` plus what the rate changed by, |w1 - w0| dt / 2. About the vertical anything
goes: a compass may set the heading anew. A sample older than ``memory`` says nothing of the next one, so an attitude
that stays where it leapt to is believed after that time; whether it is right is for the other IMU to say.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.timing import MS, NS
from humanoid_core.types import ImuSample
from twin_nodes.core.turning import angle_between, turned, up


class Leap:
    """Holds the last sample that fitted."""

    def __init__(self, limit: float, memory_ms: float) -> None:
        self._limit, self._memory_ns = limit, round(memory_ms * MS)
        self._last: ImuSample | None = None

    def look(self, sample: ImuSample) -> float:
        """By how much the attitude leapt, rad, 0.0 when it did not; then ``sample`` is the one to go by."""
        before = self._last
        span_ns = sample.stamp_ns - before.stamp_ns if before is not None else 0
        if before is not None and 0 < span_ns <= self._memory_ns:
            dt, w0, w1 = span_ns / NS, before.angular_velocity, sample.angular_velocity
            off = angle_between(up(turned(before.orientation, 0.5 * (w0 + w1), dt)), up(sample.orientation))
            if not off <= self._limit + 0.5 * dt * float(np.linalg.norm(w1 - w0)):
                return off
        self._last = sample
        return 0.0
