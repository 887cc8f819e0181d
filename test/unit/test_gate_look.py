"""Between two periods: what ends a motion is acted on at once, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_world import NAMES, PERIOD, UPPER, GateWorld, cases
from test_gate import ACCELERATION, JERK, LOWER, SPEED, TOP, speed

from humanoid_core.timing import MS, NS
from humanoid_core.types import Level
from safety_nodes.core.gate import GateOutput

ELBOW = NAMES.index("left_elbow_joint")


@pytest.fixture
def world() -> GateWorld:
    ready = GateWorld()
    ready.hold_ticks(5)
    assert ready.swing(40).state == "passing"
    return ready


def bad(world: GateWorld, kind: str) -> GateOutput | None:
    """What a look 3 ms after a tick says to this."""
    q, dq = world.elbow(40)
    if kind == "nan":
        return world.look(3 * MS, world.command(np.full(len(UPPER), np.nan), dq))
    if kind == "limit":
        q[ELBOW] = 9.0
        return world.look(3 * MS, world.command(q, dq))
    if kind == "danger":
        return world.look(3 * MS, permits=world.permits(level=Level.DANGER, scale=0.0, accept_new=False))
    if kind == "stop":
        return world.look(3 * MS, permits=world.permits(level=Level.EMERGENCY, estop_latched=True))
    if kind == "person":
        return world.look(3 * MS, overrides=world.override())
    assert kind == "switched off"
    world.active = False
    return world.look(3 * MS)


@pytest.mark.parametrize("kind", ["nan", "limit", "danger", "stop", "person", "switched off"])
def test_what_ends_a_motion_brakes_it_before_the_period_ends(world: GateWorld, kind: str) -> None:
    before = world.out
    assert before is not None
    assert before.command is not None
    out = bad(world, kind)
    assert out is not None
    assert out.command is not None
    assert out.state in ("halting", "latched")
    assert out.reason
    assert out.command.epoch == 0
    moved = np.abs(out.command.position - before.command.position).max()
    assert 0.0 < moved <= speed(before) * 0.003 + 1e-9, "3 ms of motion in 3 ms"
    assert speed(out) < speed(before)
    assert world.look(6 * MS) is None, "it brakes already"


@pytest.mark.parametrize("kind", ["nan", "danger"])
def test_the_next_period_is_shorter_by_what_was_done_before_it(world: GateWorld, kind: str) -> None:
    twin = GateWorld()
    twin.hold_ticks(5)
    twin.swing(40)
    assert bad(world, kind) is not None
    denied = replace_permits(world, kind)
    after = world.tick(permits=denied)
    # The same refused at the end of the period: the set-point went on for the whole of it only where it may.
    other = twin.tick(permits=replace_permits(twin, kind))
    assert after.command is not None
    assert other.command is not None
    assert abs(after.command.position[ELBOW] - other.command.position[ELBOW]) < 2e-3
    assert speed(after) <= speed(other) + 1e-9


def replace_permits(world: GateWorld, kind: str):  # type: ignore[no-untyped-def]
    return world.permits(level=Level.DANGER, scale=0.0, accept_new=False) if kind == "danger" else None


def test_good_commands_change_nothing_between_two_periods(world: GateWorld) -> None:
    twin = GateWorld()
    twin.hold_ticks(5)
    twin.swing(40)
    for k in range(40, 120):
        made = world.command(*world.elbow(k))
        twin.command_seq += 1
        early = replace(made, mono_ns=world.mono + 4 * MS)
        assert world.look(2 * MS) is None
        assert world.look(5 * MS, early) is None
        assert world.look(8 * MS) is None
        out, other = world.tick(), twin.tick(made)
        assert out.state == other.state == "passing"
        assert out.command is not None
        assert other.command is not None
        np.testing.assert_array_equal(out.command.position, other.command.position)


def test_a_refusal_that_moved_nothing_is_still_the_reason_at_the_period(world: GateWorld) -> None:
    world.hold_ticks(60)
    assert world.out is not None
    assert world.out.state == "holding"
    assert world.look(3 * MS, world.command(np.full(len(UPPER), np.nan))) is None, "nothing moves: nothing to brake"
    assert world.tick().reason == "NON_FINITE"
    assert dict(world.gate.refused.items())["NON_FINITE"] == 1


def test_silence_is_noticed_between_two_periods() -> None:
    """A permit that ran out, and a policy that fell silent."""
    for what, longest in (("permit", 31 * MS), ("command", 61 * MS)):
        world = GateWorld()
        world.hold_ticks(5)
        world.swing(40)
        said, since = None, 0
        while said is None and since < 100 * MS:
            for ns in range(2 * MS, PERIOD, 2 * MS):
                said = said or world.look(ns)
                if said is not None:
                    break
            else:
                since += PERIOD
                k = 40 + since // PERIOD
                if what == "permit":
                    out = world.tick(world.command(*world.elbow(k)), permits=())
                else:
                    out = world.tick()
                assert out.state == "passing", (what, since, out.reason)
        assert said is not None, what
        assert since + ns <= longest + 2 * MS, what


@given(data=st.data())
@settings(max_examples=cases(60), deadline=None)
def test_looks_never_break_a_limit(data: st.DataObject) -> None:
    """Bad commands, silence and stops between periods: each command is inside every limit of the time since the
    one before, and so is each whole period."""
    world = GateWorld()
    world.hold_ticks(5)
    last, at, acceleration = world.out, world.mono, np.zeros(len(UPPER))
    epoch, k = 1, 0
    for _ in range(data.draw(st.integers(5, 40))):
        kinds = st.sampled_from(["good", "good", "good", "nan", "limit", "danger", "none"])
        kind, early = data.draw(kinds), data.draw(st.integers(1, PERIOD - 1))
        k += 1
        q, dq = world.elbow(k)
        if kind == "nan":
            out = world.look(early, world.command(np.full(len(UPPER), np.nan), epoch=epoch))
        elif kind == "limit":
            q[ELBOW] = 9.0
            out = world.look(early, world.command(q, dq, epoch=epoch))
        elif kind == "danger":
            out = world.look(early, permits=world.permits(level=Level.DANGER, scale=0.0))
        else:
            out = world.look(early)
        if out is not None:
            acceleration = check_step(last, out, (early) / NS, acceleration)
            last, at, epoch, k = out, world.mono + early, epoch + 1, 0
            assert out.state != "passing"
        went = world.tick(*([world.command(*world.elbow(k), epoch=epoch)] if kind == "good" else []))
        acceleration = check_step(last, went, (world.mono - at) / NS, acceleration)
        last, at = went, world.mono


def check_step(last: GateOutput | None, out: GateOutput, dt: float, acceleration: np.ndarray) -> np.ndarray:
    assert last is not None
    assert last.command is not None
    assert out.command is not None
    q, v = out.command.position, out.command.velocity
    assert np.isfinite(q).all()
    assert (q >= LOWER).all()
    assert (q <= TOP).all()
    assert (np.abs(v) <= SPEED + 1e-9).all()
    assert (np.abs(q - last.command.position) <= SPEED * dt + 1e-9).all()
    change = (v - last.command.velocity) / dt
    assert (np.abs(change) <= ACCELERATION + 1e-5).all()
    # Mean accelerations of two steps of unlike length: their middles are at most this far apart.
    assert (np.abs(change - acceleration) <= JERK * PERIOD / NS + 1e-3).all()
    return np.asarray(change)
