"""What the monitor concludes: levels, latch, reset, and that nothing bad is ever called safe."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_world import MONITOR, ROBOT, MonitorWorld, calm_health, calm_state, calm_twin, cases

from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, Level, OverrideState, RobotState, TwinState, TwinStatus
from safety_nodes.core.config import ConfigError
from safety_nodes.core.memory import Memory
from safety_nodes.core.monitor import evaluate
from safety_nodes.core.rules import Rule
from safety_nodes.core.severity import grade, level_of
from safety_nodes.core.types import Inputs, Received, Tick


@pytest.fixture
def world() -> MonitorWorld:
    calm = MonitorWorld()
    assert calm.settle().level == Level.SAFE
    return calm


def codes(verdict: Any) -> set[str]:
    return {v.code for v in verdict.violations}


def joint(value: float, name: str = "left_elbow_joint", base: np.ndarray | None = None) -> np.ndarray:
    q = np.zeros(ROBOT.n) if base is None else base.copy()
    q[ROBOT.index(name)] = value
    return q


def lean(angle: float) -> np.ndarray:
    return np.array([math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0])


def test_no_leave_before_every_input_was_seen() -> None:
    memory = Memory()
    verdict = evaluate(Inputs(NS), 0, ROBOT, MONITOR, memory)
    assert verdict.level == Level.DANGER
    assert verdict.scale == 0.0
    assert not verdict.accept_new
    assert {v.subject for v in verdict.violations} >= {"ingest/robot_state", "ingest/sensor_health", "twin/state"}


def test_levels_come_down_one_at_a_time(world: MonitorWorld) -> None:
    world.tick(state={"orientation": lean(0.65)})
    assert world.tick(state={"orientation": lean(0.65)}).level == Level.DANGER
    seen = [world.tick().level for _ in range(200)]
    assert seen[-1] == Level.SAFE
    assert all(a - b <= 1 for a, b in itertools.pairwise(seen))
    for level in (Level.WARNING, Level.CAUTION):
        assert seen.count(level) * 0.01 >= MONITOR.dwell - 0.011


@pytest.mark.parametrize(
    ("change", "level", "code", "ticks"),
    [
        ({"state": {"position": joint(2.5, base=ROBOT.stand)}}, Level.DANGER, "JOINT_POSITION", 1),
        ({"state": {"position": joint(2.0944 + 0.05, base=ROBOT.stand)}}, Level.WARNING, "JOINT_POSITION", 1),
        ({"state": {"position": np.degrees(ROBOT.stand)}}, Level.DANGER, "JOINT_POSITION", 1),
        ({"state": {"velocity": joint(35.0)}}, Level.DANGER, "JOINT_VELOCITY", 3),
        ({"state": {"velocity": joint(11.0)}}, Level.DANGER, "JOINT_VELOCITY", 3),
        ({"state": {"effort": joint(33.0)}}, Level.DANGER, "JOINT_TORQUE", 8),
        ({"state": {"orientation": lean(0.3)}}, Level.CAUTION, "TILT", 2),
        ({"state": {"orientation": lean(0.5)}}, Level.WARNING, "TILT", 2),
        ({"state": {"orientation": lean(-0.7)}}, Level.DANGER, "TILT", 2),
        ({"state": {"orientation": lean(1.2)}}, Level.EMERGENCY, "FALLEN", 2),
        ({"twin": {"support_margin": 0.01}}, Level.CAUTION, "SUPPORT", 16),
        ({"twin": {"support_margin": -0.04}}, Level.WARNING, "SUPPORT", 16),
        ({"twin": {"support_margin": -0.07}}, Level.DANGER, "SUPPORT", 16),
        ({"twin": {"support_margin": -0.1}}, Level.EMERGENCY, "SUPPORT", 15),
        ({"twin": {"com": np.array([0.115, 0.0, 0.6])}}, Level.CAUTION, "SUPPORT", 16),
        ({"twin": {"com": np.array([-0.06, 0.0, 0.6])}}, Level.WARNING, "SUPPORT", 16),
        ({"twin": {"com": np.array([0.03, -0.2, 0.6])}}, Level.DANGER, "SUPPORT", 16),
        ({"twin": {"com": np.array([0.6, 0.0, 0.6])}}, Level.DANGER, "SUPPORT", 16),
        ({"state": {"temperature": np.full(ROBOT.n, 72.0)}}, Level.CAUTION, "TEMPERATURE", 2),
        ({"state": {"temperature": np.full(ROBOT.n, 80.0)}}, Level.WARNING, "TEMPERATURE", 2),
        ({"state": {"temperature": np.full(ROBOT.n, 90.0)}}, Level.DANGER, "TEMPERATURE", 2),
        ({"state": {"battery_voltage": 42.0}}, Level.CAUTION, "BATTERY", 3),
        ({"state": {"battery_voltage": 40.0}}, Level.WARNING, "BATTERY", 3),
        ({"state": {"battery_voltage": 38.0}}, Level.DANGER, "BATTERY", 3),
        ({"state": {"stale_sources": ("joint_states",)}}, Level.DANGER, "STALE", 1),
        ({"state": {"stale_sources": ("imu/pelvis",), "imu_source": "imu/torso"}}, Level.CAUTION, "BACKUP_ACTIVE", 1),
        ({"state": {"stale_sources": ("imu/pelvis",)}}, Level.DANGER, "STALE", 1),
        ({"state": {"stale_sources": ("battery_state",)}}, Level.CAUTION, "STALE", 1),
        ({"state": {"position": np.zeros(7)}}, Level.DANGER, "WRONG_LENGTH", 1),
        ({"state": {"stamp_ns": 0}}, Level.DANGER, "ZERO_STAMP", 1),
        ({"twin": {"status": TwinStatus.STALE, "stamp_ns": 1}}, Level.WARNING, "NO_TWIN", 1),
        ({"twin": {"status": TwinStatus.WAITING}}, Level.WARNING, "NO_TWIN", 1),
        ({"twin": {"model_hash": "0" * 64}}, Level.WARNING, "WRONG_MODEL", 1),
        ({"intruders": ("robot/joint_command",)}, Level.EMERGENCY, "PUBLISHER", 1),
        ({"publishers": (("vla/joint_command", 2),)}, Level.CAUTION, "PUBLISHER", 1),
        ({"publishers": (("/clock", 2),)}, Level.CAUTION, "PUBLISHER", 1),
        ({"publishers": (("robot/joint_command", 2),)}, Level.DANGER, "PUBLISHER", 1),
    ],
)
def test_each_fault_raises_its_level_in_its_ticks(
    world: MonitorWorld, change: dict[str, Any], level: Level, code: str, ticks: int
) -> None:
    for _ in range(ticks - 1):
        assert world.tick(**change).level < level
    verdict = world.tick(**change)
    assert verdict.level == level
    assert code in codes(verdict)


def test_a_twin_that_waited_for_the_processor_is_not_missing_yet(world: MonitorWorld) -> None:
    """It calls itself stale after 40 ms; the limit for a twin that is missing is 100 ms, however it is missing."""
    verdict = world.tick(twin={"status": TwinStatus.STALE, "stamp_ns": world.ros - 60 * MS})
    assert (verdict.level, codes(verdict)) == (Level.SAFE, set())


@pytest.mark.parametrize("change", [
    {"velocity": joint(36.0)}, {"effort": joint(60.0)}, {"orientation": lean(1.5)}, {"battery_voltage": 5.0},
])
def test_a_single_spike_of_a_noisy_signal_changes_nothing(world: MonitorWorld, change: dict[str, Any]) -> None:
    assert world.tick(state=change).level == Level.SAFE
    assert world.ticks(20).level == Level.SAFE


def test_silence_of_the_robot_state_stops_motion_within_its_timeout(world: MonitorWorld) -> None:
    last = world.inputs().state  # arrived 2 ms ago
    for _ in range(3):
        assert world.without(state=last).level == Level.SAFE
    verdict = world.without(state=last)  # 42 ms ago
    assert verdict.level == Level.DANGER
    assert "STALE" in codes(verdict)


def test_a_state_that_arrives_but_was_captured_long_ago_is_stale(world: MonitorWorld) -> None:
    verdict = world.tick(state={"stamp_ns": world.ros - 60 * MS})
    assert verdict.level == Level.DANGER
    assert "STALE" in codes(verdict)


def test_a_silent_twin_warns_but_does_not_stop(world: MonitorWorld) -> None:
    last = world.inputs().twin
    verdict = [world.without(twin=last) for _ in range(15)][-1]
    assert verdict.level == Level.WARNING
    assert not verdict.accept_new
    assert verdict.scale > 0.0


def test_a_required_sensor_that_never_came_is_named(world: MonitorWorld) -> None:
    health = calm_health(world.ros)
    health = replace(health, all_required_ok=False, sources=(replace(health.sources[0], state="waiting"),))
    verdict = world.tick(health=Received(health, world.mono))
    assert verdict.level == Level.DANGER
    assert any(v.code == "NEVER_SEEN" and v.subject == "joint_states" for v in verdict.violations)


def test_a_torso_imu_is_turned_back_through_the_waist(world: MonitorWorld) -> None:
    """The backup IMU leans with the waist; the base does not."""
    bent = joint(0.5, "waist_pitch_joint", ROBOT.stand)
    assert world.ticks(5, state={"position": bent, "orientation": lean(0.5), "imu_source": "imu/torso"}).level == 0
    assert world.ticks(5, state={"position": bent, "orientation": lean(0.0), "imu_source": "imu/torso"}).level == 2


def test_a_joint_that_does_not_follow_is_named(world: MonitorWorld) -> None:
    command = JointCommand(world.ros, 1, 1, "command_gate", ("left_elbow_joint",), np.array([0.0]))
    for _ in range(10):
        verdict = world.tick(command=Received(command, world.mono + 10 * MS))
    assert verdict.level == Level.DANGER  # 1 rad away
    assert ("TRACKING", "left_elbow_joint") in {(v.code, v.subject) for v in verdict.violations}


def test_a_gate_that_falls_silent_takes_the_policys_leave(world: MonitorWorld) -> None:
    command = JointCommand(world.ros, 1, 1, "command_gate", ("left_elbow_joint",), np.array([1.0]))
    last = Received(command, world.mono + 10 * MS)
    assert world.ticks(10, command=last).level == Level.SAFE
    verdict = world.ticks(2, command=last)
    assert verdict.level == Level.DANGER
    assert ("DIED", "command_gate") in {(v.code, v.subject) for v in verdict.violations}


# --- emergency stop


def test_a_pressed_stop_latches_and_survives_its_release(world: MonitorWorld) -> None:
    assert world.tick(estops=world.beat("panel", True, 1)).level == Level.EMERGENCY
    world.tick(estops=world.beat("panel", False, 2))
    verdict = world.ticks(20)
    assert verdict.latched
    assert verdict.level == Level.EMERGENCY
    assert "ESTOP" in verdict.cause


def test_a_stop_source_that_falls_silent_counts_as_pressed(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("radio", False, 1))
    assert world.ticks(49).level == Level.SAFE
    assert world.ticks(3).level == Level.EMERGENCY


def test_one_of_two_sources_released_still_stops(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("a", True, 1) + world.beat("b", True, 1))
    world.tick(estops=world.beat("a", False, 2) + world.beat("b", True, 2))
    assert world.reset(1).code == "RESET_PRESSED"


def test_an_old_release_does_not_undo_a_press(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("a", True, 10))
    world.tick(estops=world.beat("a", False, 4))
    assert world.reset(1).code == "RESET_PRESSED"


def test_more_stop_sources_than_can_be_watched_is_a_stop(world: MonitorWorld) -> None:
    flood = tuple(b for k in range(70) for b in world.beat(f"s{k}", False, 1))
    assert world.tick(estops=flood).level == Level.EMERGENCY


def latched(world: MonitorWorld) -> MonitorWorld:
    world.tick(estops=world.beat("a", True, 1))
    world.tick(estops=world.beat("a", False, 2))
    return world


def test_reset_needs_a_name_a_fresh_nonce_and_time_between(world: MonitorWorld) -> None:
    latched(world)
    assert world.reset(1, " ").code == "RESET_OPERATOR"
    assert world.reset(1).accepted
    assert world.reset(2).code == "RESET_RATE"
    world.tick(estops=world.beat("a", False, 3))
    assert world.reset(1).code == "RESET_NONCE"


def test_reset_is_refused_while_the_cause_lasts(world: MonitorWorld) -> None:
    world.ticks(3, state={"orientation": lean(1.3)})
    assert world.reset(1).code == "RESET_CAUSE"
    assert world.memory.latched


def test_after_a_reset_levels_come_down_slowly_and_every_watchdog_is_armed(world: MonitorWorld) -> None:
    latched(world)
    answer = world.reset(1)
    assert answer.accepted
    verdict = world.tick(estops=world.beat("a", False, 3))
    assert verdict.level == Level.DANGER
    assert verdict.reset_count == 1
    levels = [world.tick(estops=world.beat("a", False, 4 + k)).level for k in range(180)]
    assert levels[-1] == Level.SAFE
    assert world.tick(state={"position": joint(2.5, base=ROBOT.stand)}).level == Level.DANGER
    assert world.ticks(60).level == Level.EMERGENCY, "the stop source fell silent: still watched"


def test_an_override_holds_and_a_lost_link_keeps_holding(world: MonitorWorld) -> None:
    over = OverrideState(world.ros, "Ada", True, 0, (), np.zeros(0), 1)
    beat = Received(over, world.mono)
    assert world.tick(overrides=(beat,)).level == Level.DANGER
    assert world.ticks(300).level == Level.DANGER, "silent for 3 s"
    world.tick(overrides=(Received(replace(over, active=False, seq=2), world.mono),))
    assert world.ticks(200).level == Level.SAFE


def said(world: MonitorWorld, who: str, active: bool, seq: int,
         panel: bytes | None = None) -> tuple[Received[OverrideState], ...]:
    return (Received(OverrideState(world.ros, who, active, 0, (), np.zeros(0), seq), world.mono + 10 * MS,
                     panel or who.encode()),)


def test_only_the_holder_lets_go_of_an_override(world: MonitorWorld) -> None:
    """Another panel that says 'not active' all the time, before or after the holder in the same tick."""
    for k in range(1, 150):
        hold, other = said(world, "Ada", True, k), said(world, "Bob", False, k)
        verdict = world.tick(overrides=hold + other if k % 2 else other + hold)
        assert verdict.level == Level.DANGER
        assert ("OVERRIDE", "Ada") in {(v.code, v.subject) for v in verdict.violations}
    world.tick(overrides=said(world, "Ada", False, 100))
    assert world.ticks(30).level == Level.DANGER, "an old 'not active' is a replay"
    world.tick(overrides=said(world, "Ada", False, 150) + said(world, "Bob", False, 150))
    assert world.ticks(200).level == Level.SAFE


def test_of_two_who_hold_both_must_let_go(world: MonitorWorld) -> None:
    world.tick(overrides=said(world, "Ada", True, 1) + said(world, "Bob", True, 1))
    world.tick(overrides=said(world, "Ada", False, 2) + said(world, "Bob", True, 2))
    verdict = world.ticks(10)
    assert verdict.level == Level.DANGER
    assert [v.subject for v in verdict.violations] == ["Bob"]


def test_a_lost_override_is_let_go_of_by_its_operator_alone(world: MonitorWorld) -> None:
    """A panel that died and came back is another sender; another person's goes on saying 'not active'."""
    world.tick(overrides=said(world, "Ada", True, 9))
    for k in range(1, 30):
        world.tick(overrides=said(world, "Bob", False, k))
    world.tick(overrides=said(world, "Ada", False, 1, b"new"))
    assert world.ticks(30).level == Level.DANGER, "not lost yet"
    for k in range(30, 130):
        assert world.tick(overrides=said(world, "Bob", False, k)).level == Level.DANGER
    world.tick(overrides=said(world, "Ada", False, 2, b"new"))
    assert world.ticks(200).level == Level.SAFE


