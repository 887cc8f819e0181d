"""What follows when a correction is applied or taken back, and what is not learnt while something is wrong."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from humanoid_bench.reaching import Reaching
from humanoid_bench.twin_diagnosis import BIAS, Watcher
from humanoid_bench.twin_estimate import CONFIG
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import Array
from humanoid_core.timing import MS
from humanoid_core.types import ActionChunk, JointCommand, RobotState
from twin_nodes.core.estimator import share_of
from twin_nodes.core.preview import Preview
from twin_nodes.core.revision import Revision
from twin_nodes.core.rollout import Rollout
from twin_nodes.core.start import start_of
from twin_nodes.core.track import Moment
from twin_nodes.core.twin import TwinCore

ROBOT = load_robot("g1")
N = ROBOT.n
ELBOW, OTHER = ROBOT.index("left_elbow_joint"), ROBOT.index("right_elbow_joint")
SHOULDER, WAIST = ROBOT.index("left_shoulder_pitch_joint"), ROBOT.index("waist_pitch_joint")

Heard = list[tuple[RobotState | JointCommand, int]]


@pytest.fixture(scope="module")
def heard() -> Heard:
    """3 s of a reaching robot: its states and commands in the order in which they come, with their arrival."""
    world, out = Reaching(ROBOT, 3), []  # type: tuple[Reaching, Heard]
    world.on_state = lambda state, now_ns: out.append((state, now_ns))
    world.on_command = lambda command, now_ns: out.append((command, now_ns))
    world.run(3.0)
    return out


def wrong_encoder() -> tuple[Reaching, TwinCore]:
    """A reaching robot whose left elbow's encoder is off, and the twin that has found it."""
    world = Reaching(ROBOT, 2)
    core = Watcher(ROBOT, world).core
    world.run(2.5)
    world.set_fault("encoder_bias", "left_elbow_joint", BIAS)
    world.run(1.5)
    return world, core


def said(core: TwinCore, world: Reaching, seconds: float) -> set[str]:
    """Everything that is called wrong meanwhile."""
    found: set[str] = set()
    for _ in range(round(seconds / 0.05)):
        world.run(0.05)
        assert core.state is not None
        found.update(core.state.anomalies)
    return found


# --- a correction of an encoder

def test_a_corrected_encoder_leaves_nothing_that_does_not_fit() -> None:
    world, core = wrong_encoder()
    assert core.calibrate("encoder_offsets", True, world.now_ns).ok
    core.condition(world.now_ns)
    assert not said(core, world, 6.0), "neither the encoder nor the motor that obeys it"
    tracking = [a.tracking_error for a in core.condition(world.now_ns).actuators]
    assert core.estimate is not None
    assert abs(core.estimate.disturbance[ELBOW]) < 0.1 * ROBOT.kp[ELBOW] * BIAS
    # What is left is how well the jump was measured, a tenth of it.
    assert tracking[ELBOW] < tracking[OTHER] + 0.1 * BIAS, (tracking[ELBOW], tracking[OTHER])


def test_what_was_commanded_is_told_as_it_was_commanded() -> None:
    world, core = wrong_encoder()
    sent: list[float] = []
    hear = world.on_command
    index = [int(i) for i in ROBOT.groups["upper_body"]].index(ELBOW)

    def both(command: JointCommand, now_ns: int) -> None:
        sent.append(float(command.position[index]))
        hear(command, now_ns)

    world.on_command = both
    core.calibrate("encoder_offsets", True, world.now_ns)
    world.run(0.5)
    assert core.state is not None
    assert core.state.desired_position[ELBOW] in sent[-8:]


