"""T1 to T5: clocks that step, stand still, loop or quarrel, and processes that slept."""

from __future__ import annotations

from humanoid_bench.faults.deeds import freeze
from humanoid_bench.faults.row import NotPossible, Row, World
from humanoid_core.types import Level


def _step(seconds: float, between: bool = False):  # type: ignore[no-untyped-def]
    """The wall clock is set; the monotonic clock does not know. ``between``: after the sensors spoke and before the
    loops looked at what they said."""

    def do(world: World) -> None:
        if not hasattr(world, "step_clock"):
            raise NotPossible("setting the wall clock needs root; played in lockstep, where ROS time is separate")
        world.step_clock(seconds, between)

    return do


def _pause_clock(world: World) -> None:
    if hasattr(world, "hold_clock"):
        world.hold_clock(True)
        world.wait(0.6)
        world.hold_clock(False)
    else:
        world.freeze("sim_robot", 0.6)


def _loop_clock(world: World) -> None:
    """A bag begins anew: ROS time jumps back, with every stamp."""
    if hasattr(world, "step_clock"):
        world.step_clock(-5.0)
    else:
        world.kill("sim_robot")  # its clock begins anew with it


def _second_clock(world: World) -> None:
    world.second_clock(2.0)  # type: ignore[attr-defined]


ROWS = (
    Row("T1", "the wall clock steps forward by 5 s", _step(5.0), stops=False, most=Level.SAFE, where="lockstep"),
    Row("T1-between", "the wall clock steps forward by 5 s while samples wait to be judged", _step(5.0, between=True),
        stops=False, most=Level.SAFE, where="lockstep"),
    Row("T1-back", "the wall clock steps back by 5 s", _step(-5.0), stops=False, most=Level.CAUTION,
        where="lockstep"),
    Row("T1-back-between", "the wall clock steps back by 5 s while samples wait to be judged",
        _step(-5.0, between=True), stops=False, most=Level.CAUTION, where="lockstep"),
    Row("T2", "/clock pauses for 0.6 s", _pause_clock, ("NO_STATE", "STALE"), graph="clock", level=Level.DANGER,
        most=Level.DANGER, watch=1.5),
    Row("T3", "time jumps back, as when a bag loops", _loop_clock, ("CLOCK_RESET", "STALE", "NO_STATE", "FUTURE"),
        stops=None, graph="clock", most=Level.DANGER, watch=4.0, after="restart"),
    Row("T4", "a second clock speaks on /clock", _second_clock, ("PUBLISHER", "CLOCK_RESET"), stops=None,
        where="graph", graph="clock", watch=2.0, after="restart"),
    Row("T5", "the gate is suspended for 2 s", freeze("command_gate", 2.0),
        ("JUMP", "NO_STATE", "NO_PERMIT", "DIED", "OLD_EPOCH"), watch=3.0),
    Row("T5-monitor", "the monitor is suspended for 2 s", freeze("safety_monitor", 2.0), ("NO_PERMIT",),
        within_ms=50.0, watch=3.0),
    Row("T5-ingest", "the ingest is suspended for 2 s", freeze("sensor_ingest", 2.0), ("STALE", "NO_STATE"),
        level=Level.DANGER, within_ms=60.0, watch=3.0),
)
