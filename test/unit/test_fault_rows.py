"""The rows of the fault matrix: each can be played, says its expectation in known words, and is judged fairly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from humanoid_bench.faults import NOT_RUN, ROWS, SETTINGS
from humanoid_bench.faults.judge import judge
from humanoid_bench.faults.mover import Mover
from humanoid_bench.faults.row import Heard, Row
from humanoid_cli.inject_all import chosen
from humanoid_cli.inject_report import figures, write_report
from humanoid_cli.main import main
from humanoid_core.reasons import REASONS
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS
from humanoid_core.types import GateStatus, JointCommand, Level, Mode, RobotMode, SafetyStatus, Violation

ROBOT = load_robot("g1")
UPPER = list(ROBOT.groups["upper_body"])
NAMES = tuple(ROBOT.joint_names[i] for i in UPPER)
MATRIX = {"D": range(1, 16), "T": range(1, 6), "C": range(1, 8), "P": range(1, 9), "K": range(1, 5), "E": range(9),
          "H": range(1, 3), "B": range(1, 7), "S": range(1, 5)}


def test_every_row_of_the_matrix_is_there() -> None:
    ids = {id.split("-")[0] for id in (*ROWS, *SETTINGS, *NOT_RUN)}
    wanted = {f"{family}{k}" for family, numbers in MATRIX.items() for k in numbers}
    # E5 is no fault of its own: after a reset every other row must pass again (test/faults/test_rows.py)
    assert wanted - ids == {"E5"}


def test_every_expectation_is_a_reason_code() -> None:
    assert {code for row in ROWS.values() for code in row.expect} <= set(REASONS)


def test_rows_are_chosen_by_the_beginning_of_their_ids() -> None:
    assert {row.id for row in chosen("D1")} == {id for id in ROWS if id == "D1" or id.startswith("D1-")}
    assert {row.id[0] for row in chosen("T,K")} == {"T", "K"}
    assert len(chosen("")) == len(ROWS) + len(SETTINGS)


@pytest.mark.parametrize(("arguments", "words"), [
    (["inject", "P1-moniter"], "P1-monitor"), (["inject", "S1"], "needs SROS 2"),
    (["inject", "--all", "--only", "X"], "no fault begins with 'X'")])
def test_what_cannot_be_played_is_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


class Witness:
    """A world in which everything was heard already. ``speeds``: of the gate's command every 10 ms."""

    def __init__(self, level: Level, code: str, speeds: list[float], mode: Mode = Mode.RUN,
                 state: str = "holding") -> None:
        status = SafetyStatus(0, level, False, "", (Violation(code, "x", 0.0, 0.0, 0.8, 0),), 1, 0, 0.0)
        gate = GateStatus(0, state, "", 0, 0, (), 0, 0, 0.0, 0.0)
        commands, q = [], ROBOT.rest[UPPER].copy()
        for k, speed in enumerate(speeds):
            q = q.copy()
            q[3] += speed * 0.01
            v = np.zeros(len(UPPER))
            v[3] = speed
            at = (k + 1) * 10 * MS
            commands.append(Heard(at, JointCommand(at, k, 0, "command_gate", NAMES, q, v)))
        self.heard = {"safety/status": [Heard(20 * MS, status)], "safety/gate": [Heard(20 * MS, gate)],
                      "robot/mode": [Heard(20 * MS, RobotMode(0, mode, "", 1))], "robot/joint_command": commands}
        self.codes: set[str] = set()

    def now_ns(self) -> int:
        return 10**9

    def last(self, topic: str) -> object:
        return self.heard[topic][-1].value


ROW = Row("D0", "", lambda world: None, ("STALE",), within_ms=40.0)


def test_a_named_fault_after_which_the_arms_stand_is_well_answered() -> None:
    answer = judge(Witness(Level.DANGER, "STALE", [0.1, 0.05, 0.0] + [0.0] * 10), ROW, 0, ROBOT)  # type: ignore[arg-type]
    assert answer.verdict == "ok", answer.why
    assert answer.named_ms == 20.0
    assert answer.safe_ms == 10.0
    assert answer.still_ms == 20.0


@pytest.mark.parametrize(("witness", "row", "words"), [
    (Witness(Level.SAFE, "TILT", [0.0] * 12), ROW, "nobody named STALE"),
    (Witness(Level.DANGER, "STALE", [0.1] * 12), ROW, "still moving"),
    (Witness(Level.DANGER, "STALE", [0.0] * 12, Mode.DAMP), ROW, "torque was taken away"),
    (Witness(Level.SAFE, "STALE", [0.0] * 12), replace(ROW, level=Level.DANGER), "not to DANGER"),
    (Witness(Level.DANGER, "STALE", [0.0] * 12), replace(ROW, most=Level.CAUTION), "at most CAUTION"),
    (Witness(Level.SAFE, "STALE", [0.0] * 12), replace(ROW, stops=False), "the work did not go on"),
    (Witness(Level.SAFE, "STALE", [0.0, 5.0] + [0.0] * 10), ROW, "faster than the command limits"),
    (Witness(Level.SAFE, "STALE", [float("nan")] * 12), ROW, "not finite"),
    (Witness(Level.SAFE, "STALE", [0.0] * 12), replace(ROW, look=lambda world, begin: "it smoked"), "it smoked"),
])
def test_what_was_not_answered_well_is_said(witness: Witness, row: Row, words: str) -> None:
    answer = judge(witness, row, 0, ROBOT)  # type: ignore[arg-type]
    assert answer.verdict == "FAILED"
    assert words in answer.why


def test_well_answered_past_the_aim_is_late() -> None:
    witness = Witness(Level.DANGER, "STALE", [0.0] * 12)
    assert judge(witness, replace(ROW, within_ms=5.0), 0, ROBOT).verdict == "LATE"  # type: ignore[arg-type]


def test_the_mover_begins_at_the_set_point_and_stays_inside_the_command_limits() -> None:
    start = ROBOT.stand[UPPER].copy()
    mover, q, v = Mover(ROBOT), start, np.zeros(len(UPPER))
    passing = GateStatus(0, "passing", "", 0, 0, (), 0, 0, 0.0, 0.0)
    for k in range(800):
        (command,) = mover.commands(10**9 + k * 10 * MS, 1, passing, start)
        assert np.abs(command.position - q).max() < 0.02
        assert (np.abs(command.velocity - v) <= ROBOT.command_acceleration[UPPER] * 0.01 + 1e-9).all()
        q, v = command.position, command.velocity
    assert command.epoch == 1


def test_the_mover_takes_up_an_interrupted_motion_only_when_it_is_willing() -> None:
    mover, q = Mover(ROBOT), ROBOT.rest[UPPER].copy()
    held = GateStatus(0, "holding", "NO_PERMIT", 0, 0, (), 0, 0, 0.0, 0.0)
    mover.commands(10**9, 1, held, q)
    mover.willing = False
    assert {c.epoch for k in range(100) for c in mover.commands(10**9 + k * 10 * MS, 1, held, q)} == {1}
    mover.willing = True
    assert mover.commands(3 * 10**9, 1, held, q)[0].epoch == 2


def test_the_report_holds_every_row(tmp_path) -> None:  # type: ignore[no-untyped-def]
    answer = judge(Witness(Level.DANGER, "STALE", [0.0] * 12), ROW, 0, ROBOT)  # type: ignore[arg-type]
    write_report(tmp_path, [answer], 1.0)
    page = (tmp_path / "faults.html").read_text()
    assert "http" not in page
    assert "D0" in page
    assert figures([answer], 1.0)["rows_failed"].value == 0
