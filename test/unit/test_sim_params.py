"""Pacing and parameters of the simulated robot."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS, Metronome
from humanoid_ros.params import ParameterError, from_mapping
from sim_nodes.core.pace import CATCH_UP, EvenStamps, Pace
from sim_nodes.core.plant import Plant
from sim_nodes.core.sensors import KINDS, Delivery, SensorParams
from sim_nodes.core.truth import Truth
from sim_nodes.params import TICK_NS, SimParams

PERIOD = 5 * MS


def test_a_short_hold_up_is_made_up_for_and_a_long_one_slips() -> None:
    metronome, pace = Metronome(PERIOD, 0), Pace(PERIOD)
    ticks = 0
    for now in (5 * MS, 10 * MS, 10 * MS + 3 * PERIOD, 10 * MS + 4 * PERIOD):
        metronome.tick(now)
        ticks += pace.due(metronome)
    assert (ticks, pace.slipped) == (6, 0), "every period has had its tick"
    metronome.tick(metronome.next_ns + 100 * PERIOD)
    assert pace.due(metronome) == 1 + CATCH_UP
    assert pace.slipped == 100 - CATCH_UP


def test_what_passed_before_the_first_tick_is_no_slip() -> None:
    metronome, pace = Metronome(PERIOD, 0), Pace(PERIOD)
    metronome.tick(3 * NS)
    assert (pace.due(metronome), pace.slipped) == (1, 0)


def test_the_real_time_factor_is_simulated_per_elapsed_time() -> None:
    pace = Pace(PERIOD)
    for k in range(401):
        factor = pace.measure(k * 10 * MS, k * PERIOD)
    assert factor == pytest.approx(0.5)


def test_catching_up_stays_below_the_time_after_which_the_robot_falls_back() -> None:
    assert SimParams().command_timeout > (1 + CATCH_UP) * TICK_NS / NS


def test_defaults_of_the_node_are_those_of_the_core() -> None:
    sensors = SimParams().sensors()
    assert sensors.delivery == {kind: Delivery() for kind in KINDS}
    for field in fields(SensorParams):
        if field.name != "delivery":
            assert getattr(sensors, field.name) == getattr(SensorParams(), field.name), field.name


def test_parameters_reach_the_sensor_they_are_named_after() -> None:
    params = from_mapping("sim_robot", SimParams, {"camera_latency": 0.1, "imu_dropout": 0.2, "gyro_noise": 0.3,
                                                   "seed": 9})
    sensors = params.sensors()
    assert sensors.delivery["image"] == sensors.delivery["depth"] == Delivery(latency=0.1)
    assert sensors.delivery["imu"] == Delivery(dropout=0.2)
    assert (sensors.gyro_noise, sensors.seed, params.plant().seed) == (0.3, 9, 9)


def test_a_physics_step_that_does_not_divide_the_tick_is_refused() -> None:
    assert SimParams(physics_step=0.001).steps_per_tick == 5
    with pytest.raises(ParameterError, match=r"physics_step = 0.002 s: must divide 0.005 s"):
        _ = SimParams(physics_step=0.002).steps_per_tick


@pytest.mark.parametrize("degrees", range(0, 360, 45))
def test_at_the_nodes_step_the_robot_takes_5_ns_from_eight_directions(degrees: int) -> None:
    params = SimParams()
    plant = Plant(load_robot(params.robot), params.plant())
    angle = math.radians(degrees)
    plant.push(np.array([5.0 * math.cos(angle), 5.0 * math.sin(angle), 0.0]), 0.1, "torso_link")
    plant.step(round(3.0 / params.physics_step))
    truth = Truth(plant)
    assert not truth.fallen()
    assert truth.tilt() < 0.1


@given(st.lists(st.integers(-4_000_000, 4_000_000), min_size=1, max_size=200))
def test_stamps_never_go_back_because_a_clock_was_read_late(errors: list[int]) -> None:
    stamps, start = EvenStamps(PERIOD), 10**18
    seen = [stamps.next(start + k * PERIOD + error) for k, error in enumerate(errors)]
    assert all(0.97 * PERIOD <= b - a <= 1.03 * PERIOD for a, b in itertools.pairwise(seen))


def test_stamps_follow_a_clock_that_drifts_and_one_that_steps() -> None:
    stamps, start = EvenStamps(PERIOD), 10**18
    drifting = [start + round(k * PERIOD * 1.001) for k in range(2000)]
    assert abs([stamps.next(c) for c in drifting][-1] - drifting[-1]) < PERIOD
    stepped = drifting[-1] - 5 * 10**9
    assert stamps.next(stepped) == stepped, "a wall clock set back by 5 s"
