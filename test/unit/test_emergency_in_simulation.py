"""B3: an emergency in the middle of a reach, with the gate and the simulated robot. The stop itself never makes the
robot fall, and after a reset it works on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safety_world import GATE, NAMES, ROBOT, UPPER

from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, Level, Mode, Permit, Posture, RobotState
from safety_nodes.core.gate import Gate, GateInputs
from safety_nodes.core.types import Received
from sim_nodes.core.plant import Plant, PlantParams

UPRIGHT = 0.1  # rad
REACH = ROBOT.stand[UPPER].copy()
for _name, _value in (("left_shoulder_pitch_joint", -1.4), ("right_shoulder_pitch_joint", -1.4),
                      ("left_elbow_joint", 0.0), ("right_elbow_joint", 0.0)):
    REACH[NAMES.index(_name)] = _value


class Robot:
    """Plant and gate in step, with perfect sensors; ``permit`` is what the monitor says."""

    def __init__(self, **config: Any) -> None:
        self.plant = Plant(ROBOT, PlantParams(objects=""))
        self.gate = Gate(ROBOT, replace(GATE, **config))
        self.permit: dict[str, Any] = {}
        self.now, self.seq, self.epoch = 100 * NS, 0, 1
        self.worst = 0.0
        self.modes: list[Mode] = []

    def tilt(self) -> float:
        _, x, y, _ = self.plant.data.qpos[3:7]
        return math.acos(min(max(1.0 - 2.0 * (x * x + y * y), -1.0), 1.0))

    def run(self, seconds: float, goal: np.ndarray | None = REACH) -> None:
        for _ in range(round(seconds * 100)):
            self.plant.step(4)
            self.now += 10 * MS
            self.seq += 1
            q, v, effort = self.plant.joints()
            quat, gyro, accel = self.plant.imu("pelvis")
            state = RobotState(self.now, self.seq, q, v, effort, np.full(ROBOT.n, 35.0), quat, gyro, accel,
                               np.zeros((2, 3)), 50.0, 3.0, (), "imu/pelvis")
            permit = replace(Permit(self.now, self.seq, Level.SAFE, 1.0, 0.03, True, False, 0), **self.permit)
            commands = () if goal is None else (
                Received(JointCommand(self.now, self.seq, self.epoch, "test", NAMES, goal), self.now, b"policy"),)
            out = self.gate.step(self.now, self.now, GateInputs((Received(permit, self.now, b"monitor"),), commands,
                                                                Received(state, self.now, b"ingest")))
            if out.command is not None:
                self.plant.command(out.command)
            self.plant.set_mode(out.mode, out.reason)
            self.modes.append(out.mode)
            self.worst = max(self.worst, self.tilt())

    def stop(self, posture: Posture) -> None:
        self.permit = {"level": Level.EMERGENCY, "scale": 0.0, "estop_latched": True, "posture": posture}

    def reset(self) -> None:
        self.permit, self.epoch = {"reset_count": 1}, 2

    def reached(self) -> float:
        return float(np.max(np.abs(self.plant.joints()[0][UPPER] - REACH)))


@pytest.fixture
def robot() -> Robot:
    made = Robot()
    made.run(0.3, None)
    made.run(0.55)
    assert np.abs(made.gate.setpoint.velocity).max() > 2.0, "in full motion"
    return made


@pytest.mark.parametrize(("posture", "after"), [(Posture.HOLD, 1.0), (Posture.CROUCH, 1.5), (Posture.CROUCH, 6.5),
                                                (Posture.FALL, 3.0)])
def test_a_stop_in_mid_reach_does_not_topple_and_a_reset_lets_it_work_again(robot: Robot, posture: Posture,
                                                                           after: float) -> None:
    robot.stop(posture)
    robot.run(after)
    assert Mode.DAMP not in robot.modes, "its legs keep their torque"
    assert np.abs(robot.plant.joints()[1][UPPER]).max() < 0.2
    if posture == Posture.CROUCH:
        assert robot.modes[-1] == Mode.CROUCH
        if after > 5.0:
            assert robot.plant.data.qpos[2] < 0.8 * robot.plant.stand_height
    robot.reset()
    robot.run(0.3, None)
    robot.run(7.0)
    assert robot.worst < UPRIGHT
    assert robot.reached() < 0.05
    assert robot.plant.data.qpos[2] > 0.95 * robot.plant.stand_height


def test_a_crouched_robot_of_this_kind_topples_when_it_is_let_go_of_which_is_why_it_is_not() -> None:
    """The measurement behind the default of `crouch_end`."""
    robot = Robot(crouch_end="DAMP")
    robot.run(0.3, None)
    robot.stop(Posture.CROUCH)
    robot.run(3.0, None)
    assert Mode.DAMP not in robot.modes, "not before it is down and has been at rest"
    assert robot.worst < UPRIGHT
    robot.run(5.0, None)
    assert robot.modes[-1] == Mode.DAMP
    assert robot.worst > 1.0
    assert GATE.crouch_end == "CROUCH"


def test_a_fall_that_comes_while_it_crouches_still_tucks_the_arms(robot: Robot) -> None:
    robot.stop(Posture.CROUCH)
    robot.run(1.5)
    assert robot.modes[-1] == Mode.CROUCH
    robot.plant.push(np.array([-60.0, 0.0, 0.0]))
    robot.stop(Posture.FALL)
    robot.run(1.5)
    assert robot.tilt() > 0.5, "it falls"
    assert np.max(np.abs(robot.plant.joints()[0][UPPER] - ROBOT.fall[UPPER])) < 0.2
    robot.stop(Posture.CROUCH)
    before = len(robot.modes)
    robot.run(5.0)
    assert set(robot.modes[before:]) == {Mode.RUN, Mode.DAMP}, "never back to the crouch; let go of once it lies"


def test_a_fall_that_was_only_expected_does_not_take_it_out_of_its_crouch(robot: Robot) -> None:
    robot.stop(Posture.CROUCH)
    robot.run(1.5)
    robot.plant.push(np.array([30.0, 0.0, 0.0]))
    robot.stop(Posture.FALL)
    before = len(robot.modes)
    robot.run(3.0)
    assert set(robot.modes[before:]) == {Mode.CROUCH}
    assert robot.tilt() < 0.3, "it caught itself"


@pytest.mark.parametrize("push", [60.0, -60.0])
def test_in_a_fall_the_arms_are_tucked_and_torque_goes_once_it_lies(robot: Robot, push: float) -> None:
    robot.plant.push(np.array([push, 0.0, 0.0]))
    robot.stop(Posture.FALL)
    robot.run(0.7)
    tucked = robot.gate.setpoint.position - ROBOT.fall[UPPER]
    assert np.max(np.abs(tucked)) < 0.05
    assert Mode.DAMP not in robot.modes
    robot.run(5.0)
    assert robot.tilt() > 1.0
    assert robot.modes[-1] == Mode.DAMP
