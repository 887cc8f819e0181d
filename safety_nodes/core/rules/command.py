"""What the gate sends is itself looked at: whole names, one finite position each, no leap.

Leap, of any joint: |q*_k - q*_(k-1)| beyond `SLACK` rad faster than `FACTOR` times its command velocity; and |q* - q|
(rad) against `jump_danger` at once, where `tracking` waits to be sure; a removed joint yields and is not where it is
commanded. The robot refuses NaN itself; a gate that sends it is broken, and nothing it says is believed: DANGER.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from humanoid_core.robot_model import Array
from humanoid_core.timing import NS
from humanoid_core.types import JointCommand
from safety_nodes.core.rules.staleness import silent
from safety_nodes.core.severity import DANGER
from safety_nodes.core.types import Finding, Tick

TOPIC = "robot/joint_command"
FRESH, SLACK = 0.1, 0.02  # s, rad
FACTOR, SHOWN = 2.0, 3


def check(x: Tick) -> list[Finding]:
    command = x.inputs.command
    if command is None or silent(command.mono_ns, x.now_ns, FRESH):
        return []
    if command.value is None:
        return [Finding("OUT_OF_RANGE", TOPIC, 0.0, 0.0, DANGER)]
    c, robot = command.value, x.robot
    names = c.joint_names
    if not names and not robot.groups["upper_body"]:
        return []  # a robot whose policy has no joints
    if not names or len(set(names)) != len(names) or any(n not in robot._index for n in names):
        return [Finding("WRONG_NAMES", TOPIC, float(len(names)), 0.0, DANGER)]
    if len(c.position) != len(names) or len(c.velocity) not in (0, len(names)):
        return [Finding("WRONG_LENGTH", TOPIC, float(len(c.position)), float(len(names)), DANGER)]
    if not bool(np.isfinite(c.position).all()) or not bool(np.isfinite(c.velocity).all()):
        return [Finding("NON_FINITE", TOPIC, float("nan"), 0.0, DANGER)]
    index = [robot._index[n] for n in names]
    return _leap(x, c, index)


def _leap(x: Tick, c: JointCommand, index: list[int]) -> list[Finding]:
    """Joints that leap, from where they are measured and from the command before; the worst first."""
    names, limit, found = np.array(c.joint_names), x.config.jump_danger, []
    if x.state is not None:
        off = np.abs(x.state.position[index] - c.position)
        far = ~(off < limit) & ~np.isin(names, list(x.memory.recovery.removed))  # NaN is far
        found += [Finding("JUMP", str(names[k]), float(off[k]), limit, DANGER) for k in _worst(off, far)]
    last = x.memory.history.command
    if last is not None and last.joint_names == c.joint_names and c.stamp_ns > last.stamp_ns:
        dt, speed = (c.stamp_ns - last.stamp_ns) / NS, x.robot.command_velocity[index]
        rate = (np.abs(c.position - last.position) - SLACK) / dt
        found += [Finding("LIMIT_RATE", str(names[k]), float(rate[k]), float(speed[k]), DANGER)
                  for k in _worst(rate / speed, ~(rate <= FACTOR * speed))]
    return found


def _worst(values: Array, bad: npt.NDArray[np.bool_]) -> list[int]:
    """Which of the bad ones are named."""
    if not bool(bad.any()):
        return []
    return [int(k) for k in np.argsort(-np.nan_to_num(values, nan=np.inf)) if bad[k]][:SHOWN]
