"""From instruction to outcome: leave to move, interruptions, epochs and what people are told."""

from __future__ import annotations

import numpy as np

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import ActionChunk, GateStatus, JointCommand, Level, Permit, RobotState
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision, Observation
from vla_nodes.core.session import Answer, Session, SessionParams

ROBOT = load_robot("g1")
UPPER = list(ROBOT.groups["upper_body"])
NAMES = tuple(ROBOT.joint_names[i] for i in UPPER)
T0 = 50 * NS


class World:
    """Drives a session: a monitor that permits, a gate that passes, a policy that holds a posture."""

    def __init__(self, **params: float) -> None:
        self.session = Session(ROBOT, "test", 0.2, SessionParams(**params))  # type: ignore[arg-type]
        self.now = T0
        self.level, self.scale, self.accept_new, self.silent = Level.SAFE, 1.0, True, False
        self.gate = ("passing", "")
        self.measured = ROBOT.rest.copy()
        self.decision: Decision | None = None
        self.missing: Refusal | None = None
        self.refused: Refusal | None = None
        self.commands: list[JointCommand] = []
        self.chunks: list[ActionChunk] = []
        self.starts: list[str] = []

    def state(self) -> RobotState:
        n, z = ROBOT.n, np.zeros(3)
        return RobotState(self.now, 1, self.measured, np.zeros(n), np.zeros(n), np.zeros(n),
                          np.array([1.0, 0, 0, 0]), z, z, np.zeros((2, 3)), 48.0, 1.0)  # fmt: skip

    def hold(self, state: str = "acting", **fields: object) -> Decision:
        rows = np.repeat(self.measured[UPPER][None, :], 60, axis=0)
        return Decision(state, joint_names=NAMES, positions=rows, **fields)  # type: ignore[arg-type]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.now += 10 * MS
            if not self.silent:
                permit = Permit(self.now, 1, self.level, self.scale, 0.03, self.accept_new, False, 0)
                self.session.hear_permit(permit, self.now)
            self.session.hear_gate(GateStatus(self.now, *self.gate, 0, 0, (), 0, 0, 0.0, 0.0))
            command = self.session.tick(self.now, self.now)
            if command is not None:
                self.commands.append(command)
            look = self.session.look(self.now)
            if look is None:
                continue
            if look.start:
                self.starts.append(look.instruction)
            if look.start and self.refused is not None:
                self.session.answer(Answer(look, refused=self.refused), self.now)
            elif self.missing is not None:
                self.session.answer(Answer(look, missing=self.missing), self.now)
            else:
                s = self.state()
                seen = Observation(self.now, self.now, np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.float32),
                                   np.eye(3), s, s, look.commanded)  # fmt: skip
                chunk = self.session.answer(
                    Answer(look, observation=seen, decision=self.decision or self.hold(), begin_ns=self.now,
                           end_ns=self.now + 20 * MS), self.now)  # fmt: skip
                self.chunks += [chunk] if chunk is not None else []

    @property
    def status(self) -> tuple[str, str]:
        s = self.session.status(self.now)
        return s.state, s.reason_code


def test_idle_says_nothing_and_commands_nothing() -> None:
    w = World()
    w.run(1.0)
    assert w.commands == []
    assert w.status == ("idle", "")


def test_an_instruction_is_followed_until_the_policy_says_it_is_done() -> None:
    w = World()
    number = w.session.instruct("wave", w.now)
    w.run(1.0)
    assert w.starts == ["wave"], "the policy is started once"
    assert len(w.commands) > 50
    assert {c.epoch for c in w.commands} == {c.epoch for c in w.chunks} == {1}
    assert w.session.outcome(number) is None
    w.decision = w.hold("done", succeeded=True, progress=1.0)
    w.run(0.5)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.success
    before = len(w.commands)
    w.run(0.5)
    assert len(w.commands) > before, "the hand is still on its way back"
    w.decision = w.hold("done", succeeded=True, finished=True)
    w.run(0.5)
    before = len(w.commands)
    w.run(0.5)
    assert len(w.commands) == before
    assert w.status == ("done", "")


