"""What the simulated robot takes, refuses and does by itself when commands stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robots import ARM_MJCF, ARM_URDF, arm_data, biped_data, biped_mjcf, write_robot

from humanoid_core.robot import load_robot
from humanoid_core.types import JointCommand, Mode
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.truth import Truth

ROBOT = load_robot("g1")
ELBOW = "left_elbow_joint"
BARE = PlantParams(objects="")


def command(**fields: Any) -> JointCommand:
    given = {"joint_names": (ELBOW,), "position": np.array([0.8]), **fields}
    return JointCommand(stamp_ns=0, seq=0, epoch=0, source="test", **given)


def elbow(plant: Plant) -> float:
    return float(plant.joints()[0][ROBOT.index(ELBOW)])


@pytest.fixture
def plant() -> Plant:
    return Plant(ROBOT, BARE)


def test_a_commanded_joint_goes_where_it_is_told(plant: Plant) -> None:
    plant.set_mode(Mode.RUN)
    for _ in range(150):
        assert plant.command(command()) == ""
        plant.step(4)
    assert plant.active == Mode.RUN
    assert elbow(plant) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"position": np.array([np.nan])}, "NON_FINITE"),
        ({"velocity": np.array([np.inf])}, "NON_FINITE"),
        ({"kp": np.array([np.nan])}, "NON_FINITE"),
        ({"kd": np.array([-1.0])}, "OUT_OF_RANGE"),
        ({"position": np.array([0.8, 0.1])}, "WRONG_LENGTH"),
        ({"effort": np.array([1.0, 2.0])}, "WRONG_LENGTH"),
        ({"position": np.array([])}, "WRONG_LENGTH"),
        ({"joint_names": ("left_elbo_joint",)}, "WRONG_NAMES"),
        ({"joint_names": ()}, "WRONG_NAMES"),
        ({"joint_names": (ELBOW, ELBOW), "position": np.array([0.1, 0.2])}, "WRONG_NAMES"),
        ({"joint_names": ("left_knee_joint",)}, "NOT_CONTROLLED"),
        ({"position": np.array([60.0])}, "LIMIT_POSITION"),
        ({"joint_names": (ELBOW, "waist_yaw_joint"), "position": np.array([0.1, np.nan])}, "NON_FINITE"),
    ],
)
def test_a_bad_command_is_refused_whole(plant: Plant, fields: dict[str, Any], reason: str) -> None:
    plant.set_mode(Mode.RUN)
    before = elbow(plant)
    for _ in range(50):
        assert plant.command(command(**fields)) == reason
        plant.step(4)
    assert plant.refused[reason] == 50
    assert plant.active != Mode.RUN, "a refused command must not feed the watchdog"
    assert elbow(plant) == pytest.approx(before, abs=0.01)
    assert np.all(np.isfinite(plant.data.qpos))


def test_silence_leads_to_hold_then_damp_and_it_keeps_standing(plant: Plant) -> None:
    plant.set_mode(Mode.RUN)
    for _ in range(60):
        plant.command(command())
        plant.step(4)
    plant.step(12)
    assert plant.active == Mode.RUN
    plant.step(1)
    assert (plant.active, plant.reason) == (Mode.HOLD, "NO_COMMAND")
    held = elbow(plant)
    plant.step(1600)
    assert plant.active == Mode.HOLD
    assert elbow(plant) == pytest.approx(held, abs=0.02)
    plant.step(410)
    assert plant.active == Mode.DAMP
    assert plant.mode == Mode.RUN
    plant.step(2000)
    assert not Truth(plant).fallen()
    assert plant.command(command()) == ""
    assert plant.active == Mode.RUN, "it comes back with the first good command"


def test_damped_arms_give_way_and_held_arms_do_not(plant: Plant) -> None:
    def shoved() -> float:
        before = elbow(plant)
        plant.push(np.array([0.0, 0.0, 0.6]), 0.1, "left_wrist_yaw_link")
        plant.step(400)
        return abs(elbow(plant) - before)

    plant.set_mode(Mode.RUN)
    plant.command(command(position=np.array([0.9])))
    plant.step(200)
    assert plant.active == Mode.HOLD
    stiff = shoved()
    plant.step(2100)
    assert plant.active == Mode.DAMP
    assert shoved() > 5 * stiff


def test_modes_other_than_run_ignore_commands(plant: Plant) -> None:
    plant.set_mode(Mode.HOLD, "stopped")
    before = elbow(plant)
    for _ in range(50):
        assert plant.command(command(position=np.array([0.0]))) == ""
        plant.step(4)
    assert elbow(plant) == pytest.approx(before, abs=0.01)


def test_torque_never_exceeds_the_limit(plant: Plant) -> None:
    plant.set_mode(Mode.RUN)
    for k in range(100):
        far = 2.0 if k % 20 < 10 else -1.0
        plant.command(command(position=np.array([far]), kp=np.array([4000.0]), effort=np.array([500.0])))
        plant.step(4)
        assert np.all(np.abs(plant.joints()[2]) <= ROBOT.effort + 1e-9)


def test_a_dropped_motor_gives_no_torque_and_says_so(plant: Plant) -> None:
    index = ROBOT.index(ELBOW)
    plant.motors.set_fault(ELBOW, strength=0.0)
    plant.step(400)
    assert plant.joints()[2][index] == 0.0
    assert plant.motors.fault_bits()[index] == 1
    plant.motors.clear_faults()
    plant.step(400)
    assert plant.joints()[2][index] != 0.0


def test_motors_warm_under_load_and_the_battery_sags(plant: Plant) -> None:
    cold, full = plant.motors.temperature.copy(), plant.motors.battery_voltage
    plant.set_mode(Mode.CROUCH)
    plant.step(8000)
    knee = ROBOT.index("left_knee_joint")
    assert plant.motors.temperature[knee] > cold[knee] - 1.0
    assert plant.motors.temperature[knee] > plant.motors.temperature[ROBOT.index("waist_yaw_joint")]
    assert plant.motors.battery_voltage < full
    assert plant.motors.charge < 0.9


def test_a_push_that_makes_no_sense_is_refused(plant: Plant) -> None:
    for impulse, duration, link in (
        ([np.nan, 0, 0], 0.1, ""),
        ([1, 0, 0], 0.0, ""),
        ([1, 0, 0], 0.1, "tail"),
    ):
        with pytest.raises(ValueError, match="push"):
            plant.push(np.array(impulse), duration, link)


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run(seed: int) -> bytes:
        plant = Plant(ROBOT, PlantParams(seed=seed))
        plant.set_mode(Mode.RUN)
        for k in range(100):
            plant.command(command(position=np.array([1.0 - 0.004 * k])))
            if k == 30:
                plant.push(np.array([2.0, 1.0, 0.0]))
            plant.step(4)
        return plant.data.qpos.tobytes() + plant.data.qvel.tobytes() + plant.motors.temperature.tobytes()

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_reset_gives_the_same_run_again() -> None:
    plant = Plant(ROBOT, PlantParams(seed=1))
    first = plant.data.qpos.copy()
    plant.push(np.array([4.0, 0.0, 0.0]))
    plant.step(300)
    plant.reset()
    np.testing.assert_array_equal(plant.data.qpos, first)
    assert plant.time_ns == 0
    assert plant.mode == Mode.HOLD


@pytest.mark.parametrize(("file", "text"), [("arm.xml", ARM_MJCF), ("arm.urdf", ARM_URDF)])
def test_a_second_model_moves_by_the_same_commands(tmp_path: Path, file: str, text: str) -> None:
    kind = "mjcf" if file.endswith("xml") else "urdf"
    arm = load_robot(write_robot(tmp_path, arm_data(kind, file), text))
    plant = Plant(arm, BARE)
    plant.set_mode(Mode.RUN)
    order = JointCommand(0, 0, 0, "test", ("bend", "lift"), np.array([0.6, -0.4]))
    for _ in range(200):
        assert plant.command(order) == ""
        plant.step(4)
    np.testing.assert_allclose(plant.joints()[0], [-0.4, 0.6], atol=0.02)
    assert not Truth(plant).fallen()


def test_a_second_humanoid_stands(tmp_path: Path) -> None:
    biped = load_robot(write_robot(tmp_path, biped_data("biped.xml"), biped_mjcf()))
    plant = Plant(biped, BARE)
    truth = Truth(plant)
    plant.push(np.array([0.5, 0.2, 0.0]))
    plant.step(2000)
    assert plant.balance.active
    assert not truth.fallen()
    assert truth.tilt() < 0.1
    assert np.isnan(truth.read().left_hand).all(), "it has no hands and must not invent them"
