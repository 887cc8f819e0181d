"""Processes that die, hang or come late: what the robot is told meanwhile (P1, P2, P8)."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from conftest import wait_for
from safety_graph import Graph, check_commands, graph_fixture, wait_still  # noqa: F401

from humanoid_bench.rig import UPPER
from humanoid_core.timing import MS, NS
from humanoid_core.types import Mode

#: Aim 50 ms; the bound leaves room for a machine that runs other tests, the figure is in the failure's text.
BOUND_MS = 200.0


def braking_after_ms(graph: Graph, fault_ns: int) -> float:
    """From the fault to the first command that belongs to no policy motion any more (epoch 0), by callback times."""
    first = wait_for(lambda: [h for h in graph.rig.since("robot/joint_command", fault_ns) if h.value.epoch == 0],
                     5, "a command of the gate's own")[0]
    return (first.mono_ns - fault_ns) / MS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_when_the_monitor_is_gone_the_arm_brakes_and_stands(graph: Graph, number: int) -> None:
    graph.move()
    last_permit = graph.rig.heard["safety/permit"][-1].mono_ns
    graph.monitor.signal(number)
    seen = braking_after_ms(graph, last_permit)
    wait_still(graph)
    assert graph.rig.last("safety/gate").reason == "NO_PERMIT"
    assert graph.rig.last("robot/mode").mode == Mode.RUN, "the robot goes on listening to the held set-point"
    assert graph.rig.last("safety/gate").permit_age > 0.03
    check_commands(graph.rig.heard["robot/joint_command"])
    assert seen <= BOUND_MS, f"monitor silent for {seen:.1f} ms before the gate braked"


def test_a_monitor_that_hung_and_came_back_does_not_resume_the_old_motion(graph: Graph) -> None:
    graph.move(epoch=1)
    graph.monitor.signal(signal.SIGSTOP)
    wait_still(graph)
    graph.monitor.signal(signal.SIGCONT)
    graph.wait_safe()
    assert graph.rig.gate("holding"), "epoch 1 was interrupted"
    wait_for(lambda: dict(graph.rig.last("safety/gate").refusals).get("OLD_EPOCH", 0) > 5, 10, "refusals")
    graph.move(epoch=2)
    check_commands(graph.rig.heard["robot/joint_command"])


def test_when_the_policy_dies_the_arm_brakes_and_stands_and_the_level_stays(graph: Graph) -> None:
    graph.move()
    graph.rig.command = None
    wait_still(graph)
    assert graph.rig.last("safety/gate").reason == "NO_COMMAND"
    assert graph.rig.level() == 0
    check_commands(graph.rig.heard["robot/joint_command"])


def test_when_the_robot_state_falls_silent_the_arm_brakes_and_the_level_rises(graph: Graph) -> None:
    graph.move()
    graph.rig.silent.add("ingest/robot_state")
    wait_for(lambda: graph.rig.level() == 3, 10, "DANGER")
    wait_still(graph)
    graph.rig.silent.clear()
    graph.wait_safe()
    graph.move(epoch=2)
    check_commands(graph.rig.heard["robot/joint_command"])


def test_a_gate_that_hung_starts_from_rest_and_the_measured_pose(graph: Graph) -> None:
    graph.move(epoch=1)
    graph.gate.signal(signal.SIGSTOP)
    count = len(graph.rig.heard["robot/joint_command"])
    wait_for(lambda: graph.rig.level() == 0, 5)
    held = graph.rig.q.copy()
    mark = graph.rig.now_ns() + NS // 3
    wait_for(lambda: graph.rig.now_ns() > mark, 5)
    assert len(graph.rig.heard["robot/joint_command"]) <= count + 2
    graph.gate.signal(signal.SIGCONT)
    wait_for(lambda: len(graph.rig.heard["robot/joint_command"]) > count + 40, 10, "commands again")
    after = graph.rig.heard["robot/joint_command"][count + 2:]
    assert all(np.abs(h.value.position - held[UPPER]).max() < 0.05 for h in after), "nothing moves by itself"
    graph.move(epoch=2)


def test_a_gate_that_was_killed_is_named_and_the_policy_loses_its_leave(graph: Graph) -> None:
    graph.move()
    graph.gate.signal(signal.SIGKILL)
    wait_for(lambda: graph.rig.level() == 3, 10, "DANGER")
    assert "DIED: command_gate" in graph.rig.last("safety/status").cause
    assert graph.rig.last("safety/permit").scale == 0.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_gate_that_is_ended_leaves_the_robot_in_hold(graph: Graph, number: int) -> None:
    graph.move()
    graph.gate.signal(number)
    assert graph.gate.wait() == 0
    wait_for(lambda: graph.rig.last("robot/mode").mode == Mode.HOLD, 5, "HOLD")
    assert "Traceback" not in graph.gate.output


def test_permit_and_status_come_at_their_rate_even_when_nothing_else_does(graph: Graph) -> None:
    graph.rig.silent |= {"ingest/robot_state", "twin/state", "ingest/sensor_health"}
    wait_for(lambda: graph.rig.level() == 3, 10, "DANGER")
    start = graph.rig.last("safety/permit")
    wait_for(lambda: graph.rig.last("safety/permit").seq >= start.seq + 100, 10, "a hundred permits")
    end = graph.rig.last("safety/permit")
    per_permit_ms = (end.stamp_ns - start.stamp_ns) / (end.seq - start.seq) / MS
    assert end.scale == 0.0
    assert 9.0 <= per_permit_ms <= 15.0
