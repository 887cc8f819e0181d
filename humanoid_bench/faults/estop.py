"""E0 to E8, H1 and H2: emergency stop, reset, human override."""

from __future__ import annotations

import numpy as np

from humanoid_bench.faults.deeds import beat, hands_off, hands_on, refused_reset, stranger
from humanoid_bench.faults.row import NotPossible, Row, World, Wrong
from humanoid_core.types import Level, OverrideState

SPACING = 1.2  # s: a reset sooner than a second after the last one is refused for that alone


def _press(world: World) -> None:
    beat(world, "panel", True, 0.3)


def _reset_while_pressed(world: World) -> None:
    beat(world, "panel", True, SPACING)
    refused_reset(world, "RESET_PRESSED")
    beat(world, "panel", True, 0.3)


def _reset_while_cause_lasts(world: World) -> None:
    """Two senders on a gated topic: while both speak there is no reset."""
    talk = stranger("robot/joint_command", 0.4)
    talk(world)
    refused_reset(world, "RESET_CAUSE")
    talk(world)


def _reset_spam(world: World) -> None:
    beat(world, "panel", True, SPACING)
    refused_reset(world, "RESET_PRESSED", nonce=4711)
    refused_reset(world, "RESET_RATE", nonce=4712)
    refused_reset(world, "RESET_OPERATOR", operator=" ")
    beat(world, "panel", True, SPACING)
    refused_reset(world, "RESET_NONCE", nonce=4711)
    beat(world, "panel", True, 0.2)


def _commands_at_reset(world: World) -> None:
    """The policy goes on sending through stop and reset: what it sent before must not move the robot."""
    beat(world, "panel", True, SPACING)
    beat(world, "panel", False, 0.2)
    accepted, reason = world.reset()
    if not accepted:
        raise Wrong(f"the reset was refused: {reason}")
    beat(world, "panel", False, 2.5)


def _flushed(world: World, begin_ns: int) -> str:
    """After the reset nothing moves without a new motion."""
    late = [h.value for h in world.heard["robot/joint_command"] if h.mono_ns >= begin_ns + 1_600_000_000]
    fast = max((float(np.abs(c.velocity).max()) for c in late), default=0.0)
    if fast > 0.2:
        return f"the old motion went on after the reset at {fast:.2f} rad/s"
    return "" if world.last("safety/status").level < Level.EMERGENCY else "the reset did not let go"


def _silent_source(world: World) -> None:
    beat(world, "panel", False, 0.3)


def _handler_raises(world: World) -> None:
    if not hasattr(world, "break_stop_handler"):
        raise NotPossible("the stop handler of a running node cannot be made to raise from outside; played in "
                          "lockstep")
    world.break_stop_handler()


def _two_sources(world: World) -> None:
    """Both pressed, one released and still beating: still stopped, no reset."""
    beat(world, "panel", True, 0.1)
    for _ in range(12):
        beat(world, "panel", False, 0.05)
        beat(world, "pendant", True, 0.05)
    refused_reset(world, "RESET_PRESSED")


def _override_in_emergency(world: World) -> None:
    _press(world)
    world.wait(0.6)
    mark = world.now_ns()
    seq = hands_on(world, 0.5, velocity=0.3)
    moved = [float(np.abs(h.value.velocity).max()) for h in world.heard["robot/joint_command"] if h.mono_ns > mark]
    hands_off(world, seq)
    if max(moved, default=0.0) > 0.2:
        raise Wrong("a human's jog moved the robot during EMERGENCY")


def _link_lost(world: World) -> None:
    hands_on(world, 0.3)


def _given_back(world: World, begin_ns: int) -> str:
    """Silence keeps holding; only the word of the human gives the robot back."""
    held = world.last("safety/status").level
    for seq in range(1000, 1004):
        world.say("safety/override", OverrideState(world.ros_ns(), "inject", False, 0, (), np.zeros(0), seq))
        world.wait(0.05)
    return "" if held >= Level.CAUTION else f"0.9 s after the link was lost the level is {held.name}"


ROWS = (
    Row("E0", "a stop button is pressed", _press, ("ESTOP",), level=Level.EMERGENCY, within_ms=30.0, after="reset"),
    Row("E1", "a reset while the button is pressed", _reset_while_pressed, ("RESET_PRESSED",), level=Level.EMERGENCY,
        after="reset"),
    Row("E2", "a reset while the cause lasts", _reset_while_cause_lasts, ("RESET_CAUSE",), level=Level.EMERGENCY,
        after="reset"),
    Row("E3", "resets in quick succession, without a name, with an old nonce", _reset_spam, ("RESET_RATE",),
        level=Level.EMERGENCY, after="reset"),
    Row("E4", "commands that wait when the reset comes", _commands_at_reset, ("ESTOP",), level=Level.EMERGENCY,
        look=_flushed, watch=0.3),
    Row("E6", "a stop source falls silent", _silent_source, ("ESTOP",), level=Level.EMERGENCY, after="reset",
        watch=1.0),
    Row("E7", "the stop handler itself raises", _handler_raises, ("EXCEPTION",), level=Level.EMERGENCY,
        where="lockstep", after="restart"),
    Row("E8", "two buttons are pressed, one is released", _two_sources, ("ESTOP", "RESET_PRESSED"),
        level=Level.EMERGENCY, after="reset"),
    Row("H1", "a human's override during EMERGENCY", _override_in_emergency, ("ESTOP",), level=Level.EMERGENCY,
        after="reset"),
    Row("H2", "the link of a human's override is lost", _link_lost, ("OVERRIDE",), look=_given_back, watch=0.9),
)
