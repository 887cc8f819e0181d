"""The robots besides the G1: complete, consistent, and able to stand and reach in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from humanoid_bench.lockstep import Lockstep
from humanoid_core.kinematics import Kinematics, support_margin, support_polygon
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.types import JointCommand, Level, Mode
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.truth import Truth

#: name -> (joints, mass in kg, joints of the legs)
ROBOTS = {"h1": (19, 59.338, 10), "t1": (23, 31.614, 12), "biped12": (12, 28.0, 12)}


@pytest.mark.parametrize("name", ROBOTS)
def test_it_has_its_joints_its_mass_and_a_posture_over_its_feet(name: str) -> None:
    joints, mass, legs = ROBOTS[name]
    robot = load_robot(name)
    assert (robot.n, len(robot.groups["legs"])) == (joints, legs)
    assert robot.mass == pytest.approx(mass, abs=1e-2)
    assert len(robot.groups["upper_body"]) == joints - legs
    kinematics = Kinematics(robot)
    for posture in (robot.stand, robot.rest, robot.crouch):
        kinematics.update(posture)
        points = np.vstack(kinematics.foot_points())
        assert np.ptp(points[:, 2]) < 1e-3, "level soles"
        assert support_margin(support_polygon(points), kinematics.com()) > 0.03


@pytest.mark.parametrize("name", ROBOTS)
def test_left_and_right_are_mirror_images(name: str) -> None:
    robot = load_robot(name)
    other = {"left": "right", "Left": "Right"}
    for joint in robot.joint_names:
        for a, b in other.items():
            if a not in joint:
                continue
            i, j = robot.index(joint), robot.index(joint.replace(a, b))
            assert robot.effort[i] == robot.effort[j]
            mirrored = sorted((abs(robot.lower[i]), abs(robot.upper[i])))
            assert mirrored == pytest.approx(sorted((abs(robot.lower[j]), abs(robot.upper[j]))))


@pytest.mark.parametrize("name", ROBOTS)
def test_it_stands_takes_a_push_and_moves_its_arms(name: str) -> None:
    robot = load_robot(name)
    plant = Plant(robot, PlantParams(objects=""))
    ours = robot.groups["upper_body"]
    goal = robot.rest.copy()
    for i in ours:
        room = min(robot.upper[i] - goal[i], 0.2)
        goal[i] += room if room > 0.05 else -0.2
    plant.set_mode(Mode.RUN, "")
    plant.push(np.array([0.04, 0.02, 0.0]) * robot.mass, 0.1)
    names = tuple(robot.joint_names[i] for i in ours)
    for k in range(300):  # 3 s
        if ours:
            q = robot.rest + (goal - robot.rest) * min(k / 100, 1.0)
            assert plant.command(JointCommand(plant.time_ns, k + 1, 1, "test", names, q[list(ours)])) == ""
        plant.step(round(0.01 * NS / plant.dt_ns))
    assert not Truth(plant).fallen()
    assert plant.joints()[0][list(ours)] == pytest.approx(goal[list(ours)], abs=0.08)


@pytest.mark.parametrize("name", ROBOTS)
def test_the_whole_house_runs_on_it(name: str) -> None:
    """Ingest, twin, monitor and gate; the policy reaches where the robot has hands, and nothing is above CAUTION."""
    robot = load_robot(name)
    hands = bool(robot.hands)
    with Lockstep(robot, seed=1, plant=PlantParams(objects=""), policy="reach" if hands else "") as house:
        house.run(1.0)
        levels: set[int] = set()
        house.listen("safety/status", lambda value, now_ns: levels.add(value.level))
        before = house.plant.joints()[0]
        if hands:
            house.instruct("reach")
        house.run(3.0)
        assert max(levels) <= Level.CAUTION
        assert not house.truth.fallen()
        if hands:
            assert house.newest["safety/gate"].state == "passing"
            assert np.max(np.abs(house.plant.joints()[0] - before)) > 0.1