def test_a_correction_that_was_taken_back_is_known_and_can_be_applied_again() -> None:
    world, core = wrong_encoder()
    core.calibrate("encoder_offsets", True, world.now_ns)
    world.run(2.0)
    assert core.calibrate("rollback", True, world.now_ns).ok
    found = said(core, world, 2.0)
    assert {a.split(" off by")[0] for a in found} == {"SENSOR left_elbow_joint"}, found
    again = core.calibrate("encoder_offsets", True, world.now_ns)
    assert (again.ok, again.revision) == (True, 3), again
    assert core.learning.calibration.current.encoder_offset[ELBOW] == pytest.approx(BIAS, rel=0.15)
    assert not said(core, world, 4.0)


def test_of_an_encoder_that_was_mended_the_correction_is_taken_back_and_all_is_well() -> None:
    world, core = wrong_encoder()
    core.calibrate("encoder_offsets", True, world.now_ns)
    world.run(1.0)
    world.faults.clear("encoder_bias")
    world.run(1.0)
    assert core.state is not None
    assert any(a.startswith("SENSOR left_elbow_joint off by -0.0") for a in core.state.anomalies)
    assert core.calibrate("rollback", True, world.now_ns).ok
    assert not said(core, world, 4.0)


def test_a_twin_that_knows_of_offsets_believes_what_one_with_true_encoders_believes(heard: Heard) -> None:
    """Drives obey their encoders: the same motion is commanded and reported with the offset on top. The attitude comes
    from the torso, beyond a waist that is off as well."""
    offset = np.zeros(N)
    offset[ELBOW], offset[WAIST] = BIAS, -BIAS
    true, off = TwinCore(ROBOT), TwinCore(ROBOT)
    revision = replace(Revision.of(ROBOT), number=1, encoder_offset=offset)
    off.track.follow(revision)
    off.diagnosis.apply(revision, 0)
    for value, now_ns in heard:
        if isinstance(value, JointCommand):
            index = [ROBOT.index(name) for name in value.joint_names]
            true.on_command(value)
            off.on_command(replace(value, position=value.position + offset[index]))
            continue
        state = replace(value, imu_source="imu/torso")
        true.on_state(state, now_ns)
        off.on_state(replace(state, position=state.position + offset), now_ns)
    for name in ("position", "velocity", "disturbance", "commanded_position", "nis"):
        np.testing.assert_allclose(getattr(off.estimate, name), getattr(true.estimate, name), atol=1e-6, err_msg=name)
    assert true.diagnosis.residual is not None
    assert off.diagnosis.residual is not None
    for name in ("step", "given", "external"):
        np.testing.assert_allclose(getattr(off.diagnosis.residual, name), getattr(true.diagnosis.residual, name),
                                   atol=1e-6, err_msg=name)
    assert off.command_delay.delay == pytest.approx(true.command_delay.delay, abs=1e-6)
    assert off.state is not None
    assert true.state is not None
    np.testing.assert_allclose(off.state.base_orientation, true.state.base_orientation, atol=1e-6)
    np.testing.assert_allclose(look(off, offset), look(true, np.zeros(N)), atol=1e-6)


def test_a_twin_that_knows_what_drives_give_believes_what_one_with_true_drives_believes(heard: Heard) -> None:
    """A drive with another torque constant reports, and is asked for, more than its joint gets."""
    scale = np.ones(N)
    scale[ELBOW], scale[WAIST] = 0.9, 1.1
    true, off = TwinCore(ROBOT), TwinCore(ROBOT)
    revision = replace(Revision.of(ROBOT), number=1, torque_scale=scale)
    off.track.follow(revision)
    off.diagnosis.apply(revision, 0)
    for value, now_ns in heard:
        if isinstance(value, JointCommand):
            index = [ROBOT.index(name) for name in value.joint_names]
            kp, kd = (given if len(given) else usual[index]
                      for given, usual in ((value.kp, ROBOT.kp), (value.kd, ROBOT.kd)))
            true.on_command(value)
            off.on_command(replace(value, kp=kp / scale[index], kd=kd / scale[index],
                                   effort=value.effort / scale[index] if len(value.effort) else value.effort))
            continue
        true.on_state(value, now_ns)
        off.on_state(replace(value, effort=value.effort / scale), now_ns)
    for name in ("position", "velocity", "disturbance", "nis", "measured_effort", "mean_effort"):
        np.testing.assert_allclose(getattr(off.estimate, name), getattr(true.estimate, name), atol=1e-6, err_msg=name)
    assert true.diagnosis.residual is not None
    assert off.diagnosis.residual is not None
    np.testing.assert_allclose(off.diagnosis.residual.external, true.diagnosis.residual.external, atol=1e-6)
    assert off.command_delay.delay == pytest.approx(true.command_delay.delay, abs=1e-6)
    np.testing.assert_allclose(off.drives.newest.kp, true.drives.newest.kp)