def test_an_override_cannot_lift_an_emergency(world: MonitorWorld) -> None:
    latched(world)
    over = OverrideState(world.ros, "Ada", True, 1, ("left_elbow_joint",), np.array([0.1]), 1)
    verdict = world.tick(overrides=(Received(over, world.mono),))
    assert verdict.level == Level.EMERGENCY
    assert verdict.scale == 0.0


# --- the monitor's own health


@pytest.mark.parametrize(("stop", "level"), [(True, Level.EMERGENCY), (False, Level.DANGER)])
def test_a_rule_that_fails_is_a_finding_not_silence(stop: bool, level: Level) -> None:
    def broken(_tick: Tick) -> Any:
        raise ZeroDivisionError("oops")

    world = MonitorWorld()
    verdict = evaluate(world.inputs(), world.mono, ROBOT, MONITOR, Memory(), (Rule("bad", broken, stop=stop),))
    assert verdict.level == level
    assert "oops" in verdict.cause


def test_a_monitor_that_was_suspended_first_distrusts(world: MonitorWorld) -> None:
    world.mono += 2 * NS
    world.ros += 2 * NS
    assert world.tick().level == Level.DANGER
    assert world.tick().level == Level.DANGER, "and stays there for the dwell"


@pytest.mark.parametrize("step", [5 * NS, -5 * NS])
def test_setting_the_wall_clock_ages_nothing(world: MonitorWorld, step: int) -> None:
    """What was captured before keeps the stamp of then, and a sensor may use the old time for a moment longer."""
    world.tick(estops=world.beat("a", False, 1))
    before = world.ros
    world.ros += step
    verdict = world.tick(state={"stamp_ns": before}, twin={"stamp_ns": before})
    assert (verdict.level, codes(verdict)) == (Level.SAFE, set())
    assert world.ticks(3).level == Level.SAFE
    verdict = world.tick(state={"stamp_ns": world.ros - step})
    assert (verdict.level, codes(verdict)) == (Level.SAFE, set())
    assert world.ticks(45).level == Level.SAFE
    world.tick(estops=world.beat("a", False, 2))
    assert world.ticks(49).level == Level.SAFE
    world.tick(estops=world.beat("a", False, 3))
    assert world.tick(state={"stamp_ns": world.ros - step}).level == Level.DANGER, "a second later its clock is wrong"


