"""Presses that must not be lost: short ones, of one of two processes of a name, unreadable ones; sources that are too
many, and such as must be there.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_world import MONITOR, PERIOD, ROBOT, MonitorWorld, cases

from humanoid_core.timing import MS, NS
from humanoid_core.types import ESTOP_SIGN_OFF, ESTOP_TOO_MANY, EStopState, Level
from safety_nodes.core.monitor import reset
from safety_nodes.core.stops import MAX_SOURCES, MAX_TOLD_APART, StopSources
from safety_nodes.core.types import Received
from safety_nodes.core.urgent import urgent


@pytest.fixture
def world() -> MonitorWorld:
    ready = MonitorWorld()
    assert ready.settle().level == Level.SAFE
    return ready


def held(world: MonitorWorld) -> str:
    """What a reset says that still holds the stop; as if none had been asked for lately."""
    world.memory.last_reset_ns = None
    answer = world.reset(world.mono)
    world.memory.last_reset_ns = None
    assert answer.code == "RESET_PRESSED"
    return answer.text


def unreadable(world: MonitorWorld, sender: bytes = b"a") -> tuple[Received[EStopState], ...]:
    return (Received(None, world.mono + PERIOD, sender),)


# --- short presses


def test_a_press_that_is_released_before_the_monitor_looks_latches(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("panel", False, 1))
    verdict = world.tick(estops=world.beat("panel", True, 10) + world.beat("panel", False, 11))
    assert (verdict.level, verdict.latched) == (Level.EMERGENCY, True)
    assert "ESTOP: panel" in verdict.cause
    world.tick(estops=world.beat("panel", False, 12))
    assert world.last.latched
    assert world.reset(1).accepted, "it is released: a person may let go of the latch"


def test_a_press_during_a_suspension_of_the_monitor_latches(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("panel", False, 1))
    beats = [replace(beat, mono_ns=world.mono + k * 50 * MS) for k, pressed in enumerate((False, True, True, False), 1)
             for beat in world.beat("panel", pressed, k + 1)]
    world.mono += 300 * MS
    world.ros += 300 * MS
    assert world.tick(estops=tuple(beats)).latched


def test_a_press_does_not_leave_with_a_sign_off_in_the_same_look(world: MonitorWorld) -> None:
    beats = [world.beat("panel", False, 1), world.beat("panel", True, 2), world.beat("panel", False, 3),
             world.beat("panel", False, ESTOP_SIGN_OFF)]
    assert world.tick(estops=sum(beats, ())).latched
    world.ticks(60)
    assert "panel" in held(world), "nobody leaves a stop: still watched, and silent by now"


@given(st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([b"1", b"2"]), st.booleans()), max_size=6),
                max_size=30))
@settings(max_examples=cases(60), deadline=None)
def test_no_press_is_ever_lost(batches: list[list[tuple[str, bytes, bool]]]) -> None:
    world, seq = MonitorWorld(), 0
    world.settle()
    for batch in batches:
        beats: tuple[Received[EStopState], ...] = ()
        for source, sender, pressed in batch:
            seq += 1
            beats += world.beat(source, pressed, seq, sender)
        world.tick(estops=beats)
        if any(pressed for _, _, pressed in batch):
            assert world.last.latched
            return
        assert not world.last.latched


# --- two processes of one name


def test_of_two_processes_of_one_name_each_is_missed(world: MonitorWorld) -> None:
    for k in range(20):
        world.tick(estops=world.beat("keyboard", False, k + 1, b"a") + world.beat("keyboard", False, k + 1, b"b"))
    assert world.last.level == Level.SAFE, "two consoles of one name are no fault"
    for k in range(60):
        world.tick(estops=world.beat("keyboard", False, 21 + k, b"b"))
    assert world.last.latched
    assert "keyboard (one of 2 processes of that name)" in world.last.cause
    assert "keyboard" in held(world), "the other one does not speak for it"


def test_of_two_processes_of_one_name_one_that_is_pressed_holds_the_stop(world: MonitorWorld) -> None:
    for k in range(200):
        world.tick(estops=world.beat("keyboard", True, k + 1, b"a") + world.beat("keyboard", False, k + 1, b"b"))
    assert world.last.latched
    assert "one of 2" in held(world)
    for k in range(200, 240):
        world.tick(estops=world.beat("keyboard", False, k + 1, b"a") + world.beat("keyboard", False, k + 1, b"b"))
    assert world.reset(1).accepted


def test_a_third_process_takes_the_place_of_the_dead_one_of_two(world: MonitorWorld) -> None:
    """The way back: start it anew under its name, reset, sign off."""
    world.tick(estops=world.beat("keyboard", True, 1, b"a") + world.beat("keyboard", False, 1, b"b"))
    for k in range(70):
        world.tick(estops=world.beat("keyboard", False, k + 2, b"b"))
    assert "one of 2" in held(world)
    for k in range(20):
        world.tick(estops=world.beat("keyboard", False, k + 80, b"b") + world.beat("keyboard", False, k + 1, b"c"))
    assert world.reset(99).accepted
    for k in range(30):
        world.tick(estops=world.beat("keyboard", False, k + 200, b"b") + world.beat("keyboard", False, k + 50, b"c"))
    world.tick(estops=world.beat("keyboard", False, ESTOP_SIGN_OFF, b"c") + world.beat("keyboard", False, 300, b"b"))
    for k in range(200):
        world.tick(estops=world.beat("keyboard", False, k + 400, b"b"))
    assert world.last.level == Level.SAFE
    assert world.ticks(60).latched, "the living one is watched as before"


def test_a_process_that_is_restarted_at_once_has_stopped_the_robot_and_is_replaced(world: MonitorWorld) -> None:
    """Restarted within the time that silence takes: the death is seen all the same, the way back is the same."""
    world.tick(estops=world.beat("radio", False, 7, b"old"))
    world.ticks(10)
    for k in range(80):
        world.tick(estops=world.beat("radio", False, k + 1, b"new"))
    assert world.last.latched
    assert world.reset(1).accepted


def test_one_that_signs_off_leaves_the_other_of_its_name_watched(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("keyboard", False, 1, b"a") + world.beat("keyboard", False, 1, b"b"))
    world.tick(estops=world.beat("keyboard", False, ESTOP_SIGN_OFF, b"a"))
    for k in range(60):
        world.tick(estops=world.beat("keyboard", False, k + 2, b"b"))
    assert world.last.level == Level.SAFE
    assert world.ticks(60).latched


# --- unreadable messages


def test_an_unreadable_stop_message_is_a_press(world: MonitorWorld) -> None:
    beats = unreadable(world)
    assert urgent(world.inputs().state, beats, world.mono, ROBOT, MONITOR, world.memory)
    verdict = world.tick(estops=beats)
    assert verdict.latched
    assert "ESTOP: an unreadable message" in verdict.cause
    world.ticks(20)
    assert world.reset(1).code == "RESET_PRESSED", "they may go on"
    world.ticks(100)
    assert world.reset(2).accepted, "nothing unreadable for half a second"


def test_a_source_whose_message_cannot_be_read_is_pressed_until_it_is_read_again(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("panel", False, 1))
    world.tick(estops=unreadable(world))
    world.ticks(30)
    assert "panel" in held(world)
    world.tick(estops=world.beat("panel", False, 3))
    for k in range(60):
        world.tick(estops=world.beat("panel", False, k + 4))
    assert world.reset(1).accepted


def test_an_unreadable_message_that_came_long_ago_still_latches(world: MonitorWorld) -> None:
    """A monitor that was suspended finds it late."""
    old = unreadable(world)
    world.mono += 2 * NS
    world.ros += 2 * NS
    assert world.tick(estops=old).latched


# --- too many


def crowd(world: MonitorWorld, count: int, seq: int, sender: bytes = b"a") -> tuple[Received[EStopState], ...]:
    return tuple(b for k in range(count) for b in world.beat(f"s{k}", False, seq, sender))


def test_too_many_sources_stop_and_are_let_go_of_once_the_surplus_signed_off(world: MonitorWorld) -> None:
    for k in range(1, 5):
        world.tick(estops=crowd(world, 70, k))
    assert world.last.latched
    assert ESTOP_TOO_MANY in world.last.violations[0].subject
    assert "sign off" in held(world)
    for k in range(MAX_SOURCES, 70):
        world.tick(estops=world.beat(f"s{k}", False, ESTOP_SIGN_OFF))
    world.tick(estops=crowd(world, MAX_SOURCES, 10))
    assert world.reset(5).accepted
    world.tick(estops=crowd(world, MAX_SOURCES, 11))
    assert not world.last.latched


def test_a_surplus_source_that_died_is_missed_until_one_of_its_name_signs_off(world: MonitorWorld) -> None:
    world.tick(estops=crowd(world, 65, 1))
    for k in range(70):
        world.tick(estops=crowd(world, 64, 2 + k))
    assert "s64" in held(world)
    world.tick(estops=crowd(world, 64, 100))
    world.tick(estops=world.beat("s64", False, 1, b"new"))
    world.tick(estops=world.beat("s64", False, ESTOP_SIGN_OFF, b"new"))
    assert world.reset(5).accepted


def test_a_surplus_source_that_is_pressed_is_named(world: MonitorWorld) -> None:
    world.tick(estops=crowd(world, 70, 1))
    world.tick(estops=world.beat("s69", True, 2))
    world.tick(estops=crowd(world, 69, 2))
    assert "s69" in held(world)


def test_more_than_can_be_told_apart_holds_until_a_restart_and_says_so(world: MonitorWorld) -> None:
    world.tick(estops=crowd(world, MAX_TOLD_APART + 1, 1))
    world.tick(estops=crowd(world, MAX_TOLD_APART, ESTOP_SIGN_OFF))
    assert "restart safety_monitor" in held(world)


# --- sources that must be there


def requiring(*names: str) -> MonitorWorld:
    world = MonitorWorld()
    world.config = replace(MONITOR, required_stop_sources=names)
    return world


def test_without_a_required_source_nothing_moves_and_the_message_says_what_to_start() -> None:
    world = requiring("panel", "")
    verdict = world.settle()
    assert (verdict.level, verdict.scale, verdict.latched) == (Level.DANGER, 0.0, False)
    assert "ESTOP: panel, a required stop source, is not there" in verdict.cause
    assert "humanoid-twin estop --source panel" in verdict.cause
    for k in range(200):
        world.tick(estops=world.beat("panel", False, k + 1))
    assert world.last.level == Level.SAFE, "no reset is needed: nobody has pressed anything"
    assert world.ticks(60).latched, "from now on its silence is a press as any other's"


def test_another_source_does_not_stand_in_for_a_required_one() -> None:
    world = requiring("panel")
    for k in range(200):
        world.tick(estops=world.beat("pannel", False, k + 1))
    assert world.last.level == Level.DANGER


def test_a_required_source_that_signs_off_takes_the_leave_to_move_with_it() -> None:
    world = requiring("panel")
    for k in range(200):
        world.tick(estops=world.beat("panel", False, k + 1))
    world.tick(estops=world.beat("panel", False, ESTOP_SIGN_OFF))
    assert (world.last.level, world.last.latched) == (Level.DANGER, False)


def test_no_latch_is_let_go_of_without_the_required_source() -> None:
    world = requiring("panel")
    world.settle()
    world.tick(intruders=("robot/joint_command",))
    assert world.last.latched
    world.ticks(5)
    answer = reset(1, "Ada", world.mono, world.config, world.memory)
    assert answer.code == "RESET_PRESSED"
    assert "panel, a required stop source" in answer.text


def test_none_is_required_unless_somebody_says_so() -> None:
    assert StopSources().missing(MONITOR.required_stop_sources) == []


# --- nonces


def test_an_old_nonce_is_remembered_over_many_resets(world: MonitorWorld) -> None:
    assert world.reset(1).accepted
    for nonce in range(2, 5000):
        world.mono += NS
        world.reset(nonce)
    world.mono += NS
    assert world.reset(1).code == "RESET_NONCE"
