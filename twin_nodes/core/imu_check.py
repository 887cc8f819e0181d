"""IMU samples: finite, a unit quaternion, rates and accelerations that an inertial unit can measure, and an attitude
that goes with the rate."""

from __future__ import annotations

import math

from humanoid_core.types import ImuSample
from twin_nodes.core.leap import Leap
from twin_nodes.core.verdict import IngestConfig, Verdict, refused


class ImuCheck:
    """sensor_msgs/Imu. Works on plain floats: ten of them are faster so than as arrays."""

    def __init__(self, config: IngestConfig) -> None:
        self._tolerance, self._gyro, self._accel = config.quaternion_tolerance, config.gyro_limit, config.accel_limit
        self._leap = Leap(config.leap, config.leap_memory_ms)

    def check(self, sample: ImuSample) -> Verdict:
        q = sample.orientation.tolist()
        w = sample.angular_velocity.tolist()
        a = sample.linear_acceleration.tolist()
        if len(q) != 4 or len(w) != 3 or len(a) != 3:
            return refused("WRONG_LENGTH", f"{len(q)}, {len(w)}, {len(a)} values instead of 4, 3, 3")
        # A sum is finite only when each term is (or when it overflows, which no inertial unit reaches).
        if not math.isfinite(sum(q) + sum(w) + sum(a)):
            fields = (("orientation", q), ("angular_velocity", w), ("linear_acceleration", a))
            name = next((n for n, v in fields if not all(map(math.isfinite, v))), "a sum")
            return refused("NON_FINITE", f"{name} holds NaN or infinity")
        norm = math.hypot(*q)
        if not abs(norm - 1.0) <= self._tolerance:
            return refused("NON_UNIT_QUATERNION", f"norm {norm:.4g}")
        for name, values, limit, unit in (("angular_velocity", w, self._gyro, "rad/s"),
                                          ("linear_acceleration", a, self._accel, "m/s^2")):
            largest = max(map(abs, values))
            if not largest <= limit:
                return refused("OUT_OF_RANGE", f"{name} of {largest:.4g} {unit}, limit {limit:g}")
        leap = self._leap.look(sample)
        if leap:
            return refused("ATTITUDE_LEAP", f"the vertical moved {leap:.3g} rad away from what the rate says")
        return Verdict(sample)

    def values(self, sample: ImuSample) -> bytes:
        return (sample.orientation.tobytes() + sample.angular_velocity.tobytes()
                + sample.linear_acceleration.tobytes())
