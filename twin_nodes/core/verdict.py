"""What a check says of one sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Verdict(NamedTuple):
    """``sample`` as it may be used (names in the robot's order), or a reason code and what is wrong."""

    sample: Any
    code: str = ""
    detail: str = ""


def refused(code: str, detail: str) -> Verdict:
    return Verdict(None, code, detail)


class Check(Protocol):
    """Looks at the contents of one kind of sample; stamps are judged before it."""

    def check(self, sample: Any) -> Verdict: ...

    def values(self, sample: Any) -> bytes:
        """Everything that a live sensor would change from sample to sample."""
        ...


@dataclass(frozen=True)
class IngestConfig:
    """Tuning of ingest; facts of the robot stand in its file."""

    future_ms: float = 5.0
    """How far a stamp may lie ahead of now."""
    handback_ms: float = 500.0
    """How long a source must be good before it takes back over from its backup."""
    clock_reset_ms: float = 100.0
    """A step back of ROS time by more than this starts everything anew."""
    window_ms: float = 1000.0
    """Span over which rate, jitter and gap are measured."""
    gap_periods: float = 2.5
    """An interval longer than so many periods is a gap."""
    lag_periods: float = 3.0
    """An IMU whose newest sample lies so many of its periods before the joints' says nothing of their instant. Judged
    between stamps: what comes late altogether is late, but whole."""
    position_margin: float = 0.2
    """rad or m beyond its limits at which a joint position cannot be true."""
    velocity_factor: float = 2.0
    """Multiple of its limit at which a joint velocity cannot be true."""
    effort_factor: float = 5.0
    """Multiple of its limit at which a joint torque cannot be true."""
    quaternion_tolerance: float = 0.01
    """Deviation of a quaternion's norm from 1."""
    gyro_limit: float = 70.0
    """rad/s; twice what common inertial units measure."""
    accel_limit: float = 320.0
    """m/s^2; twice what common inertial units measure."""
    leap: float = 0.05
    """rad by which an IMU's vertical may move from one sample to the next beside what its rate says."""
    leap_memory_ms: float = 50.0
    """How long a sample speaks for the next one; an attitude that stays away for longer is believed."""
    disagreement: float = 0.06
    """rad between the vertical of two IMUs."""
    disagreement_ms: float = 300.0
    """How long two IMUs must disagree before the worse one is dropped."""
    estimate_for: float = 10.0
    """Seconds for which the twin's estimate may stand in for a joint's lost sensor."""
