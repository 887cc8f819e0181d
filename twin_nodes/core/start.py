"""Where a look ahead begins: what the twin knows of joints, base and set-points at the newest measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from twin_nodes.core.estimator import share_of
from twin_nodes.core.joint_dynamics import LEVEL
from twin_nodes.core.revision import Revision
from twin_nodes.core.twin import TwinCore

#: Period of the gate's commands.
TICK_NS = 10 * MS
LEVEL_QUAT: Array = np.array([1.0, 0.0, 0.0, 0.0])
STILL: Array = np.zeros(3)


@dataclass(frozen=True)
class SetPoint:
    """In effect from ``start_ns`` on; ``position`` (where the joint is to be, see ``Drive.goal``), ``velocity`` (n,),
    NaN and 0 for a joint nobody commanded."""

    start_ns: int
    position: Array
    velocity: Array


@dataclass(frozen=True)
class Start:
    """Joint arrays (n,) in robot order. ``d``: disturbance torque, N m; ``share`` of the model's bias that the drive
    carries by itself; ``driven``: joints with a set-point. ``setpoints``: in effect and on their way, oldest first, one
    each 10 ms. ``delay``: from a command's stamp to its effect, s. ``gravity`` (3,) in the base's frame, ``base``
    quaternion w x y z, ``linear`` m/s in the world, ``turning`` rad/s in the base; ``feet``: which ones stand.
    ``revision`` of the model, None: the robot file."""

    stamp_ns: int
    q: Array
    v: Array
    d: Array
    share: Array
    driven: NDArray[np.bool_]
    setpoints: tuple[SetPoint, ...] = ()
    delay: float = 0.0
    gravity: Array = field(default_factory=lambda: LEVEL)
    base: Array = field(default_factory=lambda: LEVEL_QUAT)
    linear: Array = field(default_factory=lambda: STILL)
    turning: Array = field(default_factory=lambda: STILL)
    feet: tuple[bool, ...] = ()
    revision: Revision | None = None

    @staticmethod
    def at_rest(robot: RobotModel, stamp_ns: int, q: Array) -> Start:
        """Standing upright, nothing commanded, nothing pushes: only the pose (n,) is known."""
        n = robot.n
        return Start(stamp_ns, q, np.zeros(n), np.zeros(n), np.ones(n), np.zeros(n, dtype=bool))


def start_of(core: TwinCore) -> Start | None:
    """From the newest moment; None before the first measurement."""
    moment, state = core.ring.newest, core.state
    if moment is None or state is None:
        return None
    joints, newest = moment.joints, core.drives.newest
    fresh = core.drives.at(max(joints.stamp_ns, newest.start_ns)).on
    delay = core.command_delay.delay
    known: list[SetPoint] = []
    if fresh.any():
        # Counted back from the newest command, so that each is asked for at the moment at which it takes effect.
        first = min(0, -((newest.start_ns - joints.stamp_ns) // TICK_NS) - 1)
        for k in range(max(first, -20), 1):
            at = newest.start_ns + k * TICK_NS
            drive = newest if k == 0 else core.drives.at(at + TICK_NS // 2)
            known.append(SetPoint(at, drive.goal, drive.velocity))
    return Start(joints.stamp_ns, joints.q, joints.v, joints.d, np.where(fresh, share_of(joints), 1.0), fresh,
                 tuple(known), 0.0 if math.isnan(delay) else delay, moment.attitude.gravity, state.base_orientation,
                 moment.base.linear, moment.attitude.rate, tuple(moment.base.contacts),
                 moment.terms.revision)


def seconds(start: Start, stamp_ns: int) -> float:
    """From the start's stamp."""
    return (stamp_ns - start.stamp_ns) / NS
