"""Compound instructions: one step after the other, one more try, and a report that names the step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from unit.test_vla_session import World

from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand
from sim_nodes.core.judge import Judge
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision
from vla_nodes.core.steps import MOST, Steps, split

ROBOT = load_robot("g1")
TOUCH, WAVE = "touch the red cube with your left hand", "wave with your right hand"


class StepWorld(World):
    """``answers[text]``: what the policy decides, one for each time it is started with that text; the last stays."""

    def __init__(self) -> None:
        super().__init__()
        self.session = self.steps = Steps(self.session)  # type: ignore[assignment]
        self.answers: dict[str, list[str]] = {}
        self.seen: list[tuple[str, float]] = []

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            super().run(0.01)
            status = self.session.status(self.now)
            self.seen.append((status.state, status.progress))

    def hold(self, state: str = "", **fields: object) -> Decision:
        """What the policy decides for the step that was started last."""
        if state:
            return super().hold(state, **fields)
        text = self.starts[-1]
        kinds = self.answers.get(text, ["acting"])
        kind = kinds[min(self.starts.count(text), len(kinds)) - 1]
        if kind == "done":
            return self.hold("done", succeeded=True, finished=True, progress=1.0, detail="it is done")
        if kind == "acting":
            return self.hold("acting", progress=0.5)
        return self.hold("failed", reason_code=kind, detail=f"because {kind}", finished=True)


@pytest.mark.parametrize(("text", "steps"), [
    (f"{TOUCH}, then wave", (TOUCH, "wave")),
    ("wave and then go back to rest", ("wave", "go back to rest")),
    ("Touch the red cube. Then wave. After that, rest.", ("Touch the red cube", "wave", "rest")),
    ("raise your left hand; lower your arms", ("raise your left hand", "lower your arms")),
    ("first wave, next rest", ("first wave", "rest")),
    ("then wave", ("then wave",)),
    ("reach out and touch the red cube", ("reach out and touch the red cube",)),
    ("wave.", ("wave.",)),
    ("", ("",)),
])  # fmt: skip
def test_what_stands_between_steps(text: str, steps: tuple[str, ...]) -> None:
    assert split(text) == steps


def test_steps_are_done_one_after_the_other() -> None:
    w = StepWorld()
    w.answers = {TOUCH: ["done"], WAVE: ["acting"]}
    number = w.session.instruct(f"{TOUCH}, then {WAVE}", w.now)
    w.run(2.0)
    assert w.starts == [TOUCH, WAVE]
    assert w.session.outcome(number) is None
    status = w.session.status(w.now)
    assert status.instruction == f"{TOUCH}, then {WAVE}"
    assert "step 2 of 2" in status.detail
    assert w.chunks[-1].instruction == WAVE
    w.answers[WAVE] = ["done"]
    w.run(1.0)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert (outcome.success, outcome.reason_code) == (True, "")
    assert "2 steps" in outcome.detail
    assert "done" not in {state for state, progress in w.seen if progress < 1.0}, "half of it is not done"
    progress = [p for _, p in w.seen]
    assert progress == sorted(progress)


def test_a_step_that_fails_is_tried_once_more() -> None:
    w = StepWorld()
    w.answers = {TOUCH: ["UNREACHABLE", "done"], WAVE: ["done"]}
    number = w.session.instruct(f"{TOUCH}, then {WAVE}", w.now)
    w.run(3.0)
    assert w.starts == [TOUCH, TOUCH, WAVE]
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.success


def test_a_step_that_fails_twice_ends_it_with_a_report() -> None:
    w = StepWorld()
    w.answers = {TOUCH: ["UNREACHABLE"], WAVE: ["done"]}
    number = w.session.instruct(f"{TOUCH}, then {WAVE}", w.now)
    w.run(3.0)
    assert w.starts == [TOUCH, TOUCH]
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert (outcome.success, outcome.reason_code) == (False, "UNREACHABLE")
    for word in ("step 1 of 2", TOUCH, "tried again", f"not done: '{WAVE}'", "because UNREACHABLE"):
        assert word in outcome.detail
    assert not w.session.busy


def test_a_step_that_is_not_understood_is_not_repeated() -> None:
    w = StepWorld()
    w.refused = Refusal("NOT_UNDERSTOOD", "no verb")
    number = w.session.instruct("sing a song, then wave", w.now)
    w.run(1.0)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.reason_code == "NOT_UNDERSTOOD"
    assert "step 1 of 2" in outcome.detail
    assert w.starts == ["sing a song"]
    assert w.commands == []


def test_one_step_is_what_it_was() -> None:
    w = StepWorld()
    w.answers = {WAVE: ["UNREACHABLE"]}
    number = w.session.instruct(WAVE, w.now)
    w.run(2.0)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert (outcome.reason_code, outcome.detail) == ("UNREACHABLE", "because UNREACHABLE")
    assert w.starts == [WAVE]


def test_a_new_instruction_and_cancelling_end_all_steps() -> None:
    w = StepWorld()
    first = w.session.instruct(f"{TOUCH}, then {WAVE}", w.now)
    w.run(0.5)
    second = w.session.instruct(f"{WAVE}, then {TOUCH}", w.now)
    w.run(0.5)
    w.session.cancel(w.now)
    w.run(1.0)
    for number in (first, second):
        outcome = w.session.outcome(number)
        assert outcome is not None
        assert outcome.reason_code == "CANCELLED"
    assert w.starts == [TOUCH, WAVE]
    assert not w.session.busy


def test_the_time_is_for_all_steps() -> None:
    w = StepWorld()
    w.answers = {TOUCH: ["done"], WAVE: ["acting"]}
    number = w.session.instruct(f"{TOUCH}, then {WAVE}", w.now, timeout=1.5)
    w.run(3.0)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.reason_code == "TIMEOUT"
    assert "step 2 of 2" in outcome.detail
    assert outcome.seconds == pytest.approx(1.5, abs=0.05)


def test_too_many_steps_are_refused_before_anything_moves() -> None:
    w = StepWorld()
    number = w.session.instruct(" then ".join([WAVE] * (MOST + 1)), w.now)
    w.run(0.5)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.reason_code == "NOT_UNDERSTOOD"
    assert w.starts == []


def test_the_robot_touches_and_then_waves_without_a_jump() -> None:
    """The whole house in simulated time, judged from the truth; then another instruction in mid-motion."""
    with Lockstep(ROBOT, seed=7, policy="classical") as house:
        judges = [Judge(ROBOT, "touch", "red cube", "left"), Judge(ROBOT, "wave", "", "right")]
        commands: list[JointCommand] = []
        house.listen("vla/joint_command", lambda command, now: commands.append(command))
        house.run(0.7)
        assert house.policy is not None
        session = house.policy.session
        number = house.policy.instruct(f"{TOUCH}, then {WAVE}", house.now_ns)

        def over() -> bool:
            for judge in judges:
                judge.feed(house.truth.read())
            return session.outcome(number) is not None

        assert house.run(60.0, over)
        assert session.outcome(number).success  # type: ignore[union-attr]
        assert [judge.verdict().success for judge in judges] == [True, True]
        house.instruct("raise your left hand")
        house.run(1.5)
        house.instruct("go back to rest")
        house.run(2.0)
    upper = list(ROBOT.groups["upper_body"])
    step = np.array([np.abs(b.position - a.position) / ((b.stamp_ns - a.stamp_ns) / NS)
                     for a, b in itertools.pairwise(commands) if b.stamp_ns - a.stamp_ns < 15 * MS])
    assert np.all(step <= ROBOT.command_velocity[upper] * 1.01)
    assert len({c.epoch for c in commands}) >= 4
