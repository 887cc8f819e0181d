"""The two safety nodes beside a robot that is played: a motion passes, a stop latches, a reset re-arms."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import EXECUTABLES, Process, wait_for
from humanoid_twin.srv import ResetEStop
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from safety_graph import Graph, check_commands, graph_fixture  # noqa: F401

from humanoid_bench.rig import ELBOW, NAMES, ROBOT, UPPER, Rig, Speaker
from humanoid_core.types import EStopState, Level, Mode
from humanoid_ros.params import from_mapping
from safety_nodes.params import GateParams, MonitorParams

WRIST = NAMES.index("left_wrist_roll_joint")
ROOT = Path(__file__).resolve().parents[2]


#: How an emergency may end while the robot stands; never DAMP.
AT_REST = (Mode.HOLD, Mode.CROUCH)

#: What a pause of the machine that runs the tests may rightly raise.
TIMING = {"STALE", "NO_TWIN", "OVERRUN", "DIED"}


@pytest.fixture
def rig(graph: Graph) -> Rig:
    return graph.rig


def call(speaker: Speaker, kind: Any, name: str, request: Any) -> Any:
    client = speaker.node.create_client(kind, name)
    assert client.wait_for_service(timeout_sec=10.0)
    future = client.call_async(request)
    return wait_for(lambda: future.result() if future.done() else None, 10, name)


def test_a_motion_reaches_the_robot_as_it_was_asked_for(graph: Graph) -> None:
    graph.move(epoch=1)
    rig = graph.rig
    wait_for(lambda: abs(rig.q[UPPER][ELBOW] - ROBOT.stand[UPPER][ELBOW]) > 0.3, 20, "the elbow far from its start")
    status = rig.last("safety/gate")
    assert status.passed > 20
    assert {code for code, _ in status.refusals} <= {"OLD_EPOCH", "NO_PERMIT", "NO_STATE", "STALE"}
    assert rig.last("robot/joint_command").source == "command_gate"
    check_commands(rig.heard["robot/joint_command"])


def test_stop_reset_and_motion_again(graph: Graph) -> None:
    """E1, E3, E4: pressed -> latched; no reset while pressed; then a reset re-arms and only a new motion moves."""
    rig = graph.rig
    button = Speaker(rig.node.context.get_domain_id(), "button")
    seq, nonce = count(1), count(1000)

    def press(pressed: bool) -> None:
        button.say("safety/estop", EStopState(button.now_ns(), "panel", pressed, next(seq)))

    def reset(operator: str = "Ada") -> Any:
        return call(rig, ResetEStop, "safety/reset", ResetEStop.Request(nonce=next(nonce), operator_name=operator))

    def beating(condition: Callable[[], Any], pressed: bool = False) -> Callable[[], Any]:
        def poll() -> Any:
            press(pressed)
            return condition()
        return poll

    try:
        wait_for(beating(graph.mover(epoch=1)), 20, "motion")
        wait_for(beating(lambda: rig.gate("latched") and rig.last("robot/mode").mode in AT_REST, True), 20, "a rest")
        press(True)
        refused = reset()
        assert not refused.accepted
        assert refused.reason.startswith("RESET_PRESSED")
        wait_for(beating(lambda: rig.last("safety/status").estop_latched), 5)
        assert reset("").reason.startswith("RESET_OPERATOR")
        answer = wait_for(beating(lambda: next((a for a in [reset()] if a.accepted), None)), 20, "an accepted reset")
        assert answer.reason == ""
        wait_for(beating(lambda: rig.level() == Level.SAFE and rig.gate("holding")), 20, "SAFE again")
        assert rig.elbow_speed() == 0.0, "epoch 1 still comes in, and is not followed"
        wait_for(beating(graph.mover(epoch=2)), 20, "motion under a new epoch")
    finally:
        button.close()


def test_a_limit_cannot_be_loosened_while_the_robot_moves(rig: Rig) -> None:
    parameter = Parameter(name="tilt_danger", value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE,
                                                                   double_value=1.4))
    answer = call(rig, SetParameters, "safety_monitor/set_parameters", SetParameters.Request(parameters=[parameter]))
    assert not answer.results[0].successful


def test_sensor_noise_and_moving_arms_raise_no_alarm(graph: Graph) -> None:
    rig, rng = graph.rig, np.random.default_rng(3)
    graph.move(epoch=1)
    seen = len(rig.heard["safety/status"])

    def disturb() -> bool:
        # rad/s and N m; twenty times the velocity noise of the simulated robot's drives
        rig.state_changes = {"velocity": rng.normal(0.0, 0.1, ROBOT.n), "effort": rng.normal(0.0, 2.0, ROBOT.n)}
        return len(rig.heard["safety/status"]) > seen + 500

    wait_for(disturb, 30, "five seconds of status")
    alarms = {v.code for h in rig.heard["safety/status"][seen:] for v in h.value.violations}
    assert alarms - TIMING == set()


@pytest.mark.parametrize(("node", "cls"), [("safety_monitor", MonitorParams), ("command_gate", GateParams)])
def test_the_yaml_says_what_the_dataclass_says(node: str, cls: type) -> None:
    content = yaml.safe_load((ROOT / "config" / "nodes" / f"{node}.yaml").read_text())
    assert from_mapping(node, cls, content["/**"]["ros__parameters"]) == cls()
    assert set(content["/**"]["ros__parameters"]) == set(cls.__dataclass_fields__)  # type: ignore[attr-defined]


def test_the_keyboard_stops_and_its_end_does_not_release(rig: Rig, run_process: Callable[..., Process]) -> None:
    program = str(EXECUTABLES / "humanoid-twin")
    rig.act(epoch=1)
    stop = run_process([program, "estop", "--press"])
    wait_for(lambda: rig.gate("latched") and rig.last("robot/mode").mode in AT_REST, 30, "a rest")
    stop.signal(signal.SIGINT)
    assert stop.wait() == 0
    reset = run_process([program, "estop", "--reset", "--operator", "Ada"])
    assert reset.wait(30) == 1
    assert "RESET_PRESSED" in reset.output
    assert rig.level() == Level.EMERGENCY


def test_a_person_jogs_a_joint_and_gives_the_robot_back(graph: Graph, run_process: Callable[..., Process]) -> None:
    """The policy is refused meanwhile, and moves again only on a new motion."""
    rig = graph.rig
    graph.move(epoch=1)
    start = rig.q[UPPER][WRIST]
    jog = run_process([str(EXECUTABLES / "humanoid-twin"), "jog", "left_wrist_roll_joint", "0.4", "--seconds", "2"])
    wait_for(lambda: rig.gate("jogging"), 30, "a jogging gate")
    assert jog.wait(40) == 0, jog.output
    assert rig.q[UPPER][WRIST] > start + 0.1
    check_commands(rig.heard["robot/joint_command"])
    wait_for(lambda: rig.level() == Level.SAFE and rig.gate("holding"), 20, "SAFE, and the old motion not followed")
    wait_for(graph.mover(epoch=2), 20, "motion under a new epoch")


def test_the_keyboard_stops_resets_and_leaves_without_a_stop_behind(graph: Graph) -> None:
    """Keys through a pseudo-terminal: space, r, q."""
    rig = graph.rig
    master, slave = pty.openpty()
    keys = subprocess.Popen([str(EXECUTABLES / "humanoid-twin"), "estop", "--operator", "Ada"], stdin=slave,
                            stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    said = bytearray()

    def read() -> str:
        with contextlib.suppress(OSError):  # its end closes the terminal
            while select.select([master], [], [], 0.0)[0]:
                said.extend(os.read(master, 4096))
        return said.decode(errors="replace")

    def until(condition: Callable[[], Any], what: str) -> None:
        wait_for(lambda: (read(), condition())[1], 40, what)

    try:
        until(lambda: "sign off" in read() and "SAFE" in read(), "heartbeats")
        os.write(master, b" ")
        until(lambda: rig.gate("latched"), "a latched gate")
        os.write(master, b"q")
        until(lambda: "not while the stop is pressed" in read(), "the refusal to leave")
        os.write(master, b"r")
        until(lambda: "reset accepted" in read(), "the reset")
        until(lambda: rig.level() == Level.SAFE and rig.gate("holding"), "SAFE again")
        os.write(master, b"q")
        until(lambda: keys.poll() is not None, "its end")
        assert keys.returncode == 0
        seen = len(rig.heard["safety/status"])
        wait_for(lambda: len(rig.heard["safety/status"]) > seen + 100, 20, "a second without it")
        assert rig.level() < Level.EMERGENCY
    finally:
        if keys.poll() is None:
            keys.kill()
        os.close(master)
