"""Recovery with the whole house at work: a policy that moves, a fault, and what the robot goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot import load_robot
from humanoid_core.types import Level
from safety_nodes.core.monitor import reset

ROBOT = load_robot("g1")
WRIST = "left_wrist_yaw_joint"
I = ROBOT.index(WRIST)  # noqa: E741


class House(Lockstep):
    """Reaches endlessly; counts levels and what was passed."""

    def __init__(self) -> None:
        super().__init__(ROBOT, seed=1, policy="reach")
        assert self.run(6.0, until=lambda: self.safe), "SAFE after the start"
        self.instruct("reach")
        assert self.run(6.0, until=lambda: self.newest["safety/gate"].state == "passing"), "motion"

    @property
    def safe(self) -> bool:
        return "safety/status" in self.newest and self.newest["safety/status"].level == Level.SAFE

    @property
    def codes(self) -> set[tuple[str, str]]:
        return {(v.code, v.subject) for v in self.newest["safety/status"].violations}

    def break_it(self, fault: str, target: str) -> None:
        self.faults.set(fault, target, 0.0, 0.0, self.plant.time_ns)

    def watch(self, seconds: float) -> tuple[Level, float]:
        """The worst level, and the share of the gate's ticks in which the policy moved the robot."""
        levels: list[Level] = []
        self.listen("safety/status", lambda status, _: levels.append(status.level))
        before = self.stage("gate").gate.passed
        self.run(seconds)
        return max(levels), (self.stage("gate").gate.passed - before) / (100.0 * seconds)

    def reset(self, nonce: int) -> bool:
        stage = self.stage("safety")
        return reset(nonce, "Ada", self.now_ns, stage.config, stage.memory).accepted


@pytest.fixture
def house() -> Iterator[House]:
    with House() as made:
        yield made


@pytest.mark.parametrize("fault", ["nan", "freeze"])
def test_the_robot_goes_on_while_the_twin_stands_in_for_a_wrist_sensor(house: House, fault: str) -> None:
    house.break_it(fault, WRIST)
    house.run(0.3)
    errors = []
    house.listen("ingest/robot_state", lambda s, _: errors.append(abs(s.position[I] - house.plant.joints()[0][I])))
    level, moved = house.watch(2.0)
    assert level == Level.CAUTION
    assert moved == 1.0
    assert house.newest["ingest/robot_state"].estimated_joints == (WRIST,)
    assert ("ESTIMATED", WRIST) in house.codes
    assert max(errors) < 0.05, "a servo that works follows its command, and the twin knows the command"
    house.faults.clear()
    assert house.run(3.0, until=lambda: house.newest["ingest/robot_state"].estimated_joints == ())
    assert house.run(3.0, until=lambda: house.safe)


def test_a_wrist_sensor_that_stays_away_stops_the_robot_after_its_time() -> None:
    with House() as house:
        house.stage("ingest").core._lost._longest_ns = 10**9
        house.break_it("nan", WRIST)
        assert house.run(2.0, until=lambda: house.newest["safety/status"].level == Level.DANGER)


def test_any_other_joint_sensor_stops_the_robot(house: House) -> None:
    house.break_it("nan", "left_elbow_joint")
    assert house.run(0.5, until=lambda: house.newest["safety/status"].level == Level.DANGER)


def test_a_wrist_without_its_motor_yields_and_comes_back_with_a_reset(house: House) -> None:
    house.break_it("actuator_dead", WRIST)
    assert house.run(1.0, until=lambda: house.newest["safety/permit"].removed_joints == (WRIST,))
    level, moved = house.watch(2.0)
    assert (level, moved) == (Level.CAUTION, 1.0)
    command = house.newest["robot/joint_command"]
    asked = command.position[command.joint_names.index(WRIST)]
    assert asked == pytest.approx(house.plant.joints()[0][I], abs=0.05), "the set-point goes with the joint"
    house.faults.clear()
    house.run(1.5)
    assert house.newest["safety/permit"].removed_joints == (WRIST,), "not by itself"
    assert house.reset(1)
    assert house.run(5.0, until=lambda: house.safe and house.newest["safety/gate"].state == "passing")
    assert house.newest["safety/permit"].removed_joints == ()


def test_a_drive_that_says_it_failed_is_believed(house: House) -> None:
    house.break_it("motor_fault", WRIST)
    assert house.run(1.0, until=lambda: house.newest["safety/permit"].removed_joints == (WRIST,))
    assert house.watch(1.0) == (Level.CAUTION, 1.0)


def test_a_wrist_that_does_not_follow_is_taken_out_though_its_drive_says_nothing(house: House) -> None:
    """The torque is gone and no fault bit says so: the measured angle stays behind the command."""
    house.filter("motor_status", lambda status: replace(status, fault=(0,) * ROBOT.n))
    house.break_it("actuator_dead", WRIST)
    assert house.run(8.0, until=lambda: house.newest["safety/permit"].removed_joints == (WRIST,))
    house.run(0.6)  # before, the joint may have been a WARNING, which comes down after a dwell
    assert house.watch(1.0) == (Level.CAUTION, 1.0)


def test_an_imu_that_fails_is_stood_in_for_and_takes_over_again(house: House) -> None:
    house.break_it("stop", "imu/pelvis")
    level, moved = house.watch(1.0)
    assert level == Level.CAUTION
    assert moved == 1.0
    assert ("BACKUP_ACTIVE", "imu/pelvis") in house.codes
    assert house.newest["ingest/robot_state"].imu_source == "imu/torso"
    house.faults.clear()
    assert house.run(3.0, until=lambda: house.safe)
    assert house.newest["ingest/robot_state"].imu_source == "imu/pelvis"


def test_a_policy_that_is_not_sure_moves_at_half_speed(house: House) -> None:
    end = house.filter("vla/status", lambda status: replace(status, confidence=0.1))
    level, moved = house.watch(1.0)
    assert (level, moved) == (Level.CAUTION, 1.0)
    assert house.newest["safety/permit"].scale == pytest.approx(0.5)
    speed = np.abs(house.newest["robot/joint_command"].velocity)
    limit = ROBOT.command_velocity[list(ROBOT.groups["upper_body"])]
    assert (speed <= 0.5 * limit + 1e-6).all()
    end()
    assert house.run(4.0, until=lambda: house.newest["safety/permit"].scale == 1.0)
