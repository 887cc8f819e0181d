"""The bridge's core without DDS: what goes to the motors when, the onboard controller, a dry run, files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from unitree_world import CONFIG, G1, SPEC, T0, command, frame

from humanoid_core.timing import MS, NS
from humanoid_core.types import Mode
from robot_nodes.core.actuation import LOWCMD, Actuation, ActuationConfig, Phase, Seen, addressed
from robot_nodes.core.bridge import Bridge
from robot_nodes.core.frames import Record, crc
from robot_nodes.core.onboard import Answer, Onboard
from robot_nodes.core.unitree_spec import BridgeError, load_spec, mode_machine_of

ROOT = Path(__file__).resolve().parents[2]


# --- what goes out


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
