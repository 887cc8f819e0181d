"""Wrenches, battery, motors and pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from humanoid_core.robot_model import RobotModel
from humanoid_core.types import BatterySample, MotorSample, WrenchSample
from twin_nodes.core.named import NameOrder, ordered, worst
from twin_nodes.core.verdict import Verdict, refused

#: A sole cannot feel more than so many times the robot's weight; without a known mass, this many newtons.
WEIGHTS, STRONGEST = 20.0, 1e5
#: Degrees Celsius that a motor's sensor can show.
COLDEST, HOTTEST = -50.0, 250.0
#: A battery above so many times its full voltage, or a robot without battery data above so many volts.
OVER_FULL, HIGHEST = 1.5, 1000.0


class WrenchCheck:
    """geometry_msgs/WrenchStamped of a sole."""

    def __init__(self, robot: RobotModel | None) -> None:
        mass = robot.mass if robot is not None else 0.0
        self._limit = WEIGHTS * 9.81 * mass if mass > 0.0 else STRONGEST

    def check(self, sample: WrenchSample) -> Verdict:
        f, t = sample.force.tolist(), sample.torque.tolist()
        if len(f) != 3 or len(t) != 3:
            return refused("WRONG_LENGTH", f"{len(f)} and {len(t)} values instead of 3 and 3")
        if not math.isfinite(sum(f) + sum(t)):
            return refused("NON_FINITE", "force or torque holds NaN or infinity")
        largest = max(map(abs, f))
        if not largest <= self._limit:
            return refused("OUT_OF_RANGE", f"force of {largest:.4g} N, limit {self._limit:.4g} N")
        return Verdict(sample)

    def values(self, sample: WrenchSample) -> bytes:
        return sample.force.tobytes() + sample.torque.tobytes()


class BatteryCheck:
    """sensor_msgs/BatteryState."""

    def __init__(self, robot: RobotModel | None) -> None:
        full = robot.battery.full_v if robot is not None else 0.0
        self._limit = OVER_FULL * full if full > 0.0 else HIGHEST

    def check(self, sample: BatterySample) -> Verdict:
        for name in ("voltage", "current", "percentage"):
            value = getattr(sample, name)
            if not math.isfinite(value):
                return refused("NON_FINITE", f"{name} is {value}")
        if not 0.0 <= sample.voltage <= self._limit:
            return refused("OUT_OF_RANGE", f"voltage of {sample.voltage:.4g} V, 0 to {self._limit:.4g} V")
        return Verdict(sample)

    def values(self, sample: BatterySample) -> bytes:
        return np.array((sample.voltage, sample.current, sample.percentage)).tobytes()


class MotorCheck:
    """humanoid_twin/MotorStatus, brought into the robot's joint order."""

    def __init__(self, robot: RobotModel | None) -> None:
        self._order = NameOrder(robot.joint_names) if robot is not None else None

    def check(self, sample: MotorSample) -> Verdict:
        if self._order is None:
            self._order = NameOrder(sample.names)
        order, problem = self._order.of(sample.names)
        if problem:
            return refused("WRONG_NAMES", problem)
        n = len(sample.names)
        fields = (("temperature", sample.temperature), ("current", sample.current), ("voltage", sample.voltage))
        for name, values in fields:
            if values.size != n:
                return refused("WRONG_LENGTH", f"{name} has {values.size} values for {n} names")
            finite = np.isfinite(values)
            if not finite.all():
                i, joint = worst(~finite, sample.names)
                return refused("NON_FINITE", f"{name} of '{joint}' is {values[i]}")
        if len(sample.fault) != n:
            return refused("WRONG_LENGTH", f"fault has {len(sample.fault)} values for {n} names")
        inside = (sample.temperature >= COLDEST) & (sample.temperature <= HOTTEST)
        if not inside.all():
            i, joint = worst(~inside, sample.names)
            return refused("OUT_OF_RANGE", f"temperature of '{joint}' = {sample.temperature[i]:.4g} degC")
        if order is None:
            return Verdict(sample)
        fault = tuple(sample.fault[i] for i in order)
        return Verdict(MotorSample(sample.stamp_ns, self._order.names, ordered(sample.temperature, order),
                                   ordered(sample.current, order), ordered(sample.voltage, order), fault))

    def values(self, sample: MotorSample) -> bytes:
        return sample.temperature.tobytes() + sample.current.tobytes() + sample.voltage.tobytes()


@dataclass(frozen=True)
class PictureStamp:
    """What ingest looks at in a picture: its stamp, its size and a digest of its bytes."""

    stamp_ns: int
    size: int
    digest: int


class PictureCheck:
    """Pictures are watched for age and freezing only; whoever looks at them judges the contents."""

    def check(self, sample: PictureStamp) -> Verdict:
        if sample.size <= 0:
            return refused("WRONG_LENGTH", "an empty picture")
        return Verdict(sample)

    def values(self, sample: PictureStamp) -> bytes:
        return sample.digest.to_bytes(8, "little", signed=True)
