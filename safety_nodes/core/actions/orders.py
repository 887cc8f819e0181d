"""What an action may look at, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from humanoid_core.types import Mode, Posture


class Arms(IntEnum):
    """What the upper body does."""

    FOLLOW = 0  # the policy, or a person who jogs
    BRAKE = 1  # to rest, within the limits of acceleration and jerk, and stay
    TUCK = 2  # to the robot file's fall posture, as fast as the limits allow


@dataclass(frozen=True)
class Situation:
    """One tick as the gate knows it. Times in s; what is not known is 0, which never lets a robot go limp."""

    scale: float = 0.0  # the permit's
    accept_new: bool = False  # the permit's
    posture: Posture = Posture.HOLD  # how to come to rest in an emergency
    mode: Mode = Mode.RUN  # asked of the robot in this emergency so far
    still: bool = False  # the set-point is at rest
    low: float = 0.0  # how long the body has been crouched and at rest, measured
    lying: float = 0.0  # how long the body has been on its side and at rest, measured
    toppling: bool = False  # the body leans further than a crouched one does, measured
    settle_time: float = 1.0  # how long that must last
    damp_crouched: bool = False  # let go of a robot that has crouched


@dataclass(frozen=True)
class Orders:
    """``scale``: share of the command speed; ``mode``: asked of the onboard controller."""

    arms: Arms
    scale: float
    accept_new: bool
    mode: Mode
