"""What the gate sends is itself looked at: whole names, one finite position each, no leap.

Leap: |q*_k - q*_(k-1)| against command velocity x dt, as a share, plus `SLACK` rad, while both are from one sender;
and |q* - q| (rad) against `jump_danger` at once, where `tracking` waits to be sure. The robot refuses NaN itself; a
gate that sends it is broken, and nothing it says is believed: DANGER.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.timing import NS
from humanoid_core.types import JointCommand
from safety_nodes.core.rules.staleness import silent
from safety_nodes.core.severity import DANGER
from safety_nodes.core.types import Finding, Tick

TOPIC = "robot/joint_command"
FRESH, SLACK = 0.1, 0.02  # s, rad


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
    """The joint that leaps furthest, from the command before and from where it is measured."""
    found = []
    limit = x.config.jump_danger
    if x.state is not None:
        off = np.abs(x.state.position[index] - c.position)
        worst = int(np.argmax(off))
        if not off[worst] < limit and c.joint_names[worst] not in x.memory.recovery.removed:
            found.append(Finding("JUMP", c.joint_names[worst], float(off[worst]), limit, DANGER))
    last = x.memory.history.command
    if last is not None and last.joint_names == c.joint_names and c.stamp_ns > last.stamp_ns:
        dt = (c.stamp_ns - last.stamp_ns) / NS
        step = np.abs(c.position - last.position) - SLACK
        allowed = x.robot.command_velocity[index] * dt
        worst = int(np.argmax(step - allowed))
        if not step[worst] <= 2.0 * allowed[worst]:
            found.append(Finding("LIMIT_RATE", c.joint_names[worst], float(step[worst] / dt),
                                 float(x.robot.command_velocity[index][worst]), DANGER))
    return found
