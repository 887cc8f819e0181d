"""Commands act in the order of their arrival, and never before it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from humanoid_core.robot import load_robot
from humanoid_core.types import JointCommand, Mode
from sim_nodes.core.arrivals import MOST, Arrivals
from sim_nodes.core.plant import Plant, PlantParams


def command(seq: int) -> JointCommand:
    return JointCommand(1, seq, 1, "test", ("left_elbow_joint",), np.zeros(1))


@given(st.lists(st.integers(0, 100), max_size=40), st.lists(st.integers(0, 110), max_size=10))
def test_each_command_acts_once_in_its_turn_and_not_before_it_came(came: list[int], looks: list[int]) -> None:
    arrivals, given_ = Arrivals(), []
    for seq, at in enumerate(came):
        arrivals.add(at, command(seq))
    for look in [*sorted(looks), 110]:
        now = [c.seq for c in arrivals.until(look)]
        assert all(came[seq] <= look for seq in now)
        given_ += now
        assert [seq for seq, at in enumerate(came) if at <= look and seq not in given_] == []
    assert given_ == sorted(range(len(came)), key=lambda seq: came[seq])


def test_a_late_letter_is_put_before_those_that_came_after_it() -> None:
    arrivals = Arrivals()
    arrivals.add(20, command(2))
    arrivals.add(10, command(1))
    assert [c.seq for c in arrivals.until(15)] == [1]
    assert [c.seq for c in arrivals.until(20)] == [2]


def test_a_robot_without_time_keeps_the_newest_commands() -> None:
    arrivals = Arrivals()
    for seq in range(MOST + 10):
        arrivals.add(seq, command(seq))
    assert [c.seq for c in arrivals.until(10_000)] == list(range(10, MOST + 10))


def test_a_command_that_comes_in_the_middle_of_a_tick_acts_from_the_next_step_on() -> None:
    """A robot that waits for its first command goes to RUN with it: not in the step that had begun before it came."""
    plant = Plant(load_robot("g1"), PlantParams(objects="", settle=False))
    plant.set_mode(Mode.RUN)
    arrivals, dt = Arrivals(), plant.dt_ns
    arrivals.add(1_000_000_000 + dt // 2, command(1))
    arrivals.run(plant, 1, 1_000_000_000, dt)
    assert plant.active == Mode.HOLD
    arrivals.run(plant, 1, 1_000_000_000 + dt, dt)
    assert plant.active == Mode.RUN
