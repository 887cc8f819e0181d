"""The two safety nodes beside a robot that is played: a motion passes, a stop latches, a reset re-arms."""

from __future__ import annotations

import signal
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
from rig import ELBOW, ROBOT, UPPER, Rig, Speaker
from safety_graph import Graph, check_commands, graph_fixture  # noqa: F401

from humanoid_core.types import EStopState, Level, Mode
from humanoid_ros.params import from_mapping
from safety_nodes.params import GateParams, MonitorParams

ROOT = Path(__file__).resolve().parents[2]


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
        wait_for(beating(lambda: rig.gate("latched") and rig.last("robot/mode").mode == Mode.HOLD, True), 20, "HOLD")
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
        rig.state_changes = {"velocity": rng.normal(0.0, 0.3, ROBOT.n), "effort": rng.normal(0.0, 2.0, ROBOT.n)}
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
    wait_for(lambda: rig.gate("latched") and rig.last("robot/mode").mode == Mode.HOLD, 30, "HOLD")
    stop.signal(signal.SIGINT)
    assert stop.wait() == 0
    reset = run_process([program, "estop", "--reset", "--operator", "Ada"])
    assert reset.wait(30) == 1
    assert "RESET_PRESSED" in reset.output
    assert rig.level() == Level.EMERGENCY
