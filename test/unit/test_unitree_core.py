"""The bridge's core without DDS: frames and their CRC, what is refused, and what goes to the motors when."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, Mode
from humanoid_ros.params import from_mapping
from robot_nodes.core.actuation import LOWCMD, Actuation, ActuationConfig, Phase, Seen, addressed
from robot_nodes.core.bridge import Bridge
from robot_nodes.core.frames import LOW_CMD, LOW_STATE, Record, crc, from_cdr, new, sealed, to_cdr
from robot_nodes.core.intake import Intake, IntakeConfig
from robot_nodes.core.onboard import Answer, Onboard
from robot_nodes.core.sender import OneSender
from robot_nodes.core.unitree_spec import BridgeError, load_spec, mode_machine_of
from robot_nodes.params import UnitreeParams

ROOT = Path(__file__).resolve().parents[2]
G1 = load_robot("g1")
SPEC = load_spec()
CONFIG = IntakeConfig(5, 0.001, 40 * MS, 5 * MS, 100 * MS)
T0 = 1_000 * NS


def frame(tick: int, mode_machine: int = 5, **values: object) -> Record:
    record = new(LOW_STATE)
    record["tick"], record["mode_machine"] = tick, mode_machine
    record["motor_state"]["q"][:G1.n] = G1.stand
    record["imu_state"]["quaternion"] = (1.0, 0.0, 0.0, 0.0)
    record["motor_state"]["temperature"][:] = (40, 55)
    for name, value in values.items():
        record[name] = value
    return sealed(record)


def fed(intake: Intake, count: int, first: int = 1000, start_ns: int = T0) -> tuple[int, int]:
    """Frames each 2 ms; (next tick, next arrival)."""
    for k in range(count):
        assert intake.take(frame(first + 2 * k), start_ns + 2 * k * MS).reason == ""
    return first + 2 * count, start_ns + 2 * count * MS


# --- frames


def test_the_crc_is_the_vendors() -> None:
    # worked out bit by bit, most significant first, as the vendor's text says it
    record = new(LOW_CMD)
    record["mode_machine"], record["motor_cmd"]["q"][3] = 5, 0.25
    value = 0xFFFFFFFF
    for word in np.frombuffer(record.tobytes(), "<u4")[:-1].tolist():
        for bit in range(31, -1, -1):
            top = value >> 31
            value = (value << 1) & 0xFFFFFFFF
            value ^= 0x04C11DB7 * (top ^ (word >> bit & 1))
    assert crc(record) == value


@pytest.mark.parametrize("kind", [LOW_STATE, LOW_CMD])
def test_a_record_travels_as_cdr_and_back(kind: np.dtype) -> None:
    rng = np.random.default_rng(1)
    record = new(kind)
    for name in (kind.names or ()):
        if name.startswith(("motor", "imu")):
            for inner in record[name].dtype.names:
                if inner != "_pad":
                    record[name][inner] = rng.integers(0, 100, record[name][inner].shape)
        elif name != "_pad":
            record[name] = rng.integers(0, 100, record[name].shape)
    assert from_cdr(kind, to_cdr(record)).tobytes() == record.tobytes()


def test_bytes_that_are_no_frame_are_refused() -> None:
    good = to_cdr(new(LOW_STATE))
    with pytest.raises(ValueError, match="bytes instead of 2088"):
        from_cdr(LOW_STATE, good[:-4])
    with pytest.raises(ValueError, match="little-endian"):
        from_cdr(LOW_STATE, b"\0\0" + good[2:])


# --- what comes in


def test_joints_come_at_the_robot_files_rate_with_even_stamps() -> None:
    intake = Intake(G1, CONFIG)
    samples = []
    for k in range(500):
        late = (k * 7919 % 13) * 100_000  # up to 1.2 ms on the way
        taken = intake.take(frame(1000 + 2 * k), T0 + 2 * k * MS + late)
        if taken.joints is not None:
            samples.append(taken.joints)
    stamps = np.array([s.stamp_ns for s in samples[20:]])
    assert 195 <= len(samples) <= 205
    assert np.all(np.diff(stamps) > 0)
    assert np.all(np.abs((stamps - T0) % (2 * MS)) < MS // 5)  # the ways' jitter is not in the stamps
    assert samples[0].names == G1.joint_names
    np.testing.assert_allclose(samples[0].position, G1.stand, atol=1e-6)


def test_the_warmer_of_two_temperatures_counts() -> None:
    motors = Intake(G1, CONFIG).take(frame(1), T0).motors
    assert motors is not None
    assert motors.temperature.tolist() == [55.0] * G1.n


def test_a_bad_crc_is_refused() -> None:
    intake = Intake(G1, CONFIG)
    bad = frame(1000)
    bad["motor_state"]["q"][0] += 0.1
    assert intake.take(bad, T0).reason == "BAD_CRC"
    assert intake.refused["BAD_CRC"] == 1


def test_another_variant_is_refused_and_named() -> None:
    intake = Intake(G1, CONFIG)
    assert intake.take(frame(1000, mode_machine=11), T0).reason == "WRONG_ROBOT"
    assert "mode_machine is 11, the robot file is for 5" in intake.refused.last


def test_nan_is_refused() -> None:
    bad = frame(1000)
    bad["motor_state"]["dq"][4] = np.nan
    assert Intake(G1, CONFIG).take(sealed(bad), T0).reason == "NON_FINITE"


def test_a_tick_out_of_order_is_refused_and_one_that_stays_back_is_a_restart() -> None:
    intake = Intake(G1, CONFIG)
    tick, at = fed(intake, 100)
    assert intake.take(frame(tick - 20), at).reason == "TICK_BACK"
    assert intake.take(frame(tick), at + 2 * MS).reason == ""
    tick, at = fed(intake, 10, tick + 2, at + 4 * MS)
    reasons = [intake.take(frame(5 + 2 * k), at + 2 * k * MS).reason for k in range(100)]
    assert reasons[:45] == ["TICK_BACK"] * 45
    assert reasons[60:] == [""] * 40
    assert intake.restarts == 1


def test_a_counter_that_stands_still_brings_nothing() -> None:
    intake = Intake(G1, CONFIG)
    tick, at = fed(intake, 10)
    assert {intake.take(frame(tick - 2), at + 2 * k * MS).reason for k in range(20)} == {"DUPLICATE"}


def test_the_counter_may_wrap() -> None:
    intake = Intake(G1, CONFIG)
    assert intake.take(frame((1 << 32) - 2), T0).reason == ""
    assert intake.take(frame(0), T0 + 2 * MS).reason == ""
    assert intake.restarts == 0


def test_a_link_that_lags_makes_frames_stale_for_as_long_as_it_lags() -> None:
    intake = Intake(G1, CONFIG)
    tick, at = fed(intake, 200)
    late = [intake.take(frame(tick + 2 * k), at + 2 * k * MS + 100 * MS).reason for k in range(2000)]
    assert set(late) == {"STALE"}
    assert intake.take(frame(tick + 4000), at + 4000 * MS).reason == ""


# --- what goes out


def command(q: np.ndarray, joints: tuple[int, ...] = G1.groups["upper_body"], **values: np.ndarray) -> JointCommand:
    empty = np.zeros(0)
    rest = {"velocity": empty, "effort": empty, "kp": empty, "kd": empty, **values}
    return JointCommand(T0, 1, 1, "test", tuple(G1.joint_names[i] for i in joints), q[list(joints)], **rest)


class Ticks:
    """An Actuation at 100 Hz and a robot that stands where it was told."""

    def __init__(self, **config: object) -> None:
        self.core = Actuation(G1, ActuationConfig(**config))  # type: ignore[arg-type]
        self.now = T0
        self.seen = Seen(G1.stand.copy(), T0)

    def run(self, count: int, q: np.ndarray | None = None, mode: Mode = Mode.RUN, state: bool = True,
            **seen: object) -> list[Record | None]:
        out = []
        for _ in range(count):
            self.now += 10 * MS
            if state:
                self.seen = dataclasses.replace(self.seen, arrival_ns=self.now, **seen)  # type: ignore[arg-type]
            out.append(self.core.step(self.now, [] if q is None else [command(q)], mode, self.seen))
        return out

    @property
    def phase(self) -> tuple[Phase, str]:
        return self.core.phase, self.core.reason


def weights(frames: list[Record | None]) -> list[float]:
    return [float(f["motor_cmd"]["q"][29]) for f in frames if f is not None]


def test_nothing_is_sent_before_a_command() -> None:
    assert Ticks().run(50) == [None] * 50


def test_it_blends_in_from_the_measured_pose_and_follows() -> None:
    t = Ticks()
    q = G1.stand.copy()
    q[G1.index("left_elbow_joint")] += 0.2
    frames = t.run(150, q)
    w = weights(frames)
    assert w[0] < 0.05
    assert w == sorted(w)
    assert w[-1] == 1.0
    assert t.phase == (Phase.ACTIVE, "")
    last, first = frames[-1], frames[0]
    assert first is not None
    assert last is not None
    elbow = G1.index("left_elbow_joint")
    assert first["motor_cmd"]["q"][elbow] == pytest.approx(G1.stand[elbow], abs=0.05)
    assert last["motor_cmd"]["q"][elbow] == pytest.approx(q[elbow], abs=1e-6)
    assert last["motor_cmd"]["kp"][elbow] == pytest.approx(G1.kp[elbow])
    assert np.all(last["motor_cmd"]["kp"][list(G1.groups["legs"])] == 0.0)  # the onboard controller's


def test_a_first_set_point_far_from_the_robot_is_refused() -> None:
    t, q = Ticks(), G1.stand.copy()
    q[G1.index("left_elbow_joint")] -= 0.5
    assert t.run(20, q) == [None] * 20
    assert t.core.refused["JUMP"] == 20
    assert t.phase == (Phase.WAITING, "JUMP")


@pytest.mark.parametrize(("change", "code"), [
    ({"joint_names": ("left_elbow", )}, "WRONG_NAMES"),
    ({"joint_names": (G1.joint_names[0],)}, "NOT_CONTROLLED"),
    ({"position": np.array([np.nan])}, "NON_FINITE"),
    ({"position": np.array([9.0])}, "LIMIT_POSITION"),
    ({"kp": np.array([-1.0])}, "OUT_OF_RANGE"),
    ({"velocity": np.zeros(3)}, "WRONG_LENGTH"),
])
def test_a_command_that_this_robot_cannot_take_is_refused(change: dict, code: str) -> None:
    t = Ticks()
    base = command(G1.stand, (G1.index("left_elbow_joint"),))
    t.now += 10 * MS
    t.seen = dataclasses.replace(t.seen, arrival_ns=t.now)
    assert t.core.step(t.now, [dataclasses.replace(base, **change)], Mode.RUN, t.seen) is None
    assert t.core.refused[code] == 1


def test_lost_lowstate_holds_then_lets_go() -> None:
    t, q = Ticks(), G1.stand.copy()
    t.run(150, q)
    held = t.run(20, q, state=False)
    assert t.phase == (Phase.HOLDING, "NO_STATE")
    assert t.core.refused["NO_STATE"] > 0
    assert weights(held) == [1.0] * 20
    t.run(100, q, state=False)
    assert t.phase[0] is Phase.RELEASING
    released = t.run(320, q, state=False)
    assert released[-1] is None
    assert weights(released) == sorted(weights(released), reverse=True)
    assert t.phase == (Phase.WAITING, "NO_STATE")


def test_it_goes_on_without_a_step_after_a_short_loss() -> None:
    t, q = Ticks(), G1.stand.copy()
    elbow = G1.index("left_elbow_joint")
    t.run(150, q)
    t.run(20, q, state=False)
    q[elbow] += 0.25
    frames = t.run(40, q)
    path = np.array([f["motor_cmd"]["q"][elbow] for f in frames if f is not None])
    assert np.max(np.diff(path)) <= 1.5 * G1.command_velocity[elbow] * 0.01 + 1e-6
    assert path[-1] == pytest.approx(q[elbow], abs=1e-6)
    assert t.phase == (Phase.ACTIVE, "")


def test_silence_holds_and_after_a_while_lets_the_arms_down() -> None:
    t = Ticks()
    t.run(150, G1.stand)
    t.run(10)
    assert t.phase == (Phase.HOLDING, "NO_COMMAND")
    t.run(510)
    assert t.phase[0] is Phase.RELEASING


def test_the_gates_hold_lasts_and_its_commands_are_no_fault_then() -> None:
    t = Ticks()
    t.run(150, G1.stand)
    t.run(1000, G1.stand, Mode.HOLD)
    assert t.phase == (Phase.HOLDING, "robot/mode HOLD")
    assert t.core.refused.total == 0


def test_damp_takes_stiffness_away_and_keeps_damping() -> None:
    t = Ticks()
    t.run(150, G1.stand)
    last = t.run(5, None, Mode.DAMP)[-1]
    assert last is not None
    ours = list(G1.groups["upper_body"])
    assert np.all(last["motor_cmd"]["kp"][ours] == 0.0)
    assert np.all(last["motor_cmd"]["kd"][ours] > 0.0)


def test_a_robot_that_was_started_anew_is_let_go_and_begun_from_where_it_is() -> None:
    t, q = Ticks(), G1.stand.copy()
    t.run(150, q)
    elsewhere = q + 0.5
    t.run(1, q, restarts=1, position=elsewhere)
    assert t.phase[0] is Phase.RELEASING
    t.run(50, elsewhere, restarts=1)
    assert t.phase[0] is Phase.RELEASING
    assert "let go first" in t.core.refused.last
    t.run(300, q, restarts=1)
    assert t.phase == (Phase.WAITING, "JUMP")


def test_over_lowcmd_a_lost_state_damps_every_motor_at_once() -> None:
    t = Ticks(control=LOWCMD)
    moving = t.run(150, G1.stand)[-1]
    assert moving is not None
    assert np.all(moving["motor_cmd"]["kp"][:G1.n] > 0.0)  # legs hold their pose
    assert np.all(moving["motor_cmd"]["mode"][:G1.n] == 1)
    damped = t.run(10, G1.stand, state=False)[-1]
    assert damped is not None
    assert np.all(damped["motor_cmd"]["kp"] == 0.0)
    assert np.all(damped["motor_cmd"]["kd"][:G1.n] > 0.0)
    assert t.phase == (Phase.DAMPING, "NO_STATE")


# --- the onboard controller


def answer_all(onboard: Onboard, now: int, mode: Mode, replies: dict[int, tuple[int, str]]) -> list[int]:
    """One step and its answers; the api numbers asked for."""
    requests = onboard.step(now, mode, [])
    requests += onboard.step(now + 1, mode, [Answer(r.number, r.api, *replies.get(r.api, (0, ""))) for r in requests])
    return [r.api for r in requests]


def test_arm_sdk_needs_an_onboard_controller_that_balances() -> None:
    onboard = Onboard(SPEC.onboard, "arm_sdk")
    assert "does not answer" in onboard.why_not(T0)
    answer_all(onboard, T0, Mode.RUN, {7001: (0, json.dumps({"data": 1}))})
    assert "is in state 1" in onboard.why_not(T0)
    answer_all(onboard, T0 + NS, Mode.RUN, {7001: (0, json.dumps({"data": 500}))})
    assert onboard.why_not(T0 + NS) == ""
    assert "does not answer" in onboard.why_not(T0 + 10 * NS)


def test_crouch_is_asked_for_until_it_is_so() -> None:
    onboard, at = Onboard(SPEC.onboard, "arm_sdk"), T0
    stands, squats = {7001: (0, '{"data": 500}')}, {7001: (0, '{"data": 706}')}
    assert 7101 in answer_all(onboard, at, Mode.CROUCH, stands)
    assert 7101 not in answer_all(onboard, at + NS // 2, Mode.CROUCH, stands)
    assert 7101 in answer_all(onboard, at + 2 * NS, Mode.CROUCH, squats)
    assert 7101 not in answer_all(onboard, at + 4 * NS, Mode.CROUCH, squats)


def test_lowcmd_waits_until_the_vendors_service_is_released() -> None:
    onboard = Onboard(SPEC.onboard, LOWCMD, release=True)
    active, none = {1001: (0, '{"name": "ai"}')}, {1001: (0, '{"name": ""}')}
    assert 1003 in answer_all(onboard, T0, Mode.RUN, active)
    assert "'ai' is active" in onboard.why_not(T0)
    answer_all(onboard, T0 + 2 * NS, Mode.RUN, none)
    assert onboard.why_not(T0 + 2 * NS) == ""


def test_an_error_of_the_service_is_counted_and_somebody_elses_answer_is_not_ours() -> None:
    onboard = Onboard(SPEC.onboard, "arm_sdk")
    answer_all(onboard, T0, Mode.RUN, {7001: (3203, "")})
    onboard.step(T0 + 2, Mode.RUN, [Answer(999, 7001, 0, '{"data": 500}')])
    assert onboard.errors == {"api 7001 answered 3203": 1}
    assert "does not answer" in onboard.why_not(T0)


# --- all together


def bridge(actuate: bool) -> Bridge:
    return Bridge(G1, CONFIG, ActuationConfig(), Onboard(SPEC.onboard, "arm_sdk", check=False), actuate)


def test_a_dry_run_does_everything_but_the_last_publication() -> None:
    real, dry = bridge(True), bridge(False)
    sent = {id(b): 0 for b in (real, dry)}
    for b in (real, dry):
        for k in range(50):
            b.hear(frame(1000 + 10 * k), T0 + 10 * k * MS, T0 + 10 * k * MS)
            out = b.step(T0 + 10 * k * MS, [command(G1.stand)], Mode.RUN, [])
            sent[id(b)] += out.frame is not None
    assert sent[id(real)] == 50
    assert sent[id(dry)] == 0
    assert dry.kept_back == 50
    assert dry.actuation.phase is real.actuation.phase
    asked = dry.step(T0 + NS, [], Mode.CROUCH, []).requests
    assert all(not r.acts for r in asked)


def test_a_frame_to_the_motors_carries_variant_and_crc() -> None:
    out = None
    b = bridge(True)
    b.hear(frame(1000), T0, T0)
    out = b.step(T0 + 10 * MS, [command(G1.stand)], Mode.RUN, []).frame
    assert out is not None
    assert int(out["mode_machine"]) == 5
    assert int(out["crc"]) == crc(out)
    assert addressed(out, 11)["crc"] == crc(out)


def test_another_variant_is_sure_after_a_few_frames_and_only_before_a_good_one() -> None:
    b = bridge(True)
    for k in range(5):
        b.hear(frame(1000 + k, mode_machine=13), T0 + k * MS, T0 + k * MS)
    assert b.wrong_robot == 13
    b = bridge(True)
    b.hear(frame(999), T0, T0)
    for k in range(5):
        b.hear(frame(1000 + k, mode_machine=13), T0 + k * MS, T0 + k * MS)
    assert b.wrong_robot is None


def test_a_second_publisher_is_refused_until_the_first_is_silent() -> None:
    one = OneSender()
    assert one.take(b"a", 0)
    assert not one.take(b"b", NS // 2)
    assert one.take(b"a", NS)
    assert one.take(b"b", 3 * NS)


# --- files


def test_the_variant_of_a_robot_file_is_read_or_missed_by_name() -> None:
    assert mode_machine_of(G1) == 5
    with pytest.raises(BridgeError, match=r"variant = '': names no variant"):
        mode_machine_of(dataclasses.replace(G1, variant=""))


def test_a_vendor_file_with_a_wrong_key_is_refused_by_name(tmp_path: Path) -> None:
    data = yaml.safe_load((ROOT / "config/bridges/unitree.yaml").read_text())
    data["topics"]["low_state"] = "x"
    path = tmp_path / "u.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(BridgeError, match=r"u.yaml: topics.low_state.*lowstate"):
        load_spec(str(path))


def test_tuning_file_and_parameters_agree() -> None:
    text = (ROOT / "config/nodes/unitree_bridge.yaml").read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert from_mapping("unitree_bridge", UnitreeParams, values) == UnitreeParams()
    assert list(values) == [f.name for f in dataclasses.fields(UnitreeParams)]
    for field in dataclasses.fields(UnitreeParams):
        assert field.metadata["doc"] in text
