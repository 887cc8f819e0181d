"""Was a fault answered well? The same judgement for a running graph and for the house in lockstep."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from humanoid_bench.faults.row import STRANGER, Heard, Row, World
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS
from humanoid_core.types import Level, Mode

#: Commanded speed, rad/s, below which an arm stands. While the robot does not listen (HOLD, CROUCH, DAMP) the
#: set-point goes with the noise of its joints and moves nothing.
STILL, STILL_UNHEARD = 0.03, 0.2
#: After so long without a command the robot holds by itself, and the gate may begin from rest, s.
FALLBACK = 0.05
TOLERANCE = 1e-6
GATE = "command_gate"
#: What the state of a source in a health report means as a reason code.
SAYS = {"stale": "STALE", "waiting": "NEVER_SEEN", "frozen": "FROZEN"}
#: The reason codes in a message of each topic.
SAID: dict[str, Callable[[Any], list[str]]] = {
    "safety/status": lambda status: [v.code for v in status.violations],
    "safety/gate": lambda gate: [gate.reason],
    "ingest/sensor_health": lambda health: [SAYS.get(s.state, "") for s in health.sources],
    "safety/events": lambda event: [event.code],
    "vla/status": lambda status: [status.reason_code],
}
#: Two ticks may fall into one stamp's rounding.
PERIOD = 0.01


@dataclass(frozen=True)
class Answer:
    """``verdict``: ok, LATE (well answered but past the aim), FAILED or 'not run'. Times in ms from the injection,
    None: not seen."""

    id: str
    doc: str
    verdict: str
    why: str
    level: str = ""
    named: tuple[str, ...] = ()
    named_ms: float | None = None
    safe_ms: float | None = None
    still_ms: float | None = None
    within_ms: float | None = None

    @property
    def good(self) -> bool:
        return self.verdict == "ok"


def judge(world: World, row: Row, begin_ns: int, robot: RobotModel) -> Answer:
    """Compare what was heard since ``begin_ns`` (monotonic) with what the row expects."""
    def since(topic: str) -> list[Heard]:
        return [h for h in world.heard.get(topic, []) if h.mono_ns >= begin_ns]

    status, commands = since("safety/status"), [h for h in since("robot/joint_command") if h.value.source == GATE]
    named = _named(world, begin_ns)
    worst = max((h.value.level for h in status), default=Level.SAFE)
    hit = sorted((at, code) for code, at in named.items() if code in row.expect)
    named_ms = (hit[0][0] - begin_ns) / MS if hit else None
    wrong = []
    if row.expect and not hit:
        wrong.append(f"nobody named {' or '.join(row.expect)} (seen: {', '.join(sorted(named)) or 'nothing'})")
    if worst < row.level:
        wrong.append(f"the level rose to {worst.name}, not to {row.level.name}")
    if worst > row.most:
        wrong.append(f"the level rose to {worst.name}, at most {row.most.name} was right")
    wrong += check_commands([h for h in world.heard["robot/joint_command"]
                             if h.mono_ns >= begin_ns - 50 * MS and h.value.source == GATE], robot)
    still = _still_ms(world, commands, begin_ns)
    gate_gone = not commands
    if row.stops is True and still is None and not gate_gone:
        wrong.append("the arms were still moving at the end")
    if row.stops is False and not _moved_at_end(commands):
        wrong.append(f"the work did not go on (gate: {_gate_word(world)})")
    wrong += _torque_taken(world, begin_ns)
    if row.look is not None:
        said = row.look(world, begin_ns)
        wrong += [said] if said else []
    safe_ms = _safe_ms(world, row, begin_ns, named_ms, commands)
    late = row.within_ms is not None and not wrong and not (safe_ms is not None and safe_ms <= row.within_ms)
    why = "; ".join(wrong) or _in_words(worst, row, hit, safe_ms)
    return Answer(row.id, row.doc, "FAILED" if wrong else "LATE" if late else "ok", why, worst.name,
                  tuple(sorted(named)), named_ms, safe_ms, still, row.within_ms)


def _named(world: World, begin_ns: int) -> dict[str, int]:
    """Reason code -> monotonic time at which it was first heard after the injection."""
    found: dict[str, int] = {}
    said = [(code, world.now_ns()) for code in world.codes]
    for topic, read in SAID.items():
        said += [(code, h.mono_ns) for h in world.heard.get(topic, []) if h.mono_ns >= begin_ns
                 for code in read(h.value)]
    for code, at in [*said, *_grown(world, begin_ns)]:
        if code:
            found[code] = min(at, found.get(code, at))
    return found


def _grown(world: World, begin_ns: int) -> list[tuple[str, int]]:
    """Refusals whose counters grew."""
    before: dict[tuple[str, str], int] = {}
    found = []
    for topic in ("safety/gate", "ingest/sensor_health"):
        for h in world.heard.get(topic, []):
            for key, count in _counters(topic, h.value):
                if h.mono_ns >= begin_ns and count > before.get(key, 0):
                    found.append((key[1], h.mono_ns))
                before[key] = count
    return found


def _counters(topic: str, value: object) -> list[tuple[tuple[str, str], int]]:
    if topic == "safety/gate":
        return [(("gate", code), count) for code, count in value.refusals]  # type: ignore[attr-defined]
    return [((s.topic, code), count) for s in value.sources for code, count in s.refusals]  # type: ignore[attr-defined]


def check_commands(heard: list[Heard], robot: RobotModel) -> list[str]:
    """Everything that left the gate was finite, inside the limits, and no faster or more sudden than allowed.

    By the commands' own counters and stamps, so that a late callback changes nothing.
    """
    rows = np.array(robot.groups["upper_body"])
    low, high = robot.lower[rows] - TOLERANCE, robot.upper[rows] + TOLERANCE
    speed, acceleration = robot.command_velocity[rows], robot.command_acceleration[rows]
    wrong: list[str] = []
    for h in heard:
        q, v = h.value.position, h.value.velocity
        if not (np.isfinite(q).all() and np.isfinite(v).all()):
            return ["a command was not finite"]
        if not ((low <= q) & (q <= high)).all():
            wrong.append("a command was outside the joint limits")
    for before, after in itertools.pairwise(heard):
        a, b = before.value, after.value
        ticks = b.seq - a.seq
        # A pause of the gate shows in both; a step of the wall clock, or a late callback, in one of them.
        gap = min(b.stamp_ns - a.stamp_ns, after.mono_ns - before.mono_ns) * 1e-9
        if ticks < 1 or len(a.position) != len(b.position):
            continue  # another gate, or a stranger
        if not (np.abs(b.position - a.position) <= speed * PERIOD * ticks + TOLERANCE).all():
            wrong.append("a command was faster than the command limits")
        speed_before = a.velocity if gap <= FALLBACK else 0.0  # the robot has stopped by itself meanwhile
        if not (np.abs(b.velocity - speed_before) <= acceleration * PERIOD * ticks + TOLERANCE).all():
            wrong.append("a command was more sudden than the acceleration limits")
    return list(dict.fromkeys(wrong))


def _still_ms(world: World, commands: list[Heard], begin_ns: int) -> float | None:
    """Time after which the arms were commanded to stand; None: they move at the end."""
    mode = world.last("robot/mode")
    limit = STILL if mode is None or mode.mode == Mode.RUN else STILL_UNHEARD
    speeds = [float(np.abs(h.value.velocity).max()) for h in commands]
    if not speeds or max(speeds[-10:]) > limit:
        return None
    moving = [h.mono_ns for h, speed in zip(commands, speeds, strict=True) if speed > limit]
    return (max(moving) - begin_ns) / MS if moving else 0.0


def _moved_at_end(commands: list[Heard]) -> bool:
    return any(float(np.abs(h.value.velocity).max()) > 0.02 for h in commands[-60:])


def _gate_word(world: World) -> str:
    gate = world.last("safety/gate")
    return "silent" if gate is None else f"{gate.state} {gate.reason}".strip()


def _torque_taken(world: World, begin_ns: int) -> list[str]:
    """Zero torque for a robot that stands is never an answer."""
    tall = all(not h.value.fallen for h in world.heard.get("sim/truth", []) if h.mono_ns >= begin_ns)
    damp = any(h.value.mode == Mode.DAMP and h.value.reason != STRANGER for h in world.heard.get("robot/mode", [])
               if h.mono_ns >= begin_ns)
    return ["torque was taken away from a standing robot"] if tall and damp else []


def _safe_ms(world: World, row: Row, begin_ns: int, named_ms: float | None, commands: list[Heard]) -> float | None:
    """When the robot was first told something safe: the gate says that it brakes, or the first command that belongs
    to no motion of the policy any more, or the robot holds by itself, as it does without the gate; for what the work
    survives, when it was named."""
    if row.stops is False or (row.stops is None and row.expect and row.id[:7] != "P1-gate"):
        return named_ms
    own = [h.mono_ns for h in commands if h.value.epoch == 0][:1]
    own += [h.mono_ns for h in world.heard["safety/gate"] if h.mono_ns >= begin_ns and h.value.state != "passing"][:1]
    own += [h.mono_ns for h in world.heard.get("sim/truth", [])
            if h.mono_ns >= begin_ns and h.value.mode in ("HOLD", "DAMP")][:1]
    return (min(own) - begin_ns) / MS if own else None


def _in_words(worst: Level, row: Row, hit: list[tuple[int, str]], safe_ms: float | None) -> str:
    text = f"level {worst.name}" + (f", named {', '.join(code for _, code in hit[:3])}" if hit else "")
    if safe_ms is not None:
        text += f", safe after {safe_ms:.0f} ms"
        if row.within_ms is not None and safe_ms > row.within_ms:
            text += f" (aim {row.within_ms:g} ms)"
    elif row.within_ms is not None:
        text += f", no safe command seen (aim {row.within_ms:g} ms)"
    return text
