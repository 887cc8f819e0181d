"""The simulated robot stands on its own feet: moving arms, pushes, crouching, reaching over the table."""

from __future__ import annotations

import math

import numpy as np
import pytest

from humanoid_core.robot import load_robot
from humanoid_core.types import JointCommand, Mode
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.truth import Truth

ROBOT = load_robot("g1")
UPPER = list(ROBOT.groups["upper_body"])
NAMES = tuple(ROBOT.joint_names[i] for i in UPPER)
REACH = {"shoulder_pitch": -0.9, "elbow": 0.5}


def command(q: np.ndarray) -> JointCommand:
    return JointCommand(0, 0, 0, "test", NAMES, q[UPPER])


def reaching() -> np.ndarray:
    """Both arms stretched forward over the table."""
    q = ROBOT.rest.copy()
    for side in ("left", "right"):
        for joint, value in REACH.items():
            q[ROBOT.index(f"{side}_{joint}_joint")] = value
    return q


def drive(plant: Plant, seconds: float, target: np.ndarray | None = None, over: float = 1.5) -> None:
    """Command at 100 Hz: move evenly to ``target`` within ``over`` s, then stay."""
    steps = round(0.01e9 / plant.dt_ns)
    start = plant.joints()[0]
    goal = start if target is None else target
    for k in range(round(seconds * 100)):
        share = min((k + 1) / (over * 100), 1.0)
        assert plant.command(command(start + share * (goal - start))) == ""
        plant.step(steps)


def test_it_starts_in_equilibrium() -> None:
    plant = Plant(ROBOT)
    start = plant.data.qpos.copy()
    plant.step(400)
    assert np.abs(plant.data.qpos - start).max() < 2e-3
    for foot in ("left", "right"):
        force, _ = plant.foot_wrench(foot)
        assert force[2] == pytest.approx(33.341 * 9.81 / 2, rel=0.03)
    _, gyro, accel = plant.imu("pelvis")
    assert np.linalg.norm(accel) == pytest.approx(9.81, rel=0.01)
    assert np.abs(gyro).max() < 0.02


def test_it_stands_a_minute_with_both_arms_moving() -> None:
    plant = Plant(ROBOT)
    truth = Truth(plant)
    plant.set_mode(Mode.RUN)
    steps = round(0.01e9 / plant.dt_ns)
    tilt = 0.0
    for k in range(6000):
        swing = 0.8 * math.sin(2 * math.pi * 0.3 * k * 0.01)
        q = ROBOT.rest.copy()
        q[ROBOT.index("left_shoulder_pitch_joint")] += swing
        q[ROBOT.index("right_shoulder_pitch_joint")] -= swing * math.cos(0.0007 * k)
        assert plant.command(command(q)) == ""
        plant.step(steps)
        tilt = max(tilt, truth.tilt())
    assert not truth.fallen()
    assert tilt < 0.1
    assert np.hypot(*plant.data.qpos[:2]) < 0.05, "it walked away"


@pytest.mark.parametrize("direction", range(8))
def test_it_takes_a_push_of_5_newton_seconds(direction: int) -> None:
    angle = direction * math.pi / 4
    for posture in (None, reaching()):
        plant = Plant(ROBOT, PlantParams(objects=""))
        truth = Truth(plant)
        plant.set_mode(Mode.RUN)
        drive(plant, 2.0, posture)
        plant.push(5.0 * np.array([math.cos(angle), math.sin(angle), 0.0]), 0.1, "torso_link")
        drive(plant, 1.0)
        assert np.abs(plant.data.qvel[:3]).max() > 1e-4
        drive(plant, 2.0)
        assert not truth.fallen()
        assert truth.tilt() < 0.12


def test_a_push_has_the_momentum_that_was_asked_for() -> None:
    plant = Plant(ROBOT, PlantParams(objects=""))
    plant.push(np.array([0.0, 0.0, 33.341]), 0.005, "pelvis")
    before = plant.data.sensor("com_velocity").data.copy()
    plant.step(3)
    # m dv = impulse, less what the floor stops carrying meanwhile (327 N for 5 ms at most)
    gained = plant.data.sensor("com_velocity").data[2] - before[2]
    assert gained == pytest.approx(1.0, abs=0.08)


def test_a_hard_push_makes_it_fall_and_the_truth_says_so() -> None:
    plant = Plant(ROBOT, PlantParams(objects=""))
    truth = Truth(plant)
    plant.push(np.array([40.0, 0.0, 0.0]), 0.1, "torso_link")
    plant.step(1200)
    assert truth.fallen()


def test_crouch_lowers_the_body_without_falling_and_run_raises_it_again() -> None:
    plant = Plant(ROBOT)
    truth = Truth(plant)
    plant.set_mode(Mode.RUN)
    drive(plant, 0.5)
    high = plant.data.qpos[2]
    plant.set_mode(Mode.CROUCH, "test")
    speed = 0.0
    for _ in range(240):
        plant.step(10)
        speed = max(speed, abs(plant.data.qvel[2]))
    assert plant.data.qpos[2] < high - 0.12
    assert speed < 0.2
    assert not truth.fallen()
    plant.set_mode(Mode.RUN)
    drive(plant, 5.0)
    assert plant.data.qpos[2] == pytest.approx(high, abs=0.01)


def test_stopping_in_mid_reach_does_not_make_it_fall() -> None:
    for mode in (Mode.HOLD, Mode.CROUCH, None):
        plant = Plant(ROBOT)
        truth = Truth(plant)
        plant.set_mode(Mode.RUN)
        drive(plant, 0.7, reaching(), over=1.2)
        if mode is not None:
            plant.set_mode(mode)
        plant.step(3200)
        assert not truth.fallen(), mode


def test_damp_lets_the_whole_robot_sink() -> None:
    plant = Plant(ROBOT, PlantParams(objects=""))
    plant.set_mode(Mode.DAMP, "asked for")
    plant.step(1600)
    assert Truth(plant).fallen()
