"""Is one command fit to be followed? Judged whole, on its own and against the one before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS, SteadyStamps
from humanoid_core.types import JointCommand
from safety_nodes.core.config import GateConfig

Indices = npt.NDArray[np.intp]

#: Refusals that make the command as such useless; the sender's motion goes on with the next good one.
SOFT = frozenset({"STALE", "FUTURE", "ZERO_STAMP", "OLD_SEQUENCE", "OLD_EPOCH", "NO_PERMIT", "OVERRIDE"})


@dataclass(frozen=True)
class Accepted:
    """A good command in the gate's joint order: ``index`` into the controlled group."""

    command: JointCommand
    index: Indices
    position: Array
    velocity: Array  # zeros when not commanded
    mono_ns: int  # arrival
    made_ns: int  # its stamp, on the monotonic clock


class CommandCheck:
    """Knows the controlled joints and their limits; keeps no history (the gate does)."""

    def __init__(self, robot: RobotModel, group: tuple[int, ...], config: GateConfig) -> None:
        self._config = config
        self._robot = robot
        rows = np.array(group, dtype=np.intp)
        self._place = {robot.joint_names[i]: k for k, i in enumerate(group)}
        self._lower, self._upper = robot.lower[rows], robot.upper[rows]
        self._velocity, self._acceleration = robot.command_velocity[rows], robot.command_acceleration[rows]
        self._known: dict[tuple[str, ...], Indices] = {}

    def fit(self, c: JointCommand, stamps: SteadyStamps, mono_ns: int, share: float = 1.0) -> Accepted | str:
        """The command ready for use, or the reason code of its refusal. ``share`` of the speed limit is allowed."""
        index = self._index(c.joint_names)
        if isinstance(index, str):
            return index
        n = len(index)
        if len(c.position) != n or any(len(a) not in (0, n) for a in (c.velocity, c.effort, c.kp, c.kd)):
            return "WRONG_LENGTH"
        if not all(bool(np.isfinite(a).all()) for a in (c.position, c.velocity, c.effort, c.kp, c.kd)):
            return "NON_FINITE"
        config = self._config
        code = stamps.age_reason(c.stamp_ns, int(config.command_max_age * NS), int(config.command_future * NS))
        if code:
            return code
        if not bool(((self._lower[index] <= c.position) & (c.position <= self._upper[index])).all()):
            return "LIMIT_POSITION"
        velocity = c.velocity if len(c.velocity) else np.zeros(n)
        if not bool((np.abs(velocity) <= self._velocity[index] * (share * config.rate_tolerance)).all()):
            return "LIMIT_RATE"
        return Accepted(c, index, c.position, velocity, mono_ns, stamps.mono_of(c.stamp_ns))

    def follows(self, new: Accepted, last: Accepted, share: float = 1.0) -> str:
        """Reason code when `new` asks for more speed or acceleration than allowed since `last`, else ''."""
        if not np.array_equal(new.index, last.index):
            return ""  # other joints: the set-point's own limits apply
        config = self._config
        dt = max(_apart(new, last) / NS, 0.0)
        limit = self._velocity[new.index] * share * config.rate_tolerance * (dt + config.rate_window)
        if not bool((np.abs(new.position - last.position) <= limit).all()):
            return "LIMIT_RATE"
        step = self._acceleration[new.index] * (dt + config.acceleration_window)
        if not bool((np.abs(new.velocity - last.velocity) <= step).all()):
            return "JOINT_ACCELERATION"
        return ""

    def _index(self, names: tuple[str, ...]) -> Indices | str:
        found = self._known.get(names)
        if found is not None:
            return found
        if not names or len(set(names)) != len(names) or any(n not in self._robot.joint_names for n in names):
            return "WRONG_NAMES"
        if any(n not in self._place for n in names):
            return "NOT_CONTROLLED"
        if len(self._known) >= 16:
            self._known.clear()
        index = np.array([self._place[n] for n in names], dtype=np.intp)
        self._known[names] = index
        return index


def _apart(new: Accepted, last: Accepted) -> int:
    """ns between two commands by their own stamps, unless the clock was set in between."""
    stamped, made = new.command.stamp_ns - last.command.stamp_ns, new.made_ns - last.made_ns
    return stamped if abs(stamped - made) < NS // 20 else made