def test_a_drive_whose_torque_constant_is_off_is_found_while_it_moves_and_corrected_on_request() -> None:
    """It gives nine tenths of what it is asked for and believes that it gave all of it."""
    world, core = Reaching(ROBOT, 1), TwinCore(ROBOT, CONFIG)
    world.set_fault("actuator_weak", "left_elbow_joint", 0.9)
    scale = np.ones(N)
    scale[ELBOW] = 0.9
    rows: list[tuple[float, float]] = []

    def hear(state: RobotState, now_ns: int) -> None:
        core.on_state(replace(state, effort=state.effort / scale), now_ns)
        core.learn()
        residual, moment = core.diagnosis.residual, core.ring.newest
        if residual is not None and moment is not None and np.isfinite(residual.given[ELBOW]):
            rows.append((moment.joints.motion.own[ELBOW], residual.given[ELBOW]))

    world.on_state = hear
    world.on_command = lambda command, now_ns: core.on_command(command) and None
    world.run(30.0)
    answer = core.calibrate("torque_scale", True, world.now_ns)
    assert answer.ok, answer.reason
    assert [line for line in answer.report.splitlines() if "torque scale" in line] == [
        line for line in answer.report.splitlines() if line.startswith("left_elbow_joint")]
    found = core.learning.calibration.current.torque_scale
    assert found[ELBOW] == pytest.approx(0.9, abs=0.01)
    assert set(np.flatnonzero(found != 1.0)) == {ELBOW}
    rows.clear()
    assert said(core, world, 8.0) == set()
    own, given = np.array(rows).T
    assert abs(own @ given / (own @ own)) < 0.03, "what the drive carries by itself comes with the same torque constant"


def test_what_is_looked_ahead_knows_what_drives_give() -> None:
    """Followed again, the same revision changes nothing; another one starts from the robot file."""
    rollout, scale = Rollout(ROBOT), np.full(N, 0.8)
    revision = replace(Revision.of(ROBOT), number=1, torque_scale=scale)
    for _ in range(2):
        rollout.follow(revision)
        np.testing.assert_allclose(rollout.robot.kp, 0.8 * ROBOT.kp)
        np.testing.assert_allclose(rollout.robot.kd, 0.8 * ROBOT.kd)
    rollout.follow(Revision.of(ROBOT))
    np.testing.assert_array_equal(rollout.robot.kp, ROBOT.kp)


def look(core: TwinCore, offset: Array) -> Array:
    """Where half a second leads that bends the elbow, as it is commanded to an encoder with this offset."""
    start = start_of(core)
    assert start is not None
    rows = start.q[ELBOW] + 0.4 * np.linspace(0.1, 1.0, 10)[:, None] + offset[ELBOW]
    chunk = ActionChunk(start.stamp_ns, 1, 1, "test", "", ("left_elbow_joint",), 0.05, rows, 1.0)
    return Preview(ROBOT, 0.2).look(start, chunk, 0.5).trajectory


def test_late_samples_meet_the_model_of_their_time(heard: Heard) -> None:
    """Bit for bit what the same samples in order give, though a correction and an anomaly came in between."""
    straight, mixed = kept(heard, 0), kept(heard, 6)
    assert len({m.terms.revision.number for m in straight}) == 2, "both models are among what is compared"
    assert [pickle.dumps(plain(m)) for m in mixed] == [pickle.dumps(plain(m)) for m in straight]