@pytest.mark.parametrize("step", [5 * NS, -5 * NS])
def test_a_state_that_is_old_is_old_however_the_clock_was_set(world: MonitorWorld, step: int) -> None:
    stamp = world.inputs().state.value.stamp_ns  # type: ignore[union-attr]
    world.ros += step
    verdict = world.ticks(6, state={"stamp_ns": stamp})
    assert verdict.level == Level.DANGER
    assert "STALE" in codes(verdict)


def test_a_watchdog_runs_on_while_the_clock_is_set(world: MonitorWorld) -> None:
    world.tick(estops=world.beat("radio", False, 1))
    world.ticks(25)
    world.ros -= 5 * NS
    assert world.ticks(22).level == Level.SAFE
    assert world.ticks(5).level == Level.EMERGENCY


@pytest.mark.parametrize(("stamp", "code"), [(lambda ros: ros - 10 * NS, "STALE"), (lambda ros: 0, "ZERO_STAMP"),
                                             (lambda ros: ros + 10 * NS, "FUTURE")])
def test_a_twin_that_calls_itself_well_but_speaks_of_another_time(world: MonitorWorld, stamp: Any, code: str) -> None:
    verdict = world.tick(twin={"stamp_ns": stamp(world.ros), "support_margin": -1.0})
    assert verdict.level == Level.WARNING
    assert not verdict.accept_new
    assert (code, "twin/state") in {(v.code, v.subject) for v in verdict.violations}
    held = world.ticks(30, twin={"stamp_ns": stamp(world.ros), "support_margin": -1.0})
    assert held.level == Level.WARNING, "what it says of balance is not believed"


