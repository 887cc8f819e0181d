"""The rows of `humanoid-twin inject`: each can be played and says its expectation in known words."""

from __future__ import annotations

import numpy as np
import pytest

from humanoid_cli.fault_rows import ROWS, Row
from humanoid_cli.inject import judge
from humanoid_cli.main import main
from humanoid_cli.voice import Heard
from humanoid_core.reasons import REASONS
from humanoid_core.timing import MS
from humanoid_core.types import GateStatus, JointCommand, Level, Mode, RobotMode, SafetyStatus, Violation
from sim_nodes.core.fault_list import FAULTS


@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if row.kind == "sensor"])
def test_the_simulator_knows_the_fault_and_its_value(name: str) -> None:
    row = ROWS[name]
    assert row.name in FAULTS
    assert FAULTS[row.name].low <= row.value <= FAULTS[row.name].high


def test_every_expectation_is_a_reason_code() -> None:
    assert {code for row in ROWS.values() for code in row.expect} <= set(REASONS)


def test_an_unknown_row_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inject", "P1-moniter"]) == 2
    assert "P1-monitor" in capsys.readouterr().err


class Listener:
    """What a Voice heard, written by hand."""

    def __init__(self, level: Level, code: str, speeds: list[float], mode: Mode = Mode.RUN) -> None:
        names = ("left_elbow_joint",)
        status = SafetyStatus(0, level, False, "", (Violation(code, "x", 0.0, 0.0, 0.8, 0),), 1, 0, 0.0)
        gate = GateStatus(0, "holding", "", 0, 0, (), 0, 0, 0.0, 0.0)
        self.heard = {
            "safety/status": [Heard(20 * MS, status)],
            "safety/gate": [Heard(20 * MS, gate)],
            "robot/mode": [Heard(20 * MS, RobotMode(0, mode, "", 1))],
            "robot/joint_command": [
                Heard((k + 1) * 10 * MS, JointCommand(0, k, 0, "g", names, np.zeros(1), np.array([v])))
                for k, v in enumerate(speeds)],
        }

    def last(self, topic: str) -> object:
        return self.heard[topic][-1].value


ROW = Row("", "sensor", "stop", "joint_states", 0.0, ("STALE",))


def test_a_named_fault_after_which_the_arms_stand_is_well_answered() -> None:
    answer = judge(Listener(Level.DANGER, "STALE", [0.5, 0.3, 0.0, 0.0]), ROW, 0)  # type: ignore[arg-type]
    assert answer.good
    assert answer.alarm_ms == 20.0
    assert answer.still_ms == 20.0


@pytest.mark.parametrize(("listener", "words"), [
    (Listener(Level.SAFE, "TILT", [0.0]), "nobody named STALE"),
    (Listener(Level.DANGER, "STALE", [0.1, 0.5]), "still moving"),
    (Listener(Level.DANGER, "STALE", [0.0], Mode.DAMP), "torque was taken away"),
])
def test_what_was_not_answered_well_is_said(listener: Listener, words: str) -> None:
    answer = judge(listener, ROW, 0)  # type: ignore[arg-type]
    assert not answer.good
    assert words in answer.why