def kept(heard: Heard, late: int) -> list[Moment]:
    """What the ring knows in the end when of the states before a correction some come ``late`` states after it."""
    core = TwinCore(ROBOT)
    states = [v for v, _ in heard if isinstance(v, RobotState)][:150]
    for command in (v for v, _ in heard if isinstance(v, JointCommand)):
        core.drives.add(command, command.stamp_ns)
    offset, touched = np.zeros(N), np.zeros(N, dtype=bool)
    offset[ELBOW], touched[SHOULDER] = BIAS, True
    held = [s for k, s in enumerate(states[93:99]) if k % 3 == 0] if late else []
    for k, state in enumerate(states):
        if k == 100:
            revision = replace(Revision.of(ROBOT), number=1, encoder_offset=offset,
                               payload={"left": 1.0, "right": 0.0})
            core.track.follow(revision)
            core.diagnosis.apply(revision, state.stamp_ns)
            core.track.spare(touched)
            if late:  # as when a command is heard late
                core.ring.again(states[85].stamp_ns)
        if k == 100 + late:
            for one in held:
                core.ring.add(one)
        if not any(state is one for one in held):
            core.ring.add(state)
    return core.ring._states[-80:]


def plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return [plain(getattr(value, f.name)) for f in fields(value)]
    return value.tobytes() if isinstance(value, np.ndarray) else value


# --- nothing is learnt while something is wrong

def test_a_weak_motor_is_not_taken_for_a_drive_that_carries_less() -> None:
    world = Reaching(ROBOT, 2)
    core = Watcher(ROBOT, world).core
    world.run(3.0)
    world.set_fault("actuator_weak", "left_shoulder_pitch_joint", 0.7)
    assert world.run(1.0, until=lambda: bool(core.diagnosis.touched[SHOULDER]))
    noticed = share(core)[SHOULDER]
    found = said(core, world, 4.0)
    assert any(a.startswith("ACTUATOR left_shoulder_pitch_joint gives 70 %") for a in found), found
    assert core.diagnosis.touched[SHOULDER]
    assert share(core)[SHOULDER] == pytest.approx(noticed, rel=0.01)
    assert share(core)[OTHER] != noticed, "joints that nothing is wrong with go on learning"


def test_while_the_clock_is_in_doubt_nothing_is_learnt() -> None:
    world = Reaching(ROBOT, 3)
    core, later = Watcher(ROBOT, world).core, 0
    world.on_state = lambda state, now_ns: core.on_state(state, now_ns + later) and None
    world.run(3.0)
    world.set_fault("payload", "left", 1.0)
    world.run(2.0)
    assert core.diagnosed is not None
    assert any(a.startswith("PAYLOAD left arm") for a in core.diagnosed.anomalies), "whose load is learnt meanwhile"
    assert samples(core) > 0.0
    later = 30 * MS
    assert world.run(3.0, until=lambda: bool(core.diagnosis.touched.all()))
    world.run(0.02)
    shares, known = share(core), samples(core)
    world.run(3.0)
    assert any(a.startswith("CLOCK") for a in core.diagnosed.anomalies)
    np.testing.assert_array_equal(share(core), shares)
    assert samples(core) == known
    core.calibrate("clock", True, world.now_ns + later)
    world.run(3.0)
    assert samples(core) > known
    assert (share(core) != shares).any()


def share(core: TwinCore) -> Array:
    """(n,) share of the model's bias that each drive is taken to carry by itself."""
    moment = core.ring.newest
    assert moment is not None
    return share_of(moment.joints)


def samples(core: TwinCore) -> float:
    """How many samples the identification rests on."""
    i = core.identification
    return float(sum(block.count.sum() for block in (*i.blocks, i._new)))
