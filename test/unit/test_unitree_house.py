"""The whole graph on a G1 that is reached by frames alone: it reaches, it stops, and its lies stop it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from unitree_house import UnitreeHouse, reaching

from humanoid_core.types import EStopState, Level


def test_the_graph_reaches_through_the_bridge() -> None:
    with reaching() as house:
        upper = list(house.robot.groups["upper_body"])
        start, farthest, off = house.plant.joints()[0][upper], 0.0, []
        levels: set[int] = set()
        house.listen("safety/status", lambda value, now_ns: levels.add(value.level))
        for _ in range(60):
            house.run(0.1)
            asked = house.newest["robot/joint_command"].position
            off.append(float(np.max(np.abs(house.plant.joints()[0][upper] - asked))))
            farthest = max(farthest, float(np.max(np.abs(house.plant.joints()[0][upper] - start))))
        assert farthest > 0.3
        assert np.median(off) < 0.1
        assert max(levels) == Level.CAUTION  # no forces at the feet: half speed, no more
        assert house.frames_refused == 0
        assert house.bridge.intake.refused.total == 0
        assert not house.truth.fallen()


def test_a_pressed_stop_brings_the_arms_to_rest() -> None:
    with reaching() as house:
        for seq in range(1, 16):
            house.say("safety/estop", EStopState(house.ros_ns, "button", True, seq))
            house.run(0.1)
        assert house.newest["safety/status"].estop_latched
        assert house.arm_speed() < 0.05
        assert not house.truth.fallen()


def lag(house: UnitreeHouse) -> None:
    house.lag = 20


def dead(house: UnitreeHouse) -> None:
    house.dead = True


def bad_crc(house: UnitreeHouse) -> None:
    house.bad_crc = True


def other_variant(house: UnitreeHouse) -> None:
    house.mode_machine = 11


@pytest.mark.parametrize(("lie", "code"), [(dead, ""), (bad_crc, "BAD_CRC"), (other_variant, "WRONG_ROBOT"),
                                           (lag, "STALE")])
def test_a_robot_that_is_lost_or_lies_is_held_let_go_and_taken_up_again(lie: Callable[[UnitreeHouse], None],
                                                                       code: str) -> None:
    with reaching() as house:
        lie(house)
        house.run(0.3)
        assert house.at == ("holding", "NO_STATE")
        assert house.newest["safety/status"].level >= Level.DANGER
        assert house.newest["safety/gate"].state != "passing"
        assert not code or house.bridge.intake.refused[code] > 0
        house.run(0.5)
        assert house.arm_speed() < 0.05
        house.run(4.5)
        assert house.at == ("waiting", "NO_STATE")
        assert not house.truth.fallen()
        house.dead = house.bad_crc = False
        house.mode_machine, house.lag = 5, 0
        assert house.run(30.0, lambda: house.at == ("active", "") and house.newest["safety/gate"].state == "passing")


def test_a_counter_that_runs_backwards_lets_go_and_begins_anew() -> None:
    with reaching() as house:
        house.tick_offset = -500_000
        house.run(0.08)
        assert house.at == ("holding", "NO_STATE")
        assert house.bridge.intake.refused["TICK_BACK"] > 0
        house.run(0.2)
        assert house.bridge.intake.restarts == 1
        assert house.at[0] == "releasing"
        assert house.arm_speed(0.05) < 1.0
        assert house.run(30.0, lambda: house.at == ("active", ""))
        assert not house.truth.fallen()


def test_a_dry_run_goes_through_everything_and_the_robot_does_not_move() -> None:
    house = UnitreeHouse(actuate=False)
    with house:
        house.run(1.0)
        upper = list(house.robot.groups["upper_body"])
        before = house.plant.joints()[0][upper]
        codes: set[str] = set()
        house.listen("safety/status", lambda value, now_ns: codes.update(v.code for v in value.violations))
        house.instruct("reach")
        house.run(4.0)
        assert house.bridge.kept_back > 100
        assert house.bridge.actuation.phase.value in ("engaging", "active", "holding")
        assert np.max(np.abs(house.plant.joints()[0][upper] - before)) < 0.02
        assert {"TRACKING", "TWIN_RESIDUAL"} <= codes  # as the page on the first day says
