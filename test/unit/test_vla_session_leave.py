"""At WARNING a running chunk goes on to its end and none is started; with leave the task goes on by itself."""

from __future__ import annotations

import numpy as np
import pytest
from test_vla_session import NAMES, ROBOT, UPPER, World

from humanoid_core.timing import MS, NS
from humanoid_core.types import Level, Permit
from vla_nodes.core.policy import Decision, Observation
from vla_nodes.core.session import Answer, Look

ELBOW = NAMES.index("left_elbow_joint")
ROWS, STEP = 50, 0.02  # a chunk of 1 s
#: After the last row: slowing down, and the last set-point repeated.
AFTER = 0.6


def swing(speed: float = -0.3) -> Decision:
    """The left elbow on its way, rad/s."""
    rows = np.repeat(ROBOT.rest[UPPER][None, :], ROWS, axis=0)
    rows[:, ELBOW] += speed * STEP * np.arange(1, ROWS + 1)
    return Decision("acting", joint_names=NAMES, step_dt=STEP, positions=rows)


def warn(w: World) -> None:
    w.level, w.scale, w.accept_new = Level.WARNING, 0.25, False


def leave(w: World) -> None:
    w.level, w.scale, w.accept_new = Level.SAFE, 1.0, True


def acting(**params: float) -> World:
    w = World(**params)
    w.decision = swing()
    w.session.instruct("wave", w.now)
    w.run(1.0)
    assert w.status == ("acting", "")
    return w


def next_look(w: World) -> Look:
    """Up to the next look, which is left unanswered."""
    for _ in range(100):
        w.now += 10 * MS
        w.session.hear_permit(Permit(w.now, 1, w.level, w.scale, 0.03, w.accept_new, False, 0), w.now)
        command = w.session.tick(w.now, w.now)
        w.commands += [command] if command is not None else []
        look = w.session.look(w.now)
        if look is not None:
            return look
    raise AssertionError("nothing was looked at")


def answer(w: World, look: Look, decision: Decision) -> Answer:
    s = w.state()
    seen = Observation(w.now, w.now, np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.float32), np.eye(3), s, s)
    return Answer(look, observation=seen, decision=decision, begin_ns=w.now, end_ns=w.now)


def refused(w: World) -> int:
    return dict(w.session.status(w.now).refusals).get("NO_PERMIT", 0)


def test_at_warning_the_running_chunk_ends_and_no_other_is_started() -> None:
    w = acting()
    number = w.session.number
    warn(w)
    chunks, commands = len(w.chunks), len(w.commands)
    w.run(0.3)
    assert w.status == ("acting", "NO_PERMIT"), "said while the arm is still on its way"
    assert len(w.commands) == commands + 30, "what runs goes on"
    assert refused(w) == 1
    w.run(ROWS * STEP + AFTER - 0.3)
    last = len(w.commands)
    w.run(3.0)
    assert len(w.commands) == last, "at rest, and silent: the gate holds"
    assert len(w.chunks) == chunks
    assert {c.epoch for c in w.commands} == {1}
    assert np.max(np.abs(w.commands[-1].velocity)) < 0.02
    assert w.status == ("waiting", "NO_PERMIT")
    assert w.session.outcome(number) is None


def test_a_chunk_that_was_under_way_as_leave_went_is_not_started() -> None:
    w = acting()
    look = next_look(w)
    warn(w)
    w.session.hear_permit(Permit(w.now, 1, w.level, w.scale, 0.03, w.accept_new, False, 0), w.now)
    following = w.session.execution.following_ns
    assert w.session.answer(answer(w, look, swing(0.3)), w.now) is None
    assert w.session.execution.following_ns == following, "still the one before"
    assert w.status == ("acting", "NO_PERMIT")
    assert refused(w) == 1


def test_a_first_chunk_that_comes_after_leave_went_moves_nothing_and_is_made_anew() -> None:
    w = World()
    w.session.instruct("wave", w.now)
    look = next_look(w)
    warn(w)
    w.session.hear_permit(Permit(w.now, 1, w.level, w.scale, 0.03, w.accept_new, False, 0), w.now)
    assert w.session.answer(answer(w, look, swing()), w.now) is None
    w.run(1.0)
    assert w.commands == []
    assert w.status == ("waiting", "NO_PERMIT")
    leave(w)
    w.run(1.0)
    assert w.starts == ["wave"], "the policy plans from where the robot is now, not on from its first plan"
    assert w.status == ("acting", "")


def test_leave_that_comes_back_while_rows_are_left_changes_nothing() -> None:
    w = acting(resumes=0)
    warn(w)
    w.run(0.5)
    leave(w)
    chunks = len(w.chunks)
    w.run(1.0)
    assert len(w.chunks) >= chunks + 4
    assert w.starts == ["wave"]
    assert {c.epoch for c in w.commands} == {1}
    assert np.max(np.diff([c.stamp_ns for c in w.commands])) == 10 * MS, "without a gap"
    assert w.status == ("acting", "")


def test_after_a_rest_it_goes_on_from_the_measured_pose_as_often_as_it_must() -> None:
    """Nobody's failure: however often it happens, the task is not given up."""
    w = acting(resumes=0, timeout=100.0)
    number = w.session.number
    for _ in range(3):
        warn(w)
        w.run(3.0)
        before = len(w.commands)
        w.measured = ROBOT.rest.copy()
        w.measured[UPPER] += 0.05  # it sank a little
        leave(w)
        w.run(1.2)
        again = w.commands[before:]
        assert again[0].epoch > w.commands[before - 1].epoch
        assert np.allclose(again[0].position, w.measured[UPPER], atol=1e-3)
        assert w.status == ("acting", "")
    assert w.starts == ["wave"] * 4
    assert w.session.outcome(number) is None


@pytest.mark.parametrize(("params", "code"), [({"timeout": 4.0}, "TIMEOUT"), ({"patience": 3.0}, "NO_PERMIT")])
def test_waiting_for_leave_has_an_end(params: dict[str, float], code: str) -> None:
    w = acting(**params)
    warn(w)
    w.run(6.0)
    outcome = w.session.outcome(w.session.number)
    assert outcome is not None
    assert (outcome.success, outcome.reason_code) == (False, code)


def test_a_new_instruction_waits_for_leave_at_rest() -> None:
    w = acting()
    warn(w)
    w.run(0.2)
    before = len(w.commands)
    w.session.instruct("rest", w.now)
    w.run(1.0)
    assert len(w.commands) == before, "the gate would refuse a new motion"
    assert w.status == ("waiting", "NO_PERMIT")
    leave(w)
    w.run(1.0)
    assert w.starts == ["wave", "rest"]
    assert {c.epoch for c in w.commands[before:]} == {w.session.epoch}


def test_a_task_that_was_done_as_leave_went_is_done() -> None:
    w = acting()
    look = next_look(w)
    warn(w)
    w.session.hear_permit(Permit(w.now, 1, w.level, w.scale, 0.03, w.accept_new, False, 0), w.now)
    w.session.answer(answer(w, look, w.hold("done", succeeded=True, progress=1.0)), w.now)
    outcome = w.session.outcome(w.session.number)
    assert outcome is not None
    assert outcome.success
    assert outcome.seconds < w.now / NS
