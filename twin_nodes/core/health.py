"""Condition of each actuator: robust trends of friction, tracking error and temperature, and where they lead.

The time to the threshold is a straight line's (theil_sen.py): nothing is known here of how actuators die, so no
remaining life is claimed, and without a clear trend it is unknown (NaN).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActuatorHealth
from twin_nodes.core.theil_sen import theil_sen

KINDS = ("friction", "tracking", "temperature")
#: Points that a trend is made of, at least and at most; when full, every second one goes and the distance doubles.
LEAST, MOST = 12, 48
#: Time between two points at first, s.
SPACING = 5.0
CONFIDENCE = 0.9
#: Friction and tracking error that ask for attention: so many times what they were, and never below these (N m, rad).
TIMES, LEAST_FRICTION, LEAST_TRACKING = 2.0, 0.3, 0.02
#: A threshold further away than this is no news, s.
FAR = 30.0 * 24.0 * 3600.0
NAN = float("nan")
ADVICE = {"friction": "lubricate or inspect the gear", "tracking": "check load, motor and encoder",
          "temperature": "reduce the load or let it cool"}


@dataclass(frozen=True)
class Prediction:
    """Seconds from the newest point; NaN: unknown."""

    time: float
    low: float
    high: float


def time_to(times: Array, values: Array, threshold: float) -> Prediction:
    """When a rising series meets a threshold, with its 90 % interval; unknown unless the slope is clearly positive."""
    unknown = Prediction(NAN, NAN, NAN)
    if len(times) < LEAST or not bool(np.isfinite(values).all()):
        return unknown
    slope, intercept, low, high = theil_sen(times, values, CONFIDENCE)
    now = float(intercept + slope * times[-1])
    if now >= threshold:
        return Prediction(0.0, 0.0, 0.0)
    if not low > 0.0 or not (threshold - now) / slope <= FAR:
        return unknown
    return Prediction((threshold - now) / slope, (threshold - now) / high, (threshold - now) / low)


class Series:
    """Means of what came, evenly spaced, never more than ``MOST`` of them however long it runs. ``ahead``: what the
    newest trend says; it is worked out when a point comes, at another moment for each ``turn`` (0 to 1)."""

    def __init__(self, turn: float = 0.0) -> None:
        self._spacing = SPACING * (1.0 + turn)
        self.ahead = Prediction(NAN, NAN, NAN)
        self.times: deque[float] = deque()
        self.values: deque[float] = deque()
        self._sum, self._count, self._begin = 0.0, 0, NAN

    def add(self, time: float, value: float, threshold: float) -> None:
        if not math.isfinite(value):
            return
        if not self._count:
            self._begin = time
        self._sum, self._count = self._sum + value, self._count + 1
        if time - self._begin < self._spacing:
            return
        self.times.append(0.5 * (self._begin + time))
        self.values.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(self.times) > MOST:
            for kept in (self.times, self.values):
                thinned = list(kept)[::2]
                kept.clear()
                kept.extend(thinned)
            self._spacing *= 2.0
        self.ahead = time_to(np.array(self.times), np.array(self.values), threshold)


class Health:
    """``sample`` often, ``report`` when asked; robot order."""

    def __init__(self, robot: RobotModel) -> None:
        self.robot = robot
        self._series = [{kind: Series(i / robot.n) for kind in KINDS} for i in range(robot.n)]
        self._square, self._count = np.zeros(robot.n), np.zeros(robot.n)
        self._temperature = np.full(robot.n, NAN)
        self._viscous, self._coulomb = robot.damping.copy(), robot.frictionloss.copy()
        self._known = np.zeros(robot.n, dtype=bool)
        self._begin_ns: int | None = None
        self._last_ns = 0

    def sample(self, tracking_error: Array, temperature: Array) -> None:
        """Every estimate: commanded minus estimated position (NaN: not commanded), degrees Celsius."""
        asked = np.isfinite(tracking_error)
        self._square += np.where(asked, tracking_error, 0.0) ** 2
        self._count += asked
        self._temperature = temperature

    def friction(self, i: int, viscous: float, coulomb: float) -> None:
        """What was identified last for one joint."""
        self._viscous[i], self._coulomb[i], self._known[i] = viscous, coulomb, True

    def report(self, stamp_ns: int) -> tuple[ActuatorHealth, ...]:
        """Close the interval since the report before (about a second) and say how each actuator is."""
        if self._begin_ns is None:
            self._begin_ns = stamp_ns
        elif stamp_ns < self._last_ns:  # the clock was set back: the trends' own time goes on
            self._begin_ns -= self._last_ns - stamp_ns
        self._last_ns = stamp_ns
        now = (stamp_ns - self._begin_ns) / NS
        with np.errstate(invalid="ignore", divide="ignore"):
            tracking = np.sqrt(self._square / self._count)
        self._square[:], self._count[:] = 0.0, 0.0
        return tuple(self._one(i, now, float(tracking[i])) for i in range(self.robot.n))

    def _one(self, i: int, now: float, tracking: float) -> ActuatorHealth:
        robot, series = self.robot, self._series[i]
        friction = float(self._viscous[i] + self._coulomb[i]) if self._known[i] else NAN
        temperature = float(self._temperature[i])
        file = float(robot.damping[i] + robot.frictionloss[i])
        first = series["tracking"].values[0] if series["tracking"].values else 0.0
        limits = (max(TIMES * file, LEAST_FRICTION), max(TIMES * first, LEAST_TRACKING), robot.thermal.warn)
        for kind, value, limit in zip(KINDS, (friction, tracking, temperature), limits, strict=True):
            series[kind].add(now, value, limit)
        found = {kind: series[kind].ahead for kind in KINDS}
        near = [kind for kind in KINDS if math.isfinite(found[kind].time)]
        trend = min(near, key=lambda kind: found[kind].time) if near else ""
        when = found[trend] if trend else Prediction(NAN, NAN, NAN)
        known = self._known[i]
        return ActuatorHealth(robot.joint_names[i], float(self._viscous[i]) if known else NAN,
                              float(self._coulomb[i]) if known else NAN, tracking, temperature, trend, when.time,
                              when.low, when.high, _advice(trend, when))


def _advice(trend: str, when: Prediction) -> str:
    if not trend:
        return ""
    soon = "now" if when.time <= 0.0 else f"in about {when.time / 60.0:.0f} min, if it goes on like this"
    return f"{trend} reaches its threshold {soon}: {ADVICE[trend]}"
