"""Commands that must not pass, and senders that must not speak (C1, C2, C5 to C7, D9 to D11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from conftest import wait_for
from humanoid_twin.msg import JointCommand as JointCommandMessage
from safety_graph import Graph, check_commands, graph_fixture, wait_still  # noqa: F401

from humanoid_bench.rig import NAMES, ROBOT, UPPER
from humanoid_core.types import EStopState, JointCommand, Level, Mode, Permit, RobotMode

#: How an emergency may end while the robot stands; never DAMP.
AT_REST = (Mode.HOLD, Mode.CROUCH)

STAND = ROBOT.stand[UPPER]


def refusals(graph: Graph) -> dict[str, int]:
    status = graph.rig.last("safety/gate")
    return {} if status is None else dict(status.refusals)


BAD: list[tuple[str, dict[str, Any]]] = [
    ("NON_FINITE", {"position": np.full(17, np.nan)}),
    ("NON_FINITE", {"velocity": np.full(17, np.inf)}),
    ("LIMIT_POSITION", {"position": np.full(17, 9.0)}),
    ("LIMIT_POSITION", {"position": np.degrees(STAND)}),
    ("WRONG_NAMES", {"joint_names": tuple(f"joint{i}" for i in range(17))}),
    ("WRONG_LENGTH", {"position": np.zeros(3)}),
    ("NOT_CONTROLLED", {"joint_names": ROBOT.joint_names[:17]}),
]


def test_one_bad_command_stops_the_motion_and_is_named(graph: Graph) -> None:
    """One graph for all of them: each time the motion starts again under a new epoch."""
    for epoch, (code, change) in enumerate(BAD, start=1):
        graph.move(epoch)
        good, before = graph.rig.command, refusals(graph).get(code, 0)
        assert good is not None
        graph.rig.command = lambda t, good=good, change=change: replace(good(t), **change)  # type: ignore[misc]
        wait_for(lambda code=code, before=before: refusals(graph).get(code, 0) > before, 10, code)
        graph.rig.command = good
        wait_still(graph)
        assert graph.rig.last("robot/mode").mode == Mode.RUN, code
    check_commands(graph.rig.heard["robot/joint_command"])


def test_an_empty_message_does_no_harm(graph: Graph) -> None:
    graph.move()
    graph.rig.command = lambda t: None
    graph.rig.say("vla/joint_command", JointCommandMessage())
    wait_for(lambda: refusals(graph).get("WRONG_NAMES", 0) == 1, 10, "WRONG_NAMES")
    wait_still(graph)


def test_a_recorded_command_played_again_is_refused(graph: Graph) -> None:
    graph.move()
    old = replace(graph.rig.command(0.1), stamp_ns=graph.rig.now_ns(), seq=1)  # type: ignore[misc,type-var]
    graph.rig.command = None
    wait_still(graph)
    graph.rig.say("vla/joint_command", old)
    wait_for(lambda: set(refusals(graph)) & {"STALE", "OLD_SEQUENCE"}, 10, "a refusal")
    assert graph.rig.elbow_speed() == 0.0


def test_a_second_publisher_on_the_policys_topic_is_stopped_and_latched(graph: Graph) -> None:
    graph.move()
    stranger = graph.speaker("stranger")

    def intrude() -> bool:
        stranger.say("vla/joint_command", JointCommand(stranger.now_ns(), 1, 99, "stranger", NAMES, STAND))
        return graph.rig.level() == Level.EMERGENCY and refusals(graph).get("PUBLISHER", 0) > 0

    wait_for(intrude, 15, "EMERGENCY and a refusal at the gate")
    wait_for(lambda: graph.rig.gate("latched") and graph.rig.last("robot/mode").mode in AT_REST, 10, "a rest")
    assert "vla/joint_command" in graph.rig.last("safety/status").cause
    check_commands(graph.rig.heard["robot/joint_command"])


def test_somebody_who_speaks_straight_to_the_robot_is_named(graph: Graph) -> None:
    stranger = graph.speaker("stranger")

    def intrude() -> bool:
        stranger.say("robot/joint_command", JointCommand(stranger.now_ns(), 1, 99, "stranger", NAMES, STAND))
        return graph.rig.level() == Level.EMERGENCY

    wait_for(intrude, 15, "EMERGENCY")
    assert "PUBLISHER: robot/joint_command" in graph.rig.last("safety/status").cause


def test_somebody_who_asks_the_robot_to_go_limp_is_named(graph: Graph) -> None:
    stranger = graph.speaker("stranger")

    def intrude() -> bool:
        stranger.say("robot/mode", RobotMode(stranger.now_ns(), Mode.DAMP, "stranger", 1))
        return graph.rig.level() == Level.EMERGENCY

    wait_for(intrude, 15, "EMERGENCY")
    assert "PUBLISHER: robot/mode" in graph.rig.last("safety/status").cause


def test_a_forged_permit_gives_no_leave(graph: Graph) -> None:
    graph.rig.silent.add("ingest/robot_state")
    wait_for(lambda: graph.rig.level() == Level.DANGER, 10, "DANGER")
    forger = graph.speaker("forger")
    seq = 10**6

    def forge() -> bool:
        nonlocal seq
        seq += 1
        forger.say("safety/permit", Permit(forger.now_ns(), seq, Level.SAFE, 1.0, 0.03, True, False, 0))
        return graph.rig.level() == Level.EMERGENCY and refusals(graph).get("PUBLISHER", 0) > 3

    wait_for(forge, 15, "refused permits and EMERGENCY")
    assert graph.rig.elbow_speed() == 0.0


def test_a_restarted_policy_is_no_intruder(graph: Graph) -> None:
    graph.move()
    graph.rig.command = None
    wait_still(graph)
    successor = graph.speaker("successor")
    end = graph.rig.now_ns() + 600_000_000
    wait_for(lambda: graph.rig.now_ns() > end, 5)
    seq = 0

    def go() -> bool:
        nonlocal seq
        seq += 1
        q = graph.rig.q[UPPER].copy()
        epoch = 1 + seq // 50  # as a policy does: what a hiccup of the machine interrupted goes on under a new one
        successor.say("vla/joint_command", JointCommand(successor.now_ns(), seq, epoch, "successor", NAMES, q))
        return graph.rig.gate("passing")

    wait_for(go, 10, "the successor's motion")
    assert graph.rig.level() <= Level.CAUTION


def test_a_stop_button_stops_latches_and_its_silence_is_a_press(graph: Graph) -> None:
    graph.move()
    button = graph.speaker("button")
    button.say("safety/estop", EStopState(button.now_ns(), "panel", False, 1))
    wait_for(lambda: graph.rig.level() == Level.EMERGENCY, 10, "EMERGENCY from silence")
    wait_for(lambda: graph.rig.gate("latched") and graph.rig.last("robot/mode").mode in AT_REST, 10, "a rest")
    check_commands(graph.rig.heard["robot/joint_command"])
