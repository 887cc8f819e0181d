"""What the demo says of a run: the one reason, the figures and the page, from records made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from humanoid_cli.asker import Answer
from humanoid_cli.figures import Figure, document
from humanoid_cli.measure import Outcome, figures, judge, latencies, levels, moved_after, outcome, rate_ok
from humanoid_cli.report import Told, write_report
from humanoid_cli.session import Record
from humanoid_cli.supervisor import Event
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS
from humanoid_core.types import (
    ActionChunk,
    JointCommand,
    JointSample,
    Level,
    ObjectTruth,
    SafetyStatus,
    SimTruth,
)
from humanoid_ros.watcher import Rate, active_rate, arrival_rate

ROBOT = load_robot("g1")
START = 1_000 * NS
TOUCH = "touch the blue ball with your left hand"


def truth(t: float, distance: float, fallen: bool = False) -> tuple[int, SimTruth]:
    at = START + round(t * NS)
    ball = ObjectTruth("blue ball", np.array([0.33, 0.1, 0.81]), np.array([1.0, 0, 0, 0]), distance, 0.4)
    return at, SimTruth(at, np.array([0, 0, 0.75]), np.array([1.0, 0, 0, 0]), objects=(ball,), fallen=fallen)


def joints(t: float, shift: float) -> tuple[int, JointSample]:
    at = START + round(t * NS)
    return at, JointSample(at, ROBOT.joint_names, ROBOT.rest + shift)


def status(t: float, level: Level, cause: str = "") -> tuple[int, SafetyStatus]:
    at = START + round(t * NS)
    return at, SafetyStatus(at, level, False, cause, (), 0, 0, 0.0)


def record(**change: Any) -> Record:
    """A good run of 4 s that touches the ball."""
    times = np.arange(0.0, 4.0, 0.05)
    good = Record(
        start_ns=START, end_ns=START + 4 * NS, ready_after=3.0, answer=Answer(True, "", "touched", 3.0),
        cpu={"sim_robot": 0.3, "command_gate": 0.1}, own_cpu=0.05,
        rates=[Rate("joint_states", 199.0, 200.0, 800, 8.0), Rate("twin/state", 80.0, 100.0, 320, 40.0)],
        seen={"sim/truth": [truth(t, max(0.3 - 0.1 * t, 0.0)) for t in times],
              "joint_states": [joints(t, 0.1 * math.sin(t)) for t in times],
              "safety/status": [status(t, Level.SAFE) for t in times]})
    for key, value in change.items():
        setattr(good, key, value)
    return good


def verdict_of(r: Record, text: str = TOUCH) -> Outcome:
    return outcome(r, judge(r, ROBOT, text), ROBOT)


def test_steps_are_judged_one_after_the_other() -> None:
    both = judge(record(), ROBOT, f"{TOUCH}, then {TOUCH}")
    assert both is not None
    assert both.success
    half = judge(record(), ROBOT, f"{TOUCH}, then touch the blue ball with your right hand")
    assert half is not None
    assert not half.success
    assert "left hand touched the blue ball, then the right hand came no nearer" in half.reason
    assert judge(record(), ROBOT, f"{TOUCH}, then sing") is None


def test_a_good_run_is_a_success_with_its_distance() -> None:
    out = verdict_of(record())
    assert out.success
    assert out.side == "left"
    assert out.distance == pytest.approx(0.0, abs=1e-9)


def test_what_the_policy_claims_does_not_count_against_the_truth() -> None:
    r = record()
    r.seen["sim/truth"] = [truth(t, 0.2) for t in np.arange(0.0, 4.0, 0.05)]
    out = verdict_of(r)
    assert not out.success
    assert "20.0 cm" in out.reason


def test_a_fall_is_a_failure_even_when_the_hand_touched() -> None:
    r = record()
    r.seen["sim/truth"].append(truth(3.95, 0.0, fallen=True))
    out = verdict_of(r)
    assert (out.success, out.code) == (False, "FALLEN")
    assert "3.9" in out.reason or "4.0" in out.reason


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"answer": Answer(False, "NOT_FOUND", "no blue ball in the picture", 1.0)}, "NOT_FOUND", ["no blue ball"]),
        ({"answer": None, "timed_out": True}, "TIMEOUT", ["did not end"]),
        ({"not_ready": ("twin_sync (twin/state)",), "end_ns": 0}, "TIMEOUT", ["twin_sync (twin/state)"]),
        ({"interrupted": True}, "CANCELLED", ["interrupted"]),
        ({"deaths": [(math.nan, Event("ended", "vla_policy", 0.0, 2), "refused: x")]}, "DIED",
         ["exit code 2", "refused: x"]),
        ({"deaths": [(3.2, Event("ended", "sim_robot", 0.0, -11), "")]}, "DIED", ["sim_robot died (SIGSEGV) at 3.2 s"]),
    ],
)
def test_each_failure_has_its_code_and_its_words(change: dict[str, Any], code: str, words: list[str]) -> None:
    out = verdict_of(record(**change))
    assert (out.success, out.code) == (False, code)
    for word in words:
        assert word in out.reason


@pytest.mark.parametrize(("shift", "held"), [(0.001, "the robot held"), (0.4, "the robot still moved by 0.40 rad")])
def test_after_a_kill_it_is_told_whether_the_robot_held(shift: float, held: str) -> None:
    r = record(deaths=[(1.0, Event("ended", "command_gate", 0.0, -9), "")])
    r.seen["joint_states"] = [joints(t, 0.0 if t < 3.0 else shift) for t in np.arange(0.0, 4.0, 0.02)]
    out = verdict_of(r)
    assert out.reason == f"command_gate died (SIGKILL) at 1.0 s; {held}, did not fall"


def test_legs_that_balance_are_no_motion() -> None:
    r = record()
    posture = ROBOT.rest.copy()
    legs = list(ROBOT.groups["legs"])
    rows = []
    for k in range(50):
        moved = posture.copy()
        moved[legs] += 0.3 * (k % 2)
        rows.append((START + k * NS // 10, JointSample(START, ROBOT.joint_names, moved)))
    r.seen["joint_states"] = rows
    assert moved_after(r, ROBOT, 0.0) == pytest.approx(0.0)


def test_neighbouring_levels_of_one_cause_are_one_span() -> None:
    r = record()
    r.seen["safety/status"] = [status(0.0, Level.SAFE), status(0.1, Level.SAFE), status(0.2, Level.CAUTION, "TILT"),
                               status(0.3, Level.CAUTION, "TILT"), status(0.4, Level.SAFE)]
    assert [(s.level, s.cause) for s in levels(r)] == [(Level.SAFE, ""), (Level.CAUTION, "TILT"), (Level.SAFE, "")]


def chunk(at: float, epoch: int) -> tuple[int, ActionChunk]:
    stamp = START + round(at * NS)
    return stamp + NS // 10, ActionChunk(stamp, 1, epoch, "p", TOUCH, ("waist_yaw_joint",), 0.1, np.zeros((3, 1)), 1.0,
                                         stamp + NS // 50, stamp + NS // 20)


def command(at: float, epoch: int) -> tuple[int, JointCommand]:
    stamp = START + round(at * NS)
    return stamp, JointCommand(stamp, 1, epoch, "policy", ("waist_yaw_joint",), np.zeros(1))


def test_latency_counts_from_the_picture_to_the_first_command_of_that_plan() -> None:
    r = record()
    r.seen["vla/action_chunk"] = [chunk(1.0, 4)]
    r.seen["robot/joint_command"] = [command(1.05, 4), command(1.11, 3), command(1.13, 4), command(1.14, 4)]
    timing = latencies(r)
    assert timing.made == pytest.approx([50.0])
    assert timing.received == pytest.approx([100.0])
    assert timing.commanded == pytest.approx([130.0])


def test_a_plan_that_never_reached_the_robot_has_no_command_latency() -> None:
    r = record()
    r.seen["vla/action_chunk"] = [chunk(1.0, 4)]
    assert np.isnan(latencies(r).commanded).all()


def test_rates_count_intervals_and_judge_by_the_table() -> None:
    times = [START + k * NS // 100 for k in range(101)]
    rate = arrival_rate(TOPICS["twin/state"], times, START, START + NS)
    assert rate.hz == pytest.approx(100.0)
    assert rate_ok(rate)
    assert not rate_ok(arrival_rate(TOPICS["twin/state"], times[::2], START, START + NS))
    assert not rate_ok(arrival_rate(TOPICS["twin/state"], [], START, START + NS))


def test_a_topic_that_pauses_is_judged_while_it_speaks() -> None:
    speaking = [START + k * NS // 100 for k in range(100)]
    later = [t + 5 * NS for t in speaking]
    rate = active_rate(TOPICS["vla/joint_command"], speaking + later, START, START + 10 * NS, NS // 10)
    assert rate.hz == pytest.approx(100.0)
    assert rate.count == 200


def test_figures_name_every_rate_and_process() -> None:
    r = record()
    rows = figures(r, verdict_of(r))
    assert rows["task_success"].value is True
    assert rows["rate twin/state"] == Figure(80.0, "Hz", 100.0, 320)
    assert rows["graph_cores"].value == pytest.approx(0.4)
    assert rows["graph_cores"].aim == 1.5


def test_json_has_no_nan_and_the_agreed_shape() -> None:
    whole = document({"x": Figure(math.nan, "s", 1.0, 3)}, runs=[{"d": math.inf}])
    assert whole["figures"] == {"x": {"value": None, "unit": "s", "aim": 1.0, "n": 3}}
    assert whole["runs"] == [{"d": None}]
    assert whole["machine"]["cores"] >= 1


@pytest.mark.parametrize("change", [{}, {"end_ns": 0, "not_ready": ("a (b)",)}, {"seen": {}},
                                    {"deaths": [(1.0, Event("ended", "command_gate", 0.0, -9), "")]}])
def test_the_page_stands_alone_and_escapes_what_people_wrote(change: dict[str, Any]) -> None:
    r = record(**change)
    out = verdict_of(r)
    text = "<script>alert(1)</script> touch the blue ball"
    page = write_report(Told(text, 7, ROBOT, "blue ball"), r, out, figures(r, out), None)
    assert "<script>" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert ("Success" in page) == out.success
