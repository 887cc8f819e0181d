"""Compound instructions: "touch the red cube with your left hand, then wave" is two steps, one after the other.

A step begins when the one before has succeeded and its motion has ended. One that fails is tried once more from where
the robot then stands, unless trying cannot help; if it fails again, or is refused, the rest is not done and the outcome
says which step it was. An instruction of one step is passed on as it is and not repeated.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace

from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk, GateStatus, JointCommand, Permit, VlaStatus
from vla_nodes.core.execution import Execution
from vla_nodes.core.session import Answer, Look, Outcome, Session

#: What stands between two steps.
_BETWEEN = re.compile(
    r"\s*(?:[,;.]\s*)*(?:\b(?:and\s+)?(?:then|after\s+that|afterwards|next|finally)\b[\s,]*|;|[.!](?=\s+\S))\s*", re.I)
_OF_NO_MEANING = re.compile(r"^(?:and|please|now|,|\s)*$", re.I)
#: Failures that a second try would only repeat.
FINAL = frozenset({"NOT_UNDERSTOOD", "CANCELLED", "ESTOP", "CONTRACT"})
#: Time for the motion of a step to end after it succeeded or failed, s; then the next begins in mid-motion.
SETTLING = 10.0
MOST = 8


def split(text: str) -> tuple[str, ...]:
    """The steps of an instruction; the whole text when there is nothing between steps."""
    parts = [part.strip(" ,;.") for part in _BETWEEN.split(text)]
    parts = [part for part in parts if not _OF_NO_MEANING.match(part)]
    return tuple(parts) if len(parts) > 1 else (text,)


@dataclass
class _Plan:
    """The instruction that is being followed. ``inner``: the session's number of the present step."""

    number: int
    text: str
    steps: tuple[str, ...]
    begun_ns: int
    end_ns: int  # 0: no limit but each step's own
    at: int = 0
    tries: int = 0
    inner: int = 0
    ended_ns: int = 0  # when the present step's outcome was known; 0: it runs