def test_nothing_begins_without_leave() -> None:
    cases = (Level.DANGER, False, False), (Level.WARNING, False, False), (Level.SAFE, True, True)
    for level, accept, silent in cases:
        w = World(patience=2.0)
        w.level, w.accept_new, w.silent = level, accept, silent
        number = w.session.instruct("wave", w.now)
        w.run(1.0)
        assert w.commands == []
        assert w.status == ("waiting", "NO_PERMIT")
        w.run(2.0)
        outcome = w.session.outcome(number)
        assert outcome is not None
        assert (outcome.success, outcome.reason_code) == (False, "NO_PERMIT")


def test_while_nothing_new_may_begin_the_chunk_ends_and_the_task_waits() -> None:
    """WARNING: motion goes on to the end of its chunk and no further; afterwards the task goes on, as often as it
    takes."""
    w = World(resumes=1)
    w.session.instruct("wave", w.now)
    w.run(1.0)
    for _ in range(4):
        w.level, w.accept_new, w.scale = Level.WARNING, False, 0.5
        chunks, commands = len(w.chunks), len(w.commands)
        w.run(0.3)
        assert len(w.commands) > commands, "the chunk under way is not cut short"
        assert w.status[1] == "NO_PERMIT"
        w.run(3.0)
        assert len(w.chunks) == chunks, "none is begun"
        commands = len(w.commands)
        w.run(1.0)
        assert len(w.commands) == commands, "it came to rest"
        assert w.status == ("waiting", "NO_PERMIT")
        w.level, w.accept_new, w.scale = Level.SAFE, True, 1.0
        w.run(2.0)
        assert len(w.chunks) > chunks
        assert w.status == ("acting", "")
    assert dict(w.session.status(w.now).refusals)["NO_PERMIT"] >= 4
    assert not w.session.outcomes


def test_lost_leave_stops_at_once_and_resumes_from_the_measured_pose() -> None:
    w = World()
    w.session.instruct("wave", w.now)
    w.run(1.0)
    w.level = Level.DANGER
    before = len(w.commands)
    w.run(0.5)
    assert len(w.commands) == before
    assert w.status == ("waiting", "NO_PERMIT")
    w.measured = ROBOT.rest.copy()
    w.measured[UPPER] += 0.1  # the robot sank while it was held
    w.level = Level.SAFE
    w.run(0.2)
    assert len(w.commands) == before, "leave must last a little before motion resumes"
    w.run(1.0)
    again = w.commands[before:]
    assert w.starts == ["wave", "wave"]
    assert again[0].epoch > w.commands[0].epoch
    assert np.allclose(again[0].position, w.measured[UPPER], atol=1e-3)
    assert w.status[0] == "acting"


def test_held_by_the_gate_is_a_new_epoch_and_finally_a_failure() -> None:
    w = World(resumes=2, patience=3.0)
    number = w.session.instruct("wave", w.now)
    w.gate = ("holding", "NO_COMMAND")
    w.run(0.4)
    w.gate = ("holding", "LIMIT_RATE")
    w.run(4.0)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert (outcome.success, outcome.reason_code) == (False, "LIMIT_RATE")
    assert len({c.epoch for c in w.commands}) == 3


def test_a_gate_that_has_not_heard_yet_is_no_interruption() -> None:
    w = World()
    w.gate = ("holding", "NO_COMMAND")
    w.session.instruct("wave", w.now)
    w.run(2.0)
    assert {c.epoch for c in w.commands} == {1}


def test_no_picture_means_no_inference_and_says_so() -> None:
    w = World(patience=2.0)
    w.missing = Refusal("NO_PICTURE", "the newest picture is 0.90 s old")
    number = w.session.instruct("touch the red cube", w.now)
    w.run(1.0)
    assert w.status == ("waiting", "NO_PICTURE")
    assert w.chunks == []
    w.run(2.0)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.reason_code == "NO_PICTURE"
    assert "0.90 s old" in outcome.detail


def test_pictures_that_stop_in_mid_motion_bring_it_to_a_halt_and_back() -> None:
    w = World()
    w.session.instruct("touch the red cube", w.now)
    w.run(1.0)
    w.missing = Refusal("NO_PICTURE", "gone")
    w.run(2.5)
    state, code = w.status
    assert state == "waiting"
    assert code in ("EXHAUSTED", "NO_PICTURE")
    before = len(w.commands)
    w.missing = None
    w.run(1.0)
    assert len(w.commands) > before
    assert w.commands[-1].epoch > w.commands[before - 1].epoch


