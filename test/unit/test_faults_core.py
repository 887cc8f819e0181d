"""Faults that can be switched on: each does what its row says, ends in time, and a wrong word is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointSample, MotorSample
from sim_nodes.core.camera import Picture
from sim_nodes.core.fault_effects import EFFECTS
from sim_nodes.core.fault_list import FAULTS, HAND, MOTOR, as_markdown
from sim_nodes.core.faults import FaultBoard, FaultError
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.sensors import SensorParams, Sensors, topics_of

ROBOT = load_robot("g1")
TOPICS = topics_of(ROBOT)
TICK = 5 * MS
JOINT = "right_elbow_joint"
J = ROBOT.index(JOINT)


@pytest.fixture(scope="module")
def plant() -> Plant:
    return Plant(ROBOT, PlantParams(objects="", dt=0.0025, settle=False))


def board() -> FaultBoard:
    return FaultBoard(ROBOT, TOPICS, seed=1)


def stream(plant: Plant, prepare: Callable[[FaultBoard], object], topic: str, seconds: float = 0.5) -> list[Any]:
    """Everything published on one topic by a plant that stands still."""
    faults = board()
    prepare(faults)
    sensors = Sensors(plant, faults, SensorParams(seed=1))
    out: list[Any] = []
    picture = Picture(np.full((24, 32, 3), 90, np.uint8), np.ones((24, 32), np.float32))
    for k in range(1, round(seconds * NS / TICK) + 1):
        now = k * TICK
        faults.expire(now)
        got = sensors.tick(now, NS + now)
        if k % 20 == 0:
            got += sensors.pictures(sensors.develop(picture), now, NS + now, now)
        out += [sample for name, sample in got if name == topic]
    return out


def set_(name: str, target: str = "", value: float = 0.0, duration: float = 0.0) -> Callable[[FaultBoard], object]:
    return lambda faults: faults.set(name, target, value, duration, 0)


def nothing(_faults: FaultBoard) -> None:
    return None


@pytest.mark.parametrize("name", [k.name for k in FAULTS.values() if k.on not in ((MOTOR,), (HAND,))])
def test_every_sensor_fault_changes_what_its_default_target_says(plant: Plant, name: str) -> None:
    faults = board()
    topic = faults.set(name, "", 0.0, 0.0, 0).topics[0]
    assert repr(stream(plant, set_(name), topic)) != repr(stream(plant, nothing, topic))
    other = "imu/torso"
    assert repr(stream(plant, set_(name), other)) == repr(stream(plant, nothing, other)), "only its target"


def test_every_fault_in_the_list_has_an_effect_and_a_row() -> None:
    assert set(EFFECTS) == {k.name for k in FAULTS.values() if k.on not in ((MOTOR,), (HAND,))}
    assert all(f"`{name}`" in as_markdown() for name in FAULTS)


def test_stop_and_dropout(plant: Plant) -> None:
    assert stream(plant, set_("stop", "imu"), "imu/pelvis") == []
    assert len(stream(plant, set_("stop", "imu/pelvis"), "imu/torso")) == 100
    assert 20 < len(stream(plant, set_("dropout", "", 0.5), "joint_states")) < 80


def test_stamps(plant: Plant) -> None:
    good = [s.stamp_ns for s in stream(plant, nothing, "joint_states")]
    stale = [s.stamp_ns for s in stream(plant, set_("stale_stamp", "", 0.25), "joint_states")]
    assert [a - b for a, b in zip(good, stale, strict=True)] == [NS // 4] * len(good)
    ahead = [s.stamp_ns for s in stream(plant, set_("future_stamp", "", 2.0), "joint_states")]
    assert ahead == [s + 2 * NS for s in good]
    assert {s.stamp_ns for s in stream(plant, set_("zero_stamp"), "joint_states")} == {0}


def test_out_of_order_swaps_and_duplicate_repeats(plant: Plant) -> None:
    swapped = [s.stamp_ns for s in stream(plant, set_("out_of_order", "", 5), "joint_states")]
    assert swapped != sorted(swapped)
    good = [s.stamp_ns for s in stream(plant, nothing, "joint_states")]
    assert set(good) - set(swapped) <= {good[-1]}, "late, not lost"
    assert sum(a > b for a, b in itertools.pairwise(swapped)) == pytest.approx(100 / 6, abs=2)
    twice = [s.stamp_ns for s in stream(plant, set_("duplicate"), "joint_states")]
    assert twice[0::2] == twice[1::2] == good


def test_freeze_keeps_the_values_and_moves_the_stamps(plant: Plant) -> None:
    frozen = stream(plant, set_("freeze", "imu/pelvis"), "imu/pelvis")
    assert len({s.stamp_ns for s in frozen}) == len(frozen)
    assert all(np.array_equal(s.angular_velocity, frozen[0].angular_velocity) for s in frozen)
    joints = stream(plant, set_("freeze", JOINT), "joint_states")
    values = np.array([s.position for s in joints])
    assert np.ptp(values[:, J]) == 0.0
    assert np.all(np.ptp(np.delete(values, J, axis=1), axis=0) > 0.0), "the other joints go on"


@pytest.mark.parametrize(("name", "check"), [("nan", np.isnan), ("inf", np.isinf)])
def test_one_bad_number(plant: Plant, name: str, check: Callable[[Any], Any]) -> None:
    for sample in stream(plant, set_(name, JOINT), "joint_states", 0.05):
        assert list(np.flatnonzero(check(sample.position))) == [J]
    assert all(check(s.voltage) for s in stream(plant, set_(name, "battery_state"), "battery_state"))


def test_lengths_names_and_order(plant: Plant) -> None:
    short = stream(plant, set_("wrong_length"), "joint_states", 0.05)[0]
    assert len(short.position) == ROBOT.n - 1 == len(short.names) - 1
    renamed = stream(plant, set_("wrong_names", JOINT), "joint_states", 0.05)[0]
    assert set(renamed.names) - set(ROBOT.joint_names) == {JOINT + "_x"}
    plain = stream(plant, nothing, "joint_states", 0.05)[0]
    turned = stream(plant, set_("joint_order"), "joint_states", 0.05)[0]
    assert by_name(turned) == by_name(plain)
    assert turned.names != plain.names


def by_name(sample: JointSample) -> dict[str, float]:
    return dict(zip(sample.names, sample.position.tolist(), strict=True))


def test_wrong_values_by_the_asked_amount(plant: Plant) -> None:
    good = np.array([s.position for s in stream(plant, nothing, "joint_states")])

    def error(name: str, value: float) -> Any:
        return np.array([s.position for s in stream(plant, set_(name, JOINT, value), "joint_states")]) - good

    bias = error("bias", 0.3)
    np.testing.assert_allclose(bias[:, J], 0.3)
    assert np.all(np.delete(bias, J, axis=1) == 0.0)
    np.testing.assert_allclose(error("drift", 0.2)[:, J], 0.2 * np.arange(1, 101) * 0.005, atol=1e-12)
    spike = error("spike", 2.0)
    assert np.count_nonzero(spike) == 1
    assert np.max(spike) == pytest.approx(2.0)
    assert np.std(error("noise", 0.5)[:, J]) == pytest.approx(0.5, rel=0.3)
    degrees = np.array([s.position for s in stream(plant, set_("degrees"), "joint_states")])
    np.testing.assert_allclose(degrees, np.degrees(good))


def test_orientation_contact_and_voltage(plant: Plant) -> None:
    norms = [np.linalg.norm(s.orientation) for s in stream(plant, set_("non_unit_quaternion", "", 1.2), "imu/pelvis")]
    np.testing.assert_allclose(norms, 1.2)
    good = stream(plant, nothing, "imu/pelvis")
    tilted = stream(plant, set_("imu_tilt", "", 0.3), "imu/pelvis")
    for a, b in zip(good, tilted, strict=True):
        assert 2.0 * np.arccos(abs(float(a.orientation @ b.orientation))) == pytest.approx(0.3, abs=1e-6)
    assert all(not s.force.any() for s in stream(plant, set_("no_contact"), "foot_contacts/left"))
    sagging = [s.voltage for s in stream(plant, set_("battery_sag", "", 5.0), "battery_state", 2.0)]
    assert sagging[0] - sagging[-1] == pytest.approx(5.0 * 1.8, rel=0.1)


def test_pictures_freeze_and_go_dark(plant: Plant) -> None:
    image = "camera/head/image_raw"
    frozen = stream(plant, set_("camera_freeze"), image)
    assert len(frozen) == 5
    assert len({s.stamp_ns for s in frozen}) == 5
    assert all(np.array_equal(s.data, frozen[0].data) for s in frozen)
    assert not any(s.data.any() for s in stream(plant, set_("blackout"), image))
    assert stream(plant, set_("camera_stop"), "camera/head/depth") == []


def test_delay_comes_later_with_the_old_stamp(plant: Plant) -> None:
    good, late = stream(plant, nothing, "joint_states"), stream(plant, set_("delay", "", 0.1), "joint_states")
    assert len(good) - len(late) == 20
    assert late[0].stamp_ns == good[0].stamp_ns


def test_a_fault_ends_after_its_duration(plant: Plant) -> None:
    stamps = [s.stamp_ns for s in stream(plant, set_("zero_stamp", "", 0.0, 0.2), "joint_states")]
    assert stamps[:39] == [0] * 39
    assert min(stamps[39:]) > NS


def test_motor_faults_take_torque_and_give_it_back(plant: Plant) -> None:
    faults, motors, torque, out = board(), plant.motors, np.full(ROBOT.n, 2.0), np.zeros(ROBOT.n)
    faults.set("actuator_dead", JOINT, 0.0, 0.0, 0)
    faults.set("actuator_weak", "left_elbow_joint", 0.25, 0.0, 0)
    faults.drive(motors, 0.005)
    motors.limit(torque, out)
    assert out[J] == 0.0
    assert out[ROBOT.index("left_elbow_joint")] == 0.5
    assert motors.fault_bits()[J] != 0
    assert faults.clear("actuator_dead") == 1
    faults.drive(motors, 0.005)
    motors.limit(torque, out)
    assert out[J] == 2.0
    faults.set("actuator_stuck", JOINT, 0.0, 0.0, 0)
    faults.drive(motors, 0.005)
    motors.limit(-torque, out)
    assert out[J] == 2.0, "keeps what it gave"
    assert faults.clear() == 2
    faults.drive(motors, 0.005)
    motors.limit(torque, out)
    np.testing.assert_array_equal(out, torque)
    assert motors.fault_bits() == (0,) * ROBOT.n


def run(plant: Plant, faults: FaultBoard, seconds: float) -> None:
    for _ in range(round(seconds / 0.005)):
        faults.drive(plant.motors, 0.005)
        plant.step(2)


def test_a_load_in_the_hand_weighs_on_the_feet_and_the_arm_and_can_be_taken_out() -> None:
    plant, faults = Plant(ROBOT, PlantParams(objects="")), board()
    elbow = ROBOT.index("left_elbow_joint")

    def ground() -> float:
        return sum(float(plant.data.xmat[plant.model.body(f.link).id].reshape(3, 3)[2] @ plant.foot_wrench(f.name)[0])
                   for f in ROBOT.feet)

    run(plant, faults, 1.0)
    empty, before, torque = ground(), plant.joints()[0][elbow], plant.joints()[2][elbow]
    faults.set("payload", "left", 1.0, 0.0, 0)
    run(plant, faults, 3.0)
    assert ground() - empty == pytest.approx(9.81, abs=1.0)
    hand = plant.model.body("payload_left").id
    np.testing.assert_allclose(plant.data.xipos[hand], plant.data.xpos[hand], err_msg="it hangs where the hand touches")
    carries = abs(plant.joints()[2][elbow] - torque)
    assert 0.5 < carries < 3.0, "9.81 N, less than three decimetres from the joint"
    sag = abs(plant.joints()[0][elbow] - before)
    assert sag == pytest.approx(carries / ROBOT.kp[elbow], abs=0.003), "nobody told the controller"
    faults.clear()
    run(plant, faults, 3.0)
    assert ground() == pytest.approx(empty, abs=1.0)
    assert plant.joints()[0][elbow] == pytest.approx(before, abs=0.003)


def test_a_drive_follows_its_wrong_encoder() -> None:
    plant, faults = Plant(ROBOT, PlantParams(objects="")), board()
    before = plant.joints()[0][J]
    faults.set("encoder_bias", JOINT, 0.0524, 0.0, 0)
    run(plant, faults, 1.0)
    assert plant.joints()[0][J] == pytest.approx(before, abs=0.005), "it says that it is where it was told to be"
    truly = plant.data.joint(JOINT).qpos[0]
    assert truly == pytest.approx(before - 0.0524, abs=0.005)


def test_overheating_warms_one_motor(plant: Plant) -> None:
    faults, before = board(), plant.motors.temperature.copy()
    faults.set("overheating", JOINT, 2.0, 0.0, 0)
    for _ in range(200):
        faults.drive(plant.motors, 0.005)
    warmer = plant.motors.temperature - before
    assert warmer[J] == pytest.approx(2.0)
    assert not np.delete(warmer, J).any()


@pytest.mark.parametrize(
    ("name", "target", "value", "duration", "words"),
    [
        ("freze", "", 0.0, 0.0, "did you mean 'freeze'? valid: stop, "),
        ("stop", "joint_state", 0.0, 0.0, "did you mean 'joint_states'?"),
        ("actuator_dead", "left_elbow", 0.0, 0.0, "did you mean 'left_elbow_joint'?"),
        ("degrees", "battery_state", 0.0, 0.0, "cannot act on 'battery_state'"),
        ("dropout", "", 2.0, 0.0, "value 2  is outside 0 … 1"),
        ("bias", "", float("nan"), 0.0, "must be a finite number"),
        ("bias", "", 0.1, -1.0, "duration -1.0 s must be"),
        ("bias", "", 0.1, float("nan"), "duration nan s must be"),
    ],
)
def test_a_wrong_request_is_refused_with_the_way_out(
    name: str, target: str, value: float, duration: float, words: str
) -> None:
    faults = board()
    with pytest.raises(FaultError) as caught:
        faults.set(name, target, value, duration, 0)
    assert words in str(caught.value)
    assert faults.active() == ()


def test_clearing_by_name_and_target() -> None:
    faults = board()
    faults.set("stop", "imu", 0.0, 0.0, 0)
    faults.set("stop", "joint_states", 0.0, 0.0, 0)
    faults.set("nan", "joint_states", 0.0, 0.0, 0)
    assert faults.active() == ("nan joint_states", "stop imu", "stop joint_states")
    assert faults.clear("stop", "imu") == 1
    assert faults.clear("stop") == 1
    assert faults.active() == ("nan joint_states",)
    with pytest.raises(FaultError, match="unknown fault"):
        faults.clear("sotp")


def test_one_drive_reports_a_fault() -> None:
    robot = load_robot("g1")
    board = FaultBoard(robot, {"motor_status": "motors"})
    n, i = robot.n, robot.index("left_wrist_yaw_joint")
    sample = MotorSample(1, robot.joint_names, np.zeros(n), np.zeros(n), np.zeros(n), (4,) * n)
    board.set("motor_fault", "", 3.0, 0.0, 0)
    (said,) = board.apply("motor_status", sample, 0)
    assert said.fault[i] == 3
    assert set(said.fault[:i] + said.fault[i + 1:]) == {4}
