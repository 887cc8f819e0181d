"""Joint samples: names, lengths, finite numbers, and values that the joints can have."""

from __future__ import annotations

import math

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.types import JointSample
from twin_nodes.core.named import NameOrder, ordered, worst
from twin_nodes.core.verdict import IngestConfig, Verdict, refused

DEGREE = math.pi / 180.0


class JointCheck:
    """sensor_msgs/JointState. Without a robot the first sample's names are the order, and nothing is known of
    ranges."""

    def __init__(self, robot: RobotModel | None, config: IngestConfig) -> None:
        self._order = NameOrder(robot.joint_names) if robot is not None else None
        self._robot = robot
        if robot is not None:
            self.low = robot.lower - config.position_margin
            self.high = robot.upper + config.position_margin
            self.fast = robot.velocity * config.velocity_factor
            self.strong = robot.effort * config.effort_factor

    @property
    def names(self) -> tuple[str, ...]:
        """Joint names in the order of accepted samples; empty before the first one of an unknown robot."""
        return self._order.names if self._order is not None else ()

    def check(self, sample: JointSample) -> Verdict:
        names = sample.names
        if self._order is None:
            if not names or len(set(names)) != len(names):
                return refused("WRONG_NAMES", "no joint names" if not names else "a name is given twice")
            self._order = NameOrder(names)
        order, problem = self._order.of(names)
        if problem:
            return refused("WRONG_NAMES", problem)
        problem = self._lengths(sample)
        if problem:
            return refused("WRONG_LENGTH", problem)
        q, v, tau = sample.position, sample.velocity, sample.effort
        for what, values in (("position", q), ("velocity", v), ("effort", tau)):
            finite = np.isfinite(values)
            if not finite.all():
                i, name = worst(~finite, names)
                return refused("NON_FINITE", f"{what} of '{name}' is {values[i]}")
        if order is not None:
            q, v, tau = ordered(q, order), ordered(v, order), ordered(tau, order)
            sample = JointSample(sample.stamp_ns, self._order.names, q, v, tau)
        return self._range(sample) if self._robot is not None else Verdict(sample)

    def _lengths(self, sample: JointSample) -> str:
        n = len(sample.names)
        if sample.position.size != n:
            return f"position has {sample.position.size} values for {n} names"
        # A robot's driver knows velocities; a foreign recording may not.
        if sample.velocity.size != n and (self._robot is not None or sample.velocity.size):
            return f"velocity has {sample.velocity.size} values for {n} names"
        if sample.effort.size not in (0, n):
            return f"effort has {sample.effort.size} values for {n} names"
        return ""

    def _range(self, sample: JointSample) -> Verdict:
        q = sample.position
        inside = (q >= self.low) & (q <= self.high)
        if not inside.all():
            i, name = worst(~inside, sample.names)
            text = f"position of '{name}' = {q[i]:.4g}, limits {self.low[i]:.4g} to {self.high[i]:.4g}"
            return refused("OUT_OF_RANGE", text + (", looks like degrees" if self._like_degrees(q) else ""))
        for what, values, limit in (("velocity", sample.velocity, self.fast), ("effort", sample.effort, self.strong)):
            if values.size:
                inside = np.abs(values) <= limit
                if not inside.all():
                    i, name = worst(~inside, sample.names)
                    return refused("OUT_OF_RANGE", f"{what} of '{name}' = {values[i]:.4g}, limit {limit[i]:.4g}")
        return Verdict(sample)

    def _like_degrees(self, q: Array) -> bool:
        """Whether the whole vector fits when read as degrees, and several joints do not as radians."""
        rad = q * DEGREE
        outside = (q < self.low) | (q > self.high)
        return int(outside.sum()) > 1 and bool(np.all((rad >= self.low) & (rad <= self.high)))

    def values(self, sample: JointSample) -> bytes:
        return sample.position.tobytes() + sample.velocity.tobytes() + sample.effort.tobytes()