def test_a_refused_instruction_ends_with_its_reason_and_moves_nothing() -> None:
    w = World()
    w.refused = Refusal("NOT_UNDERSTOOD", "no verb")
    number = w.session.instruct("make coffee", w.now)
    w.run(1.0)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.reason_code == "NOT_UNDERSTOOD"
    assert w.status == ("refused", "NOT_UNDERSTOOD")
    assert w.commands == []


def test_a_new_instruction_cancels_the_old_and_goes_on_without_a_gap() -> None:
    w = World()
    first = w.session.instruct("wave", w.now)
    w.run(1.0)
    second = w.session.instruct("rest", w.now)
    w.run(0.5)
    outcome = w.session.outcome(first)
    assert outcome is not None
    assert outcome.reason_code == "CANCELLED"
    assert w.session.outcome(second) is None
    assert w.starts == ["wave", "rest"]
    stamps = [c.stamp_ns for c in w.commands]
    assert max(np.diff(stamps)) == 10 * MS
    assert w.commands[-1].epoch == 2


def test_too_long_is_a_timeout_and_stops() -> None:
    w = World()
    number = w.session.instruct("wave", w.now, timeout=1.0)
    w.run(1.5)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.reason_code == "TIMEOUT"
    before = len(w.commands)
    w.run(0.5)
    assert len(w.commands) == before


def test_cancelling_stops_where_it_is() -> None:
    w = World()
    number = w.session.instruct("wave", w.now)
    w.run(0.8)
    w.session.cancel(w.now)
    before = len(w.commands)
    w.run(0.5)
    assert len(w.commands) == before
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.reason_code == "CANCELLED"


def test_an_answer_that_comes_after_the_epoch_changed_is_dropped() -> None:
    w = World()
    w.session.instruct("wave", w.now)
    w.now += 10 * MS
    for _ in range(60):
        w.now += 10 * MS
        w.session.hear_permit(Permit(w.now, 1, Level.SAFE, 1.0, 0.03, True, False, 0), w.now)
        w.session.tick(w.now, w.now)
        look = w.session.look(w.now)
        if look is not None:
            break
    assert look is not None
    w.session.instruct("rest", w.now)
    s = w.state()
    seen = Observation(w.now, w.now, np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.float32), np.eye(3), s, s)
    assert w.session.answer(Answer(look, observation=seen, decision=w.hold()), w.now) is None
    assert dict(w.session.status(w.now).refusals)["OLD_EPOCH"] == 1
    w.run(0.5)
    assert w.starts == ["rest"]


def test_one_late_command_is_no_interruption_but_a_wrong_clock_is() -> None:
    w = World(resumes=0)
    w.session.instruct("wave", w.now)
    w.run(1.0)
    w.gate = ("halting", "FUTURE")
    w.run(0.5)
    assert {c.epoch for c in w.commands} == {1}
    w.run(1.0)
    assert w.status == ("failed", "FUTURE")


def test_an_outage_in_mid_motion_is_said_at_once_and_does_not_end_the_task() -> None:
    w = World(resumes=0, patience=6.0, timeout=100.0)
    number = w.session.instruct("wave", w.now)
    w.run(1.0)
    for _ in range(3):
        w.missing = Refusal("NO_REPLY", "no answer from ws://127.0.0.1:8000 within 0.80 s")
        w.run(0.21)
        assert w.session.execution.moving, "rows are left"
        assert w.status == ("acting", "NO_REPLY")
        w.run(3.0)
        assert w.status == ("waiting", "NO_REPLY")
        assert "ws://" in w.session.status(w.now).detail
        before = len(w.commands)
        w.run(0.5)
        assert len(w.commands) == before, "at rest, and silent: the gate holds"
        w.missing = None
        w.run(1.0)
        assert w.status == ("acting", "")
        assert len(w.commands) > before
        assert w.session.outcome(number) is None
    w.missing = Refusal("NO_SERVER", "refused")
    w.run(12.0)
    outcome = w.session.outcome(number)
    assert outcome is not None
    assert outcome.reason_code == "NO_SERVER", "patience has an end"


def test_a_dropped_chunk_is_said() -> None:
    w = World()
    w.session.instruct("wave", w.now)
    w.run(1.0)
    w.decision = Decision("acting", joint_names=NAMES, positions=np.full((60, len(NAMES)), 9.0))
    w.run(0.3)
    assert w.status == ("acting", "LIMIT_POSITION")
    w.decision = None
    w.run(0.3)
    assert w.status == ("acting", "")
