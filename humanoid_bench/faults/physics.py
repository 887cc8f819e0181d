"""B1 to B6: pushes, lost contact, a stop in mid-reach, battery, heat, and ways that end in a collision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from humanoid_bench.faults.deeds import beat, push, sensor
from humanoid_bench.faults.row import NotPossible, Row, World
from humanoid_core.types import JointCommand, Level

#: N s to the torso that the balance controller catches from every side.
RECOVERABLE = 4.0
DIRECTIONS = ("front", "front-left", "left", "back-left", "back", "back-right", "right", "front-right")


def _push(index: int) -> Row:
    angle = math.pi * index / 4.0
    return Row(f"B1-{DIRECTIONS[index]}", f"a recoverable push towards the {DIRECTIONS[index]}",
               push(RECOVERABLE * math.cos(angle), RECOVERABLE * math.sin(angle)), stops=None, most=Level.WARNING,
               watch=1.5, look=_stands)


def _stands(world: World, begin_ns: int) -> str:
    fell = any(h.value.fallen for h in world.heard["sim/truth"] if h.mono_ns >= begin_ns)
    return "the robot fell" if fell else ""


def _warned(world: World, begin_ns: int) -> str:
    """Level WARNING or above at least 0.2 s before the fall."""
    fall = [h.mono_ns for h in world.heard["sim/truth"] if h.mono_ns >= begin_ns and h.value.fallen]
    if not fall:
        return "the robot did not fall"
    level = [h.mono_ns for h in world.heard["safety/status"]
             if h.mono_ns >= begin_ns and h.value.level >= Level.WARNING]
    if not level:
        return "no level rose before the fall"
    lead = (fall[0] - level[0]) / 1e9
    return "" if lead >= 0.2 else f"WARNING came {lead:.2f} s before the fall"


def _in_order(code: str) -> Callable[[World, int], str]:
    """CAUTION, then WARNING, then DANGER, all named by ``code``."""

    def look(world: World, begin_ns: int) -> str:
        seen: list[Level] = []
        for h in world.heard["safety/status"]:
            if h.mono_ns < begin_ns:
                continue
            mine = [v.severity for v in h.value.violations if v.code == code]
            level = Level(min(int(max(mine) / 0.25), 4)) if mine else Level.SAFE
            if mine and (not seen or level > seen[-1]):
                seen.append(level)
        if seen[:3] == [Level.CAUTION, Level.WARNING, Level.DANGER]:
            return ""
        return f"levels by {code}: {', '.join(level.name for level in seen) or 'none'}"

    return look


def _into_the_body(world: World) -> None:
    """The policy drives the left hand through the trunk, slowly."""
    turned = {"left_shoulder_roll_joint": -0.45, "left_shoulder_yaw_joint": -1.2, "left_elbow_joint": 0.0,
              "left_shoulder_pitch_joint": -0.3}
    _drive(world, turned, 0.5)


def _onto_the_table(world: World) -> None:
    """The policy drives the left hand down to the table and on."""
    _drive(world, {"left_shoulder_pitch_joint": -0.4, "left_elbow_joint": 0.9, "left_shoulder_roll_joint": 0.0}, 0.5)


def _drive(world: World, goals: dict[str, float], speed: float) -> None:
    """Straight towards joint angles at ``speed`` rad/s; what the gate holds back is not taken up again."""
    begin: list[tuple[int, JointCommand]] = []

    def along(c: JointCommand) -> list[JointCommand]:
        begin.append((c.stamp_ns, c)) if not begin else None
        t0, first = begin[0]
        t = (c.stamp_ns - t0) / 1e9
        position, velocity = first.position.copy(), first.velocity * 0.0
        for name, goal in goals.items():
            i = c.joint_names.index(name)
            way = goal - position[i]
            ramp = min(t / 0.4, 1.0)  # speeds up within 0.4 s
            done = speed * (0.5 * 0.4 * ramp * ramp + max(t - 0.4, 0.0))
            if done < abs(way):
                position[i] += math.copysign(done, way)
                velocity[i] = math.copysign(speed * ramp, way)
            else:
                position[i] = goal
        return [replace(c, position=position, velocity=velocity, epoch=first.epoch + 200_000)]

    world.as_policy(along)


def _no_contact(world: World, begin_ns: int) -> str:
    """Nothing touched, and the way back is free."""
    if hasattr(world, "touched") and world.touched():
        return f"it touched: {world.touched()}"
    before = world.last("robot/joint_command").position
    world.retreat()  # type: ignore[attr-defined]
    world.wait(2.0)
    after = world.last("robot/joint_command").position
    moved = float(abs(after - before).max())
    return "" if moved > 0.05 else f"the retreat moved only {moved:.3f} rad"


def _stop_in_mid_reach(world: World) -> None:
    beat(world, "panel", True, 0.4)


def _one_foot(world: World) -> None:
    world.fault("no_contact", "foot_contacts/left", 0.0, 1.0)


def _fall(world: World) -> None:
    if not hasattr(world, "touched"):
        raise NotPossible("a fall ends the graph's robot; played in lockstep")
    world.push("torso_link", (25.0, 0.0, 0.0))


ROWS = (
    *(_push(k) for k in range(8)),
    Row("B1-fall", "a push that nobody can catch", _fall, ("SUPPORT", "TILT", "FALLEN"), level=Level.WARNING,
        where="lockstep", stops=None, watch=3.0, look=_warned, after="restart"),
    Row("B2", "a foot feels no load for a second", _one_foot, ("SUPPORT", "NO_CONTACT", "TWIN_RESIDUAL"), stops=None,
        most=Level.DANGER, watch=1.5, look=_stands),
    Row("B3", "a stop in mid-reach", _stop_in_mid_reach, ("ESTOP",), level=Level.EMERGENCY, watch=2.5, look=_stands,
        after="reset"),
    Row("B4", "the battery sags by 2.5 V/s", sensor("battery_sag", "battery_state", 2.5, 6.5), ("BATTERY",),
        level=Level.DANGER, most=Level.DANGER, watch=6.5, look=_in_order("BATTERY")),
    Row("B5", "a motor warms by 12 K/s", sensor("overheating", "right_elbow_joint", 12.0, 6.0), ("TEMPERATURE",),
        level=Level.DANGER, watch=6.0, look=_in_order("TEMPERATURE"), after="restart"),
    Row("B6", "the policy drives a hand into the body", _into_the_body, ("SELF_COLLISION",), most=Level.DANGER,
        watch=3.5, look=_no_contact),
    Row("B6-table", "the policy drives a hand onto the table", _onto_the_table,
        ("ENVIRONMENT", "SELF_COLLISION"), most=Level.DANGER, watch=3.5, look=_no_contact,
        graph="table"),
)