def test_the_same_inputs_give_the_same_verdicts() -> None:
    def run() -> list[Any]:
        world = MonitorWorld()
        rng = np.random.default_rng(5)
        out = []
        for _ in range(150):
            v = world.tick(state={"velocity": rng.normal(0, 4, ROBOT.n), "orientation": lean(rng.normal(0, 0.3))},
                           twin={"support_margin": float(rng.normal(0.03, 0.05))})
            out.append((v.level, v.cause, v.violations))
        return out

    assert run() == run() == run()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("tilt_warning", 0.7, "tilt_warning = 0.7 must be below tilt_danger = 0.6"),
     ("support_danger", 0.1, "support_warning = -0.03 must be above support_danger"),
     ("com_warning", 0.02, "com_caution = 0.01 must be above com_warning = 0.02"),
     ("dwell", math.nan, "dwell = nan"),
     ("state_timeout", 0.0, "state_timeout = 0.0 s must be above"),
     ("estop_timeout", -1.0, "estop_timeout = -1.0 s must be above")],
)
def test_settings_that_contradict_one_another_are_refused(key: str, value: float, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        replace(MONITOR, **{key: value})


# --- properties

_NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)
_STATE_FIELDS = [f.name for f in fields(RobotState)
                 if isinstance(getattr(calm_state(0), f.name), np.ndarray)] + ["battery_voltage", "battery_current"]
