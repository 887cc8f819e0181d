"""T1: a step of the wall clock changes nothing. And the two other new judgements: removed joints, too fast for the
scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safety_world import NAMES, PERIOD, ROBOT, UPPER, GateWorld, calm_state
from test_gate import ELBOW, check_history

from humanoid_core.timing import MS, NS
from humanoid_core.types import Level
from safety_nodes.core.types import Received


@pytest.fixture
def world() -> GateWorld:
    ready = GateWorld()
    ready.hold_ticks(5)
    return ready


@pytest.mark.parametrize("step", [5 * NS, -5 * NS])
@pytest.mark.parametrize("late", [0, 1, 3])
def test_a_step_of_the_wall_clock_neither_stops_nor_jerks_a_motion(world: GateWorld, step: int, late: int) -> None:
    """`late` more messages still carry the old time, as those under way do."""
    for k in range(40):
        world.tick(world.command(*world.elbow(k)))
    world.ros += step
    for k in range(40, 200):
        old = step if k < 40 + late else 0
        state = Received(calm_state(world.ros + PERIOD - 3 * MS - old, position=world.q), world.mono + PERIOD - MS)
        out = world.tick(world.command(*world.elbow(k), stamp=world.ros + PERIOD - old), state=state)
        assert out.state == "passing", (k, out.reason)
        assert out.command is not None
        np.testing.assert_allclose(out.command.position, world.elbow(k)[0], atol=2e-3)
    assert world.gate.refused.total == 0
    check_history(world.history)


@pytest.mark.parametrize("step", [5 * NS, -5 * NS])
def test_a_policy_that_falls_silent_as_the_clock_steps_is_noticed_in_time(world: GateWorld, step: int) -> None:
    world.swing(60)
    world.ros += step
    states = [world.tick().state for _ in range(60)]
    assert states[7] in ("halting", "holding")
    assert states[-1] == "holding"


@pytest.mark.parametrize("step", [5 * NS, -5 * NS])
def test_a_jump_hidden_behind_a_clock_step_is_refused(world: GateWorld, step: int) -> None:
    world.swing(60)
    far = ROBOT.stand[UPPER].copy()
    far[ELBOW] -= 1.0
    world.ros += step
    assert world.tick(world.command(far)).reason == "LIMIT_RATE"


def test_a_removed_joint_goes_with_what_is_measured_and_the_rest_follows(world: GateWorld) -> None:
    wrist = NAMES.index("left_wrist_pitch_joint")
    world.permit = {"removed_joints": ("left_wrist_pitch_joint",)}
    for k in range(120):
        q, v = world.elbow(k)
        q[wrist], v[wrist] = 0.01 * k, 0.5
        measured = world.q.copy()
        measured[UPPER[wrist]] = -0.002 * k  # it sinks
        state = Received(calm_state(world.ros + PERIOD - 3 * MS, position=measured), world.mono + PERIOD - MS)
        out = world.tick(world.command(q, v), state=state)
        assert out.state == "passing"
    assert out.command is not None
    assert out.command.position[wrist] == pytest.approx(-0.002 * 119, abs=0.02)
    assert out.command.position[ELBOW] == pytest.approx(world.elbow(119)[0][ELBOW], abs=2e-3)
    for _ in range(100):
        state = Received(calm_state(world.ros + PERIOD - 3 * MS, position=measured), world.mono + PERIOD)
        out = world.tick(state=state)
    assert out.state == "holding"
    assert out.command.position[wrist] == pytest.approx(measured[UPPER[wrist]], abs=1e-3)
    check_history(world.history)


def test_a_removed_joint_comes_back_without_a_step(world: GateWorld) -> None:
    world.permit = {"removed_joints": ("left_elbow_joint",)}
    world.hold_ticks(20)
    world.permit = {"removed_joints": ()}
    for k in range(60):
        out = world.tick(world.command(*world.elbow(k)))
    assert out.state == "passing"
    check_history(world.history)


def test_a_policy_that_does_not_slow_down_to_the_scale_is_refused_after_the_grace(world: GateWorld) -> None:
    amplitude, omega = 1.0, 3.0  # 1.5 rad/s at most, of 2.5

    def swing(k: int) -> tuple[np.ndarray, np.ndarray]:
        q, v = ROBOT.stand[UPPER].copy(), np.zeros(len(UPPER))
        t = k * PERIOD / NS
        q[ELBOW] -= amplitude * 0.5 * (1.0 - np.cos(omega * t))
        v[ELBOW] = -amplitude * 0.5 * omega * np.sin(omega * t)
        return q, v

    world.permit = {"level": Level.CAUTION, "scale": 0.5}
    states = [world.tick(world.command(*swing(k))).state for k in range(45)]
    assert set(states) == {"passing"}, "it has a second to slow down"
    for k in range(45, 200):
        out = world.tick(world.command(*swing(k)))
    assert world.gate.refused["LIMIT_RATE"] > 0
    assert out.state == "holding"
    check_history(world.history)


def test_a_policy_that_keeps_to_the_scale_is_followed(world: GateWorld) -> None:
    world.permit = {"level": Level.WARNING, "scale": 0.25}
    world.permit = {"level": Level.CAUTION, "scale": 0.25}
    for k in range(300):
        out = world.tick(world.command(*world.elbow(k, amplitude=0.5)))
        assert out.state == "passing", (k, out.reason)


def test_two_monitors_and_a_forged_reset_do_not_unlatch(world: GateWorld) -> None:
    world.permit = {"level": Level.EMERGENCY, "estop_latched": True}
    world.hold_ticks(10)
    forged = tuple(replace(p, sender=b"forger") for p in world.permits(level=Level.SAFE, estop_latched=False,
                                                                        reset_count=7))
    for _ in range(10):
        out = world.tick(permits=(*world.permits(), *forged))
    assert out.state == "latched"
    assert world.gate.refused["PUBLISHER"] > 0
