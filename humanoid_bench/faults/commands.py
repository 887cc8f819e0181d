"""C1 to C7: who commands, what is commanded, and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from humanoid_bench.faults.deeds import as_policy, stranger, stranger_mode
from humanoid_bench.faults.row import Row, World, Wrong
from humanoid_core.types import JointCommand, Level, Mode


def _stall(world: World) -> None:
    """The policy is silent in the middle of its motion."""
    as_policy(lambda c: None)(world)


def _late(world: World) -> None:
    """From now on commands come 0.2 s after they were made."""
    as_policy(lambda c: replace(c, stamp_ns=c.stamp_ns - 200_000_000))(world)


def _far(world: World) -> None:
    """A new motion begins 0.8 rad from where the arm is."""
    def shifted(c: JointCommand) -> JointCommand:
        position = c.position.copy()
        position[c.joint_names.index("right_elbow_joint")] -= 0.8
        return replace(c, position=position, epoch=c.epoch + 100_000)

    as_policy(shifted)(world)


def _replay(world: World) -> None:
    """What the policy said a moment ago, again and again, with a fresh stamp."""
    kept: list[JointCommand] = []

    def again(c: JointCommand) -> list[JointCommand]:
        kept.append(c)
        return [c if len(kept) < 3 else replace(kept[0], stamp_ns=c.stamp_ns)]

    world.as_policy(again)


def _flood(world: World) -> None:
    """Thirty commands at once in place of each one; only the newest is of now."""
    world.as_policy(lambda c: [replace(c, seq=c.seq * 30 + k) for k in range(30)])


def _newest_wins(world: World, begin_ns: int) -> str:
    """After a flood the robot follows the newest command."""
    moving = [h for h in world.heard["robot/joint_command"]
              if h.mono_ns >= begin_ns + 300_000_000 and float(np.abs(h.value.velocity).max()) > 1e-6]
    return "" if moving else "after the flood nothing moved"


def _talk_to_robot(world: World) -> None:
    stranger("robot/joint_command")(world)


def _kept_its_torque(world: World, begin_ns: int) -> str:
    """The robot did not do what it was asked by a stranger."""
    seen = [h.value for h in world.heard["sim/truth"] if h.mono_ns >= begin_ns]
    return "the robot obeyed a stranger" if any(x.fallen or x.mode == Mode.DAMP.name for x in seen) else ""


def _impossible(world: World) -> None:
    """A command past a joint's limit."""
    def past(c: JointCommand) -> JointCommand:
        position = c.position.copy()
        position[c.joint_names.index("left_elbow_joint")] = 9.0
        return replace(c, position=position)

    if world.last("safety/gate") is None:
        raise Wrong("no gate")
    as_policy(past)(world)


ROWS = (
    Row("C1", "a second publisher on the policy's topic", stranger("vla/joint_command"), ("PUBLISHER",),
        level=Level.EMERGENCY, after="reset"),
    Row("C2", "somebody speaks straight to the robot", _talk_to_robot, ("PUBLISHER",), level=Level.EMERGENCY,
        after="reset"),
    Row("C2-mode", "somebody asks the robot itself to go limp", stranger_mode(Mode.DAMP), ("PUBLISHER",),
        level=Level.EMERGENCY, after="reset", watch=1.5, look=_kept_its_torque),
    Row("C3", "the policy stalls in mid-motion", _stall, ("NO_COMMAND", "EXHAUSTED"), most=Level.CAUTION,
        within_ms=90.0),
    Row("C4", "commands come 0.2 s late", _late, ("STALE", "NO_COMMAND"), most=Level.CAUTION, within_ms=90.0),
    Row("C5", "a motion begins 0.8 rad from the measured pose: blended inside the rate limits", _far, (), stops=None,
        most=Level.CAUTION),
    Row("C5-limit", "a command past a joint's limit", _impossible, ("LIMIT_POSITION",), most=Level.CAUTION,
        within_ms=15.0),
    Row("C6", "an old command is played again", _replay, ("OLD_SEQUENCE", "STALE"), most=Level.CAUTION,
        within_ms=100.0),
    Row("C7", "thirty commands at once, a hundred times a second", _flood, (), stops=None, look=_newest_wins),
)
