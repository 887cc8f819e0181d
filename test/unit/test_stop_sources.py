"""How a stop source comes, goes, dies and is replaced; a stop rule that fails; a person who jogs, as the monitor sees
it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_world import MONITOR, PERIOD, ROBOT, MonitorWorld

from humanoid_core.types import ESTOP_SIGN_OFF, Level, OverrideState
from safety_nodes.core.monitor import evaluate
from safety_nodes.core.rules import RULES
from safety_nodes.core.types import Finding, Received, Tick


@pytest.fixture
def world() -> MonitorWorld:
    ready = MonitorWorld()
    assert ready.settle().level == Level.SAFE
    return ready


def test_a_released_source_that_signs_off_may_fall_silent(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("keyboard", False, 1))
    world.tick(estops=world.beat("keyboard", False, ESTOP_SIGN_OFF))
    assert world.ticks(200).level == Level.SAFE


def test_a_pressed_source_cannot_sign_off(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("keyboard", True, 1))
    world.tick(estops=world.beat("keyboard", False, ESTOP_SIGN_OFF))
    assert world.ticks(5).level == Level.EMERGENCY
    assert world.reset(1).code == "RESET_PRESSED"


def test_nobody_signs_off_while_the_stop_is_latched(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("a", True, 1))
    world.tick(estops=world.beat("a", False, 2))
    world.tick(estops=world.beat("a", False, ESTOP_SIGN_OFF))
    world.ticks(60)
    assert world.reset(1).code == "RESET_PRESSED", "still watched, and silent by now"


def test_a_stranger_cannot_sign_off_for_another(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("panel", False, 1, sender=b"panel"))
    world.tick(estops=world.beat("panel", False, ESTOP_SIGN_OFF, sender=b"stranger"))
    assert world.ticks(60).level == Level.EMERGENCY


def test_a_dead_source_is_replaced_by_a_new_process_of_its_name_and_may_then_leave(world: MonitorWorld) -> None:
    """E6, and the way back without a restart: take its place, reset, sign off."""
    world.tick(estops=world.beat("radio", False, 7, sender=b"old"))
    assert world.ticks(60).latched
    assert world.reset(1).code == "RESET_PRESSED"
    for k in range(120):
        world.tick(estops=world.beat("radio", False, k + 1, sender=b"new"))
    assert world.reset(2).accepted
    for k in range(200):
        verdict = world.tick(estops=world.beat("radio", False, k + 200, sender=b"new"))
    assert verdict.level == Level.SAFE
    world.tick(estops=world.beat("radio", False, ESTOP_SIGN_OFF, sender=b"new"))
    assert world.ticks(200).level == Level.SAFE


def test_a_source_that_signed_off_may_come_back_and_is_watched_again(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("a", False, 1))
    world.tick(estops=world.beat("a", False, ESTOP_SIGN_OFF))
    world.tick(estops=world.beat("a", False, 1))
    assert world.ticks(60).level == Level.EMERGENCY


@pytest.mark.parametrize("name", ["estop", "override"])
def test_a_stop_rule_that_raises_still_stops(world: MonitorWorld, name: str) -> None:
    """E7."""
    def broken(x: Tick) -> list[Finding]:
        raise ZeroDivisionError("the handler itself")

    rules = tuple(replace(rule, check=broken) if rule.name == name else rule for rule in RULES)
    world.mono += PERIOD
    world.ros += PERIOD
    verdict = evaluate(world.inputs(), world.mono, ROBOT, MONITOR, world.memory, rules)
    assert verdict.level == Level.EMERGENCY
    assert verdict.latched
    assert any(v.code == "EXCEPTION" for v in verdict.violations)


def _jog(world: MonitorWorld, seq: int = 1) -> Received[OverrideState]:
    value = OverrideState(world.ros, "Ada", True, 1, ("left_elbow_joint",), np.array([0.1]), seq)
    return Received(value, world.mono + PERIOD)


def test_a_jog_leaves_leave_to_move_and_lets_no_policy_begin(world: MonitorWorld) -> None:
    for k in range(100):
        verdict = world.tick(overrides=(_jog(world, k + 1),))
    assert verdict.level == Level.WARNING
    assert 0.0 < verdict.scale <= MONITOR.warning_scale
    assert not verdict.accept_new
    assert "OVERRIDE" in verdict.cause


def test_a_jog_whose_link_is_lost_holds(world: MonitorWorld) -> None:
    last = _jog(world)
    verdict = world.ticks(80, overrides=(last,))
    assert verdict.level == Level.DANGER
    assert verdict.scale == 0.0
