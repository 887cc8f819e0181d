"""P1 to P8: processes that die, hang, raise, start over and over, or find no processor."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from humanoid_bench.faults.deeds import beat, freeze, kill
from humanoid_bench.faults.row import NotPossible, Row, World
from humanoid_core.types import Level

GONE = 50.0  # ms


def _fallback(world: World, begin_ns: int) -> str:
    """Without the gate the robot holds by itself."""
    truth = [h for h in world.heard["sim/truth"] if h.mono_ns > begin_ns + 200_000_000]
    if not truth:
        return "nobody saw what the robot did"
    return "" if truth[-1].value.mode in ("HOLD", "DAMP") else f"the robot is in {truth[-1].value.mode}"


def _raise(node: str):  # type: ignore[no-untyped-def]
    """An error in the program of a node: it reports it and ends, never half-alive (humanoid_ros/node.py)."""

    def do(world: World) -> None:
        if not hasattr(world, "raise_in"):
            raise NotPossible("nothing in a running node can be made to raise from outside; played in lockstep, and "
                              "with real processes in test/faults")
        world.raise_in(node)

    return do


def _storm(world: World) -> None:
    """The twin dies as soon as it comes."""
    world.crash_loop("twin_sync", 12.0)  # type: ignore[attr-defined]


def _backed_off(world: World, begin_ns: int) -> str:
    """The pauses between restarts grow, or nobody tries any more."""
    delays = [event.delay for event in world.events if event.kind == "restarting"]  # type: ignore[attr-defined]
    gave_up = any(event.kind == "gave_up" for event in world.events)  # type: ignore[attr-defined]
    if len(delays) < 2 and not gave_up:
        return f"only {len(delays)} restarts were seen"
    growing = all(b >= a for a, b in pairwise(delays))
    return "" if growing and (gave_up or delays[-1] > delays[0]) else f"restarts after {delays} s: no back-off"


def _counted(world: World, begin_ns: int) -> str:
    """Every period that passed without a tick is counted."""
    before = [h.value for h in world.heard["safety/status"] if h.mono_ns < begin_ns]
    after = world.last("safety/status")
    missed = after.overruns - (before[-1].overruns if before else 0)
    return "" if missed >= 2 else f"a pause of 50 ms counted {missed} overruns"


def _ticks_add_up(world: World, begin_ns: int) -> str:
    """Ticks and counted overruns together are the periods that passed."""
    heard = [h for h in world.heard["safety/status"] if h.mono_ns >= begin_ns]
    if len(heard) < 2:
        return "the monitor was not heard"
    first, last = heard[0], heard[-1]
    periods = (last.mono_ns - first.mono_ns) / 1e7
    counted = last.value.tick - first.value.tick + last.value.overruns - first.value.overruns
    return "" if abs(periods - counted) <= 0.02 * periods + 12 else \
        f"{periods:.0f} periods passed, {counted} were counted as ticks or overruns"


def _stress(world: World) -> None:
    world.stress(3.0)  # type: ignore[attr-defined]


def _topic_storm(world: World) -> None:
    """A thousand times a second the same old joint sample, from a stranger."""
    world.storm("joint_states", 1000, 2.0)  # type: ignore[attr-defined]


def _press(world: World) -> None:
    beat(world, "panel", True, 0.4)


def _late_joiner(world: World, begin_ns: int) -> str:
    """Who comes now hears of the stop from the latched topics."""
    said = world.latecomer()  # type: ignore[attr-defined]
    return "" if said else "a participant that came late did not see the latched stop"


def _at_rest(world: World, begin_ns: int) -> str:
    """Nothing moves by itself when a node that hung comes back."""
    late = [h.value for h in world.heard["robot/joint_command"] if h.mono_ns >= begin_ns + 900_000_000]
    fast = max((float(np.abs(c.velocity).max()) for c in late), default=0.0)
    return "" if fast <= 0.2 else f"the arms moved on by themselves at {fast:.2f} rad/s"


ROWS = (
    Row("P1-monitor", "kill -9 of the monitor", kill("safety_monitor"), ("NO_PERMIT",), within_ms=GONE,
        after="restart"),
    Row("P1-gate", "kill -9 of the gate: the robot falls back by itself", kill("command_gate"), ("DIED",), stops=None,
        within_ms=GONE, look=_fallback, watch=0.5, after="restart"),
    Row("P1-ingest", "kill -9 of the ingest", kill("sensor_ingest"), ("STALE", "NO_STATE"), level=Level.DANGER,
        within_ms=GONE, watch=1.0),
    Row("P1-twin", "kill -9 of the twin", kill("twin_sync"), ("NO_TWIN",), stops=None, level=Level.WARNING,
        most=Level.WARNING, within_ms=130.0),
    Row("P1-policy", "kill -9 of the policy", kill("vla_policy"), ("NO_COMMAND", "EXHAUSTED"), graph="whole",
        within_ms=90.0, most=Level.CAUTION),
    Row("P1-robot", "kill -9 of the robot's driver", kill("sim_robot"), ("STALE", "NO_STATE"), level=Level.DANGER,
        within_ms=GONE, where="graph", after="restart"),
    Row("P2-monitor", "the monitor hangs for 200 ms", freeze("safety_monitor", 0.2), ("NO_PERMIT",), within_ms=GONE,
        look=_at_rest, watch=1.3),
    Row("P2-gate", "the gate hangs for 200 ms", freeze("command_gate", 0.2),
        ("NO_STATE", "JUMP", "DIED", "NO_PERMIT"), within_ms=GONE, look=_at_rest, watch=1.3),
    Row("P2-ingest", "the ingest hangs for 200 ms", freeze("sensor_ingest", 0.2), ("STALE", "NO_STATE"),
        level=Level.DANGER, within_ms=GONE, look=_at_rest, watch=1.3),
    Row("P2-twin", "the twin hangs for 200 ms", freeze("twin_sync", 0.2), ("NO_TWIN",), stops=None,
        level=Level.WARNING, most=Level.WARNING, within_ms=130.0),
    Row("P2-policy", "the policy hangs for 200 ms", freeze("vla_policy", 0.2), ("NO_COMMAND", "STALE", "OLD_EPOCH"),
        stops=None, graph="whole", most=Level.CAUTION),
    Row("P2-robot", "the robot's driver hangs for 200 ms", freeze("sim_robot", 0.2), ("STALE", "NO_STATE"),
        level=Level.DANGER, within_ms=GONE, where="graph"),
    Row("P3", "a callback of the monitor raises", _raise("safety_monitor"), ("NO_PERMIT", "EXCEPTION"),
        where="lockstep", after="restart"),
    Row("P3-twin", "a callback of the twin raises", _raise("twin_sync"), ("NO_TWIN",), stops=None,
        level=Level.WARNING, where="lockstep", after="restart"),
    Row("P4", "the twin dies as soon as it comes, again and again", _storm, ("NO_TWIN",), stops=None, where="graph",
        most=Level.WARNING, watch=0.5, look=_backed_off, after="restart"),
    Row("P5", "the monitor pauses for 50 ms, as a garbage collection would", freeze("safety_monitor", 0.05),
        stops=None, where="graph", look=_counted),
    Row("P6", "processor, memory and disk are busy for 3 s", _stress, stops=None, where="graph", most=Level.DANGER,
        look=_ticks_add_up, watch=0.5),
    Row("P7", "a storm of 1000 messages a second on a sensor's topic", _topic_storm, stops=None, where="graph",
        most=Level.DANGER, look=_ticks_add_up, watch=0.5),
    Row("P8", "somebody joins after a stop was latched", _press, ("ESTOP",), level=Level.EMERGENCY, where="graph",
        look=_late_joiner, after="reset"),
)