_TWIN_FIELDS = ["position", "velocity", "com", "capture_point", "support_margin"]


def _poison(value: Any, bad: float, place: int) -> Any:
    if isinstance(value, float):
        return bad
    out = value.copy()
    out.flat[place % out.size] = bad
    return out


@given(st.sampled_from(_STATE_FIELDS), st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 60))
@settings(max_examples=cases(120), deadline=None)
def test_nan_or_infinity_anywhere_in_the_state_is_never_safe(field: str, bad: float, place: int) -> None:
    world = MonitorWorld()
    world.settle()
    verdict = world.ticks(3, state={field: _poison(getattr(calm_state(0), field), bad, place)})
    assert verdict.level >= (Level.DANGER if field in ("position", "velocity", "orientation") else Level.CAUTION)


@given(st.sampled_from(_TWIN_FIELDS), st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 60))
@settings(max_examples=cases(40), deadline=None)
def test_nan_in_the_twin_is_never_safe(field: str, bad: float, place: int) -> None:
    world = MonitorWorld()
    world.settle()
    assert world.ticks(3, twin={field: _poison(getattr(calm_twin(0), field), bad, place)}).level >= Level.WARNING


@given(st.lists(st.floats(0.0, 1.5), min_size=1, max_size=60), st.floats(0.0, 1.0))
@settings(max_examples=cases(60), deadline=None)
def test_a_worse_lean_never_gives_a_lower_level(leans: list[float], more: float) -> None:
    mild, bad = MonitorWorld(), MonitorWorld()
    mild.settle()
    bad.settle()
    for angle in leans:
        a = mild.tick(state={"orientation": lean(angle)})
        b = bad.tick(state={"orientation": lean(min(angle + more, 3.0))})
        assert b.raw_level >= a.raw_level
        assert b.level >= a.level


@given(_NUMBERS, _NUMBERS)
@settings(max_examples=cases(300))
def test_grading_is_monotonic_and_never_calls_nan_safe(a: float, b: float) -> None:
    steps = (0.1, 0.2, 0.3)
    if math.isnan(a) or math.isnan(b):
        assert level_of(grade(math.nan, steps)) >= Level.DANGER
    else:
        low, high = min(a, b), max(a, b)
        assert grade(low, steps) <= grade(high, steps)


def test_the_twin_is_only_believed_when_it_says_it_is_well(world: MonitorWorld) -> None:
    assert isinstance(calm_twin(0), TwinState)
    verdict = world.ticks(5, twin={"status": TwinStatus.WAITING, "support_margin": -1.0})
    assert verdict.level == Level.WARNING
    assert "SUPPORT" not in codes(verdict)
