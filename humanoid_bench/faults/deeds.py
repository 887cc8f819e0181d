"""What can be done to a running robot, as small functions of a world that rows are put together from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from humanoid_bench.faults.row import STRANGER, Deed, World, Wrong
from humanoid_core.timing import NS
from humanoid_core.types import EStopState, JointCommand, Mode, OverrideState, RobotMode

BEAT = 0.05  # s between two heartbeats


def sensor(name: str, target: str, value: float = 0.0, seconds: float = 1.0) -> Deed:
    """A fault of the simulated robot (sim_nodes/core/fault_list.py); value 0: the fault's default."""
    return lambda world: world.fault(name, target, value, seconds)


def kill(node: str) -> Deed:
    return lambda world: world.kill(node)


def freeze(node: str, seconds: float) -> Deed:
    return lambda world: world.freeze(node, seconds)


def push(x: float, y: float, link: str = "torso_link") -> Deed:
    """An impulse in N s, world frame."""
    return lambda world: world.push(link, (x, y, 0.0))


def both(*deeds: Deed) -> Deed:
    """One after the other."""

    def do(world: World) -> None:
        for deed in deeds:
            deed(world)

    return do


def pause(seconds: float) -> Deed:
    return lambda world: world.wait(seconds) and None


def as_policy(change: Callable[[JointCommand], JointCommand | None]) -> Deed:
    """From now on what the policy's own commands become (None: it is silent)."""

    def do(world: World) -> None:
        def changed(command: JointCommand) -> list[JointCommand]:
            said = change(command)
            return [] if said is None else [said]

        world.as_policy(changed)

    return do


def once(change: Callable[[JointCommand], JointCommand]) -> Deed:
    """One command of the policy is wrong, then it goes on as before."""

    def do(world: World) -> None:
        left = [1]

        def changed(command: JointCommand) -> list[JointCommand]:
            if not left:
                return [command]
            left.clear()
            return [change(command)]

        world.as_policy(changed)

    return do


def stranger(topic: str, seconds: float = 0.5) -> Deed:
    """Somebody else speaks on a gated topic: what the robot was told last, so that nothing would move if it passed."""

    def do(world: World) -> None:
        last: JointCommand = world.last("robot/joint_command")
        for seq in range(1, round(seconds / 0.01)):
            world.say(topic, JointCommand(world.ros_ns(), seq, 99, STRANGER, last.joint_names, last.position,
                                          np.zeros(len(last.joint_names))), STRANGER)
            world.wait(0.01)

    return do


def stranger_mode(mode: Mode, seconds: float = 1.0) -> Deed:
    """Somebody else asks the robot for a mode, five times as often as the gate does."""

    def do(world: World) -> None:
        for seq in range(1, round(seconds / 0.02)):
            world.say("robot/mode", RobotMode(world.ros_ns(), mode, STRANGER, seq), STRANGER)
            world.wait(0.02)

    return do


def beat(world: World, source: str, pressed: bool, seconds: float) -> None:
    """Heartbeats of a stop source; their numbers are the time, so that none is taken for an old one."""
    end = world.now_ns() + round(seconds * NS)
    while world.now_ns() < end:
        world.say("safety/estop", EStopState(world.ros_ns(), source, pressed, world.now_ns()))
        world.wait(BEAT)


def hands_on(world: World, seconds: float, velocity: float = 0.0, seq: int = 1) -> int:
    """Heartbeats of a human override that jogs the left elbow (rad/s; 0: holds); returns the next number."""
    end = world.now_ns() + round(seconds * NS)
    names = ("left_elbow_joint",) if velocity else ()
    while world.now_ns() < end:
        world.say("safety/override", OverrideState(world.ros_ns(), "inject", True, 1 if velocity else 0, names,
                                                   np.full(len(names), velocity), seq))
        seq += 1
        world.wait(BEAT)
    return seq


def hands_off(world: World, seq: int) -> None:
    """The human lets go, and says so."""
    for k in range(4):
        world.say("safety/override", OverrideState(world.ros_ns(), "inject", False, 0, (), np.zeros(0), seq + k))
        world.wait(BEAT)


def refused_reset(world: World, code: str, operator: str = "inject", nonce: int | None = None) -> None:
    """Ask for a reset that must be refused with ``code``."""
    accepted, reason = world.reset(operator, nonce)
    if accepted:
        raise Wrong(f"a reset was accepted that had to be refused with {code}")
    if code not in reason:
        raise Wrong(f"a reset was refused with '{reason}' in place of {code}")
    world.codes.add(code)


def stamped(stamp_ns: Callable[[int], int]) -> Callable[[Any], Any]:
    """A change of a message's stamp."""
    return lambda value: replace(value, stamp_ns=stamp_ns(value.stamp_ns))