class Steps:
    """A session that also takes compound instructions; told and asked like it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = 0
        self.outcomes: deque[Outcome] = deque(maxlen=8)
        self._plan: _Plan | None = None

    @property
    def execution(self) -> Execution:
        return self.session.execution

    @property
    def chunks(self) -> int:
        return self.session.chunks

    @property
    def epoch(self) -> int:
        return self.session.epoch

    @property
    def busy(self) -> bool:
        """Whether there is anything to do 100 times a second."""
        return self.session.busy or self._plan is not None

    # --- what may come

    def instruct(self, text: str, now_ns: int, timeout: float = 0.0) -> int:
        """Take an instruction of one or more steps; a running one ends as CANCELLED. ``timeout`` s for all of it, 0:
        each step has the session's. Returns the instruction's number."""
        self._end(False, "CANCELLED", "a new instruction came", now_ns)
        self.number += 1
        steps = split(text)
        plan = _Plan(self.number, text, steps, now_ns, now_ns + round(timeout * NS) if timeout > 0.0 else 0)
        if len(steps) > MOST:
            detail = f"{len(steps)} steps; at most {MOST} are followed at a time"
            self.outcomes.append(Outcome(self.number, False, "NOT_UNDERSTOOD", detail, 0.0))
            self.session.cancel(now_ns)
            return self.number
        self._plan = plan
        self._begin(plan, now_ns)
        return self.number

    def cancel(self, now_ns: int) -> None:
        """Stop where it is."""
        self._end(False, "CANCELLED", "the user ended it", now_ns)
        self.session.cancel(now_ns)

    def hear_permit(self, permit: Permit | None, mono_ns: int) -> None:
        self.session.hear_permit(permit, mono_ns)

    def hear_gate(self, status: GateStatus | None) -> None:
        self.session.hear_gate(status)

    # --- as the session

    def tick(self, now_ns: int, mono_ns: int) -> JointCommand | None:
        command = self.session.tick(now_ns, mono_ns)
        self._advance(now_ns)
        return command

    def look(self, now_ns: int) -> Look | None:
        return self.session.look(now_ns)

    def answer(self, answer: Answer, now_ns: int) -> ActionChunk | None:
        chunk = self.session.answer(answer, now_ns)
        self._advance(now_ns)
        return chunk

    def outcome(self, number: int) -> Outcome | None:
        """How instruction ``number`` ended, None while it runs."""
        return next((o for o in self.outcomes if o.number == number), None)

    @property
    def feedback(self) -> tuple[str, str, float, float]:
        """State, detail, progress and confidence of the running instruction."""
        status = self.status(0)
        return status.state, status.detail or status.reason_code, status.progress, status.confidence

    def status(self, now_ns: int) -> VlaStatus:
        """The session's, with the whole instruction, and which step of it is being done."""
        status, plan = self.session.status(now_ns), self._plan
        if plan is None or len(plan.steps) == 1:
            return status
        done = plan.at + (1.0 if status.state == "done" else status.progress)
        state = "acting" if status.state in ("done", "failed") else status.state
        detail = f"step {plan.at + 1} of {len(plan.steps)}{' again' if plan.tries else ''}: {status.detail}"
        return replace(status, state=state, detail=detail, instruction=plan.text,
                       progress=min(done / len(plan.steps), 1.0))  # fmt: skip

    # --- from step to step

    def _begin(self, plan: _Plan, now_ns: int) -> None:
        left = (plan.end_ns - now_ns) / NS if plan.end_ns else 0.0
        plan.ended_ns = 0
        plan.inner = self.session.instruct(plan.steps[plan.at], now_ns, left)

    def _advance(self, now_ns: int) -> None:
        """Look whether the present step is over, and what follows."""
        plan = self._plan
        if plan is None:
            return
        outcome = self.session.outcome(plan.inner)
        if outcome is None:
            return
        plan.ended_ns = plan.ended_ns or now_ns
        last = plan.at + 1 == len(plan.steps)
        if outcome.success and last:
            self._end(True, "", self._told(plan, outcome), now_ns)
            return
        if not outcome.success and (len(plan.steps) == 1 or plan.tries > 0 or outcome.reason_code in FINAL
                                    or (plan.end_ns and now_ns >= plan.end_ns)):
            self._end(False, outcome.reason_code, self._told(plan, outcome), now_ns)
            return
        if self.session.busy and now_ns - plan.ended_ns < SETTLING * NS:
            return
        if plan.end_ns and now_ns >= plan.end_ns:
            self._end(False, "TIMEOUT", f"no time was left for step {plan.at + 2}: '{plan.steps[plan.at + 1]}'", now_ns)
            return
        plan.at, plan.tries = (plan.at + 1, 0) if outcome.success else (plan.at, plan.tries + 1)
        self._begin(plan, now_ns)

    def _told(self, plan: _Plan, outcome: Outcome) -> str:
        """What people are told about the end of an instruction."""
        if len(plan.steps) == 1:
            return outcome.detail
        if outcome.success:
            return f"all {len(plan.steps)} steps are done; the last: {outcome.detail}"
        again = " also when tried again" if plan.tries else ""
        rest = "".join(f", '{text}'" for text in plan.steps[plan.at + 1 :])
        return (f"step {plan.at + 1} of {len(plan.steps)}, '{plan.steps[plan.at]}', failed{again}: {outcome.detail}"
                + (f"; not done: {rest[2:]}" if rest else ""))

    def _end(self, success: bool, code: str, detail: str, now_ns: int) -> None:
        """Fix the outcome of the running instruction, once."""
        plan, self._plan = self._plan, None
        if plan is not None:
            seconds = (now_ns - plan.begun_ns) / NS
            self.outcomes.append(Outcome(plan.number, success, code, detail, seconds))
