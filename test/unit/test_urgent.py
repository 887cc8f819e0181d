"""What the monitor judges between its ticks: a pressed stop and a state past a hard limit, once, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safety_world import MONITOR, ROBOT, MonitorWorld

from humanoid_core.types import Level
from safety_nodes.core.rules import RULES
from safety_nodes.core.urgent import HARD, urgent


@pytest.fixture
def world() -> MonitorWorld:
    world = MonitorWorld()
    world.settle()
    return world


def asks(world: MonitorWorld, beats: Any = (), **state: Any) -> bool:
    return urgent(world.inputs(state).state, beats, world.mono, ROBOT, MONITOR, world.memory)


def past(index: int, by: float) -> np.ndarray:
    q = ROBOT.stand.copy()
    q[index] = ROBOT.upper[index] + by
    return q


def test_calm_states_wait_for_the_tick(world: MonitorWorld) -> None:
    assert not asks(world)
    assert not asks(world, velocity=ROBOT.velocity * 0.99)  # of a noisy check one sample says nothing


@pytest.mark.parametrize("state", [
    {"position": past(3, 0.5)}, {"position": np.full(ROBOT.n, np.nan)}, {"velocity": np.full(ROBOT.n, np.inf)},
    {"position": ROBOT.stand[:-1]},
], ids=["past a limit", "NaN", "infinite", "a joint is missing"])
def test_a_state_that_a_tick_would_stop_for_is_urgent(world: MonitorWorld, state: dict[str, Any]) -> None:
    assert asks(world, **state)
    assert world.tick(state=state).level >= Level.DANGER  # and only such a one
    assert not asks(world, **state)  # the arms are stopped: no further haste


def test_a_press_is_urgent_until_it_is_latched(world: MonitorWorld) -> None:
    assert not asks(world, world.beat("button", False, 1))
    assert asks(world, world.beat("button", True, 2))
    world.tick(estops=world.beat("button", True, 2))
    assert not asks(world, world.beat("button", True, 3))


def test_what_is_hard_needs_no_second_sample() -> None:
    by_check = {rule.check: rule for rule in RULES}
    assert all(by_check[check].n == 1 for check in HARD)


def test_looking_changes_nothing_that_the_monitor_remembers(world: MonitorWorld) -> None:
    other = MonitorWorld()
    other.settle()
    asks(world, position=past(3, 0.5))
    assert world.tick() == other.tick()
