"""A person takes over: hold, jog with limits of its own; neither limits nor an emergency can be got round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safety_world import GATE, NAMES, ROBOT, UPPER, GateWorld
from test_gate import ELBOW, LOWER, SPEED, TOP, check_history, speed

from humanoid_core.types import Level, Mode

JOG, HOLD = 1, 0
LEFT = "left_elbow_joint"


@pytest.fixture
def world() -> GateWorld:
    ready = GateWorld()
    ready.hold_ticks(5)
    return ready


def jogs(world: GateWorld, ticks: int, velocity: float = 0.3, name: str = LEFT, **tick: Any) -> Any:
    return [world.tick(overrides=world.override(JOG, (name,), [velocity]), **tick) for _ in range(ticks)][-1]


def test_a_jog_drives_the_named_joint_and_no_other(world: GateWorld) -> None:
    start = world.gate.setpoint.position.copy()
    out = jogs(world, 100)
    assert (out.state, out.reason, out.mode) == ("jogging", "OVERRIDE", Mode.RUN)
    moved = world.gate.setpoint.position - start
    assert moved[ELBOW] == pytest.approx(0.3, abs=0.05)
    assert np.count_nonzero(np.abs(moved) > 1e-9) == 1
    check_history(world.history)


def test_a_jog_has_its_own_limit_and_the_permits(world: GateWorld) -> None:
    assert speed(jogs(world, 100, 2.0)) == pytest.approx(GATE.jog_share * SPEED[ELBOW])
    world.permit = {"level": Level.WARNING, "scale": 0.1, "accept_new": False}
    assert speed(jogs(world, 60, -2.0)) == pytest.approx(0.1 * SPEED[ELBOW])
    check_history(world.history)


def test_a_jog_stops_at_the_joint_limit(world: GateWorld) -> None:
    for velocity, limit in ((5.0, TOP), (-5.0, LOWER)):
        jogs(world, 700, velocity)
        assert world.gate.setpoint.position[ELBOW] == pytest.approx(limit[ELBOW], abs=0.02)
    check_history(world.history)


@pytest.mark.parametrize("mode", [HOLD, JOG])
def test_while_a_person_has_taken_over_the_policy_is_refused_and_must_begin_anew(world: GateWorld, mode: int) -> None:
    world.swing(60, epoch=1)
    names, velocity = ((LEFT,), [0.0]) if mode == JOG else ((), [])
    for k in range(60):
        out = world.tick(world.command(*world.elbow(60 + k)), overrides=world.override(mode, names, velocity))
    assert out.reason == "OVERRIDE"
    assert speed(out) == 0.0
    assert world.gate.refused["OVERRIDE"] > 0
    for k in range(10):
        out = world.tick(world.command(*world.elbow(120 + k)), overrides=world.override(active=False))
    assert (out.state, out.reason) == ("holding", "OLD_EPOCH")
    assert world.swing(5, epoch=2).state == "passing"
    check_history(world.history)


def test_a_lost_link_holds_until_somebody_releases_it(world: GateWorld) -> None:
    jogs(world, 50)
    out = world.hold_ticks(80)
    assert (out.state, out.reason) == ("holding", "OVERRIDE")
    assert world.tick(world.command(*world.elbow(0), epoch=5)).reason == "OVERRIDE"
    world.tick(overrides=world.override(active=False, sender=b"another"))
    assert not world.gate.override.active, "the first was silent for long enough: another may release"
    assert world.swing(5, epoch=6).state == "passing"


def test_a_stranger_cannot_release_a_person_who_is_there(world: GateWorld) -> None:
    jogs(world, 20)
    world.tick(overrides=world.override(active=False, sender=b"stranger"))
    out = jogs(world, 5)
    assert out.state == "jogging"
    assert world.gate.refused["PUBLISHER"] == 1


@pytest.mark.parametrize("permit", [{"level": Level.EMERGENCY, "estop_latched": True}, {"level": Level.DANGER},
                                    {"scale": 0.0}])
def test_a_jog_cannot_bypass_the_monitor(world: GateWorld, permit: dict[str, Any]) -> None:
    jogs(world, 50)
    world.permit = permit
    out = jogs(world, 60)
    assert out.state in ("latched", "holding")
    assert speed(out) == 0.0
    check_history(world.history)


def test_a_jog_without_permits_or_joint_state_halts(world: GateWorld) -> None:
    jogs(world, 50)
    assert speed(jogs(world, 60, permits=())) == 0.0
    jogs(world, 50)
    assert jogs(world, 60, state=None).reason == "NO_STATE"


@pytest.mark.parametrize(("code", "names", "velocity", "mode"), [
    ("NON_FINITE", (LEFT,), [np.nan], JOG), ("WRONG_LENGTH", (LEFT,), [], JOG),
    ("WRONG_NAMES", (LEFT, LEFT), [0, 0], JOG), ("WRONG_NAMES", (), [], JOG),
    ("NOT_CONTROLLED", ("left_knee_joint",), [0.1], JOG), ("OUT_OF_RANGE", (LEFT,), [0.1], 7),
])
def test_a_jog_that_makes_no_sense_holds(world: GateWorld, code: str, names: tuple[str, ...], velocity: Any,
                                         mode: int) -> None:
    world.swing(40)
    for _ in range(60):
        out = world.tick(overrides=world.override(mode, names, velocity))
    assert (out.state, out.reason) == ("holding", "OVERRIDE")
    assert world.gate.refused[code] > 0


def test_a_replayed_heartbeat_neither_drives_nor_releases(world: GateWorld) -> None:
    old = world.override(active=False)
    jogs(world, 30)
    world.tick(overrides=old)
    assert world.gate.refused["OLD_SEQUENCE"] == 1
    assert jogs(world, 3).state == "jogging"


def test_a_policy_that_talks_nonsense_meanwhile_does_not_stop_the_person(world: GateWorld) -> None:
    bad = ROBOT.stand[UPPER].copy()
    bad[ELBOW] = np.nan
    for _ in range(50):
        out = world.tick(world.command(bad), overrides=world.override(JOG, (LEFT,), [0.3]))
    assert out.state == "jogging"
    assert NAMES[ELBOW] == LEFT
