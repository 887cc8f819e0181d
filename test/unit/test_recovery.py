"""What the robot goes on without: at CAUTION where its file allows it, announced, and back when it is well again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safety_world import MONITOR, NAMES, ROBOT, MonitorWorld

from humanoid_core.reasons import REASONS, Refusals
from humanoid_core.types import JointCommand, Level, MotorSample, SafetyEvent, VlaStatus
from safety_nodes.core.events import MonitorEvents
from safety_nodes.core.recovery import RECOVERIES
from safety_nodes.core.types import Received, Verdict

WRIST, OTHER_WRIST, ELBOW = "left_wrist_yaw_joint", "right_wrist_yaw_joint", "left_elbow_joint"


class World(MonitorWorld):
    """The monitor with drives that may fail, and a policy with a confidence."""

    def __init__(self) -> None:
        super().__init__()
        self.bits: dict[str, int] = {}
        self.confidence, self.acting = 0.9, "acting"
        self.events: list[SafetyEvent] = []
        self.writer = MonitorEvents(Refusals())

    def go(self, count: int = 1, **changes: Any) -> Verdict:
        for _ in range(count):
            n = ROBOT.n
            motors = MotorSample(self.ros, ROBOT.joint_names, np.full(n, 40.0), np.zeros(n), np.full(n, 50.0),
                                 tuple(self.bits.get(name, 0) for name in ROBOT.joint_names))
            policy = VlaStatus(self.ros, self.acting, "", "", "", "classical", 1, 0.0, self.confidence, 1.0, 1)
            verdict = self.tick(motors=Received(motors, self.mono), policy=Received(policy, self.mono), **changes)
            self.events += self.writer.tick(verdict, None, self.mono, self.ros)
        return verdict

    def said(self, kind: str) -> list[tuple[str, str, str]]:
        return [(e.code, e.subject, e.text.split(":")[0]) for e in self.events if e.kind == kind]


@pytest.fixture
def world() -> World:
    made = World()
    assert made.go(200).level == Level.SAFE
    made.events.clear()
    return made


def test_every_recovery_is_a_reason_code() -> None:
    assert set(RECOVERIES) <= set(REASONS)


def test_a_wrist_whose_drive_fails_leaves_the_set_and_the_robot_goes_on(world: World) -> None:
    world.bits = {WRIST: 1}
    verdict = world.go(10)
    assert (verdict.level, verdict.removed, verdict.accept_new) == (Level.CAUTION, (WRIST,), True)
    assert verdict.violations[0].code == "ACTUATOR_REMOVED"
    assert world.said("RECOVERY") == [("ACTUATOR_REMOVED", WRIST, "begin")]


@pytest.mark.parametrize("joint", [ELBOW, "left_knee_joint"])
def test_any_other_joint_whose_drive_fails_stops_the_robot(world: World, joint: str) -> None:
    world.bits = {joint: 1}
    verdict = world.go(10)
    assert (verdict.level, verdict.removed) == (Level.DANGER, ())
    assert verdict.violations[0].code == "ACTUATOR_FAULT"


def test_a_single_bad_report_of_a_drive_removes_nothing(world: World) -> None:
    world.bits = {WRIST: 1}
    world.go()
    world.bits = {}
    assert world.go(5).removed == ()


def test_a_removed_joint_comes_back_with_a_reset_after_its_fault_is_gone_and_not_before(world: World) -> None:
    world.bits = {WRIST: 1}
    world.go(10)
    assert world.reset(1).accepted
    assert world.go(200).removed == (WRIST,), "the fault lasts"
    world.bits = {}
    assert world.go(20).removed == (WRIST,)
    assert world.reset(2).accepted
    assert world.go(200).removed == (WRIST,), "its fault was gone for 0.2 s only"
    assert world.go(500).removed == (WRIST,), "without a person it stays out"
    assert world.reset(3).accepted
    verdict = world.go(300)
    assert (verdict.removed, verdict.level) == ((), Level.SAFE)
    assert world.said("RECOVERY")[-1] == ("ACTUATOR_REMOVED", WRIST, "end")


def test_a_fault_is_not_taken_to_be_gone_when_the_drives_fall_silent(world: World) -> None:
    world.bits = {WRIST: 1}
    world.go(10)
    world.bits = {}
    verdict = world.go(300, state={"stale_sources": ("motor_status",)})
    assert world.reset(1).accepted
    assert verdict.removed == (WRIST,)
    assert world.go(10).removed == (WRIST,)


def off(joint: str, by: float) -> JointCommand:
    """What the gate sends, with one joint away from the measured pose."""
    q = ROBOT.stand[list(ROBOT.groups["upper_body"])].copy()
    q[NAMES.index(joint)] += by
    return JointCommand(1, 1, 0, "command_gate", NAMES, q)


@pytest.mark.parametrize(("joint", "level", "removed"), [(WRIST, Level.CAUTION, (WRIST,)), (ELBOW, Level.DANGER, ())])
def test_a_joint_that_does_not_follow(world: World, joint: str, level: Level, removed: tuple[str, ...]) -> None:
    for _ in range(40):
        verdict = world.go(command=Received(off(joint, 0.9), world.mono))
    assert (verdict.level, verdict.removed) == (level, removed)


def test_more_failures_at_once_than_the_file_allows_stop_the_robot(world: World) -> None:
    world.bits = dict.fromkeys(ROBOT.recovery.remove[:ROBOT.recovery.at_most], 1)
    assert world.go(10).level == Level.CAUTION
    world.bits = dict.fromkeys(ROBOT.recovery.remove[:ROBOT.recovery.at_most + 1], 1)
    assert world.go(10).level == Level.DANGER


def test_an_estimated_joint_is_a_caution_where_the_file_allows_it(world: World) -> None:
    verdict = world.go(5, state={"estimated_joints": (WRIST,)})
    assert (verdict.level, verdict.accept_new) == (Level.CAUTION, True)
    assert world.said("RECOVERY") == [("ESTIMATED", WRIST, "begin")]
    assert world.go(200).level == Level.SAFE
    assert world.said("RECOVERY")[-1] == ("ESTIMATED", WRIST, "end")
    assert world.go(5, state={"estimated_joints": (ELBOW,)}).level == Level.DANGER
    assert world.go(5, state={"estimated_joints": ROBOT.recovery.estimate}).level == Level.DANGER


def test_an_unsure_policy_moves_at_half_speed_until_it_has_been_sure_for_a_while(world: World) -> None:
    world.confidence = 0.2
    verdict = world.go(2)
    assert (verdict.level, verdict.scale) == (Level.CAUTION, MONITOR.caution_scale)
    assert verdict.scale == pytest.approx(0.5)
    world.confidence = 0.8
    assert world.go(round(MONITOR.recovery_dwell * 100) - 5).scale == pytest.approx(0.5)
    assert world.go(200).scale == 1.0
    assert [text for _, _, text in world.said("RECOVERY")] == ["begin", "end"]


def test_doubt_that_comes_and_goes_is_one_recovery(world: World) -> None:
    for k in range(200):
        world.confidence = 0.2 if k % 10 < 2 else 0.9
        world.go()
    assert world.said("RECOVERY") == [("UNCERTAIN", "classical", "begin")]


@pytest.mark.parametrize(("confidence", "state", "level"), [
    (float("nan"), "acting", Level.CAUTION), (0.1, "idle", Level.SAFE), (MONITOR.confidence_low, "acting", Level.SAFE)])
def test_doubt_counts_while_the_policy_acts(world: World, confidence: float, state: str, level: Level) -> None:
    world.confidence, world.acting = confidence, state
    assert world.go(5).level == level
