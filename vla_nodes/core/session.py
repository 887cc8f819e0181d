"""One instruction from being heard to its outcome: epochs, leave to move, looking, commands, status.

Pure: told the time and what came, asked what to do. Times are ROS time in ns, except the permit's age, which is
judged on the monotonic clock. Every interruption of motion, and every new instruction, is a new epoch that
begins at the measured pose, or in mid-motion where the set-point is. While the permit accepts nothing new, the policy
is not asked and no chunk that still comes is started: the running one goes on to its end at the permit's share, and
with leave the policy starts anew from the measured pose.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import EMPTY, ActionChunk, GateStatus, JointCommand, Level, Permit, VlaStatus
from vla_nodes.core.execution import Execution, ExecutionParams
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision, Observation

#: Refusals of the gate that do not end the epoch.
SOFT = frozenset({"STALE", "FUTURE", "ZERO_STAMP", "OLD_SEQUENCE"})
#: Why neither a motion nor a chunk is started, though what runs may go on.
NOTHING_NEW = Refusal("NO_PERMIT", "no new motion is allowed at this level")


@dataclass(frozen=True)
class SessionParams:
    """Times in s. ``timeout`` of a task unless it brings its own; ``patience`` without observation, or without
    leave to move, before it fails; ``settle`` how long leave must have lasted before motion resumes;
    ``permit_age`` silence of the permit that counts as none; ``resumes`` at most per task."""

    timeout: float = 45.0
    patience: float = 8.0
    settle: float = 0.3
    permit_age: float = 0.1
    resumes: int = 5


@dataclass(frozen=True)
class Look:
    """What the worker shall do: observe for ``epoch``, after starting ``instruction`` when ``start``; ``following_ns``
    and ``lead`` as an observation has them."""

    epoch: int
    instruction: str
    start: bool
    commanded: Array
    following_ns: int = 0
    lead: float = 0.0

    def onto(self, observation: Observation) -> Observation:
        """The observation with what the policy may want to know of the motion under way."""
        return replace(observation, following_ns=self.following_ns, lead=self.lead)


@dataclass(frozen=True)
class Answer:
    """What came of a look: a refusal of the instruction, no observation or no decision for a reason (``missing``), or
    a decision."""

    look: Look
    refused: Refusal | None = None
    missing: Refusal | None = None
    observation: Observation | None = None
    decision: Decision | None = None
    begin_ns: int = 0
    end_ns: int = 0


@dataclass(frozen=True)
class Outcome:
    """How an instruction ended, as the policy sees it."""

    number: int
    success: bool
    reason_code: str
    detail: str
    seconds: float


class Session:
    """One policy on one robot. Not thread-safe: the node holds a lock around it."""

    def __init__(
        self,
        robot: RobotModel,
        policy_id: str,
        period: float,
        params: SessionParams | None = None,
        execution: ExecutionParams | None = None,
    ) -> None:
        self.params = params or SessionParams()
        self.execution = Execution(robot, execution, source=policy_id)
        self.refused = Refusals()
        self._policy_id, self._period_ns = policy_id, round(period * NS)
        self.number = 0  # counts instructions
        self.epoch = 0
        self.chunks = 0
        self.outcomes: deque[Outcome] = deque(maxlen=8)
        self._instruction = ""
        self._state, self._code, self._detail = "idle", "", ""
        self._active = self._starting = self._looking = False
        self._progress = self._confidence = self._inference_ms = 0.0
        self._since_ns = self._deadline_ns = self._look_ns = self._good_ns = self._moved_ns = self._soft_ns = 0
        self._leave_ns: int | None = None
        self._resumes = 0
        self._permit: tuple[Permit, int] | None = None
        self._gate: GateStatus | None = None
        self._lacking: Refusal | None = None  # why there is no new chunk, since the last one

    # --- what may come --------------------------------------------------------------------------------------

    def instruct(self, text: str, now_ns: int, timeout: float = 0.0) -> int:
        """Take an instruction; a running one ends as CANCELLED. Returns the instruction's number."""
        self._finish(False, "CANCELLED", "a new instruction came", now_ns)
        self.number += 1
        self._instruction = text
        self._active = True
        self._since_ns = self._good_ns = now_ns
        self._deadline_ns = now_ns + round((timeout if timeout > 0.0 else self.params.timeout) * NS)
        self._resumes = 0
        self._progress = self._confidence = 0.0
        self._lacking = None
        self._say("looking", "", "")
        if self.execution.moving and not self._accepts_new:
            # a new epoch is a new motion, which the gate would refuse: come to rest, and wait for leave
            self.execution.stop()
            self._leave_ns = None
        self._new_epoch(keep=self.execution.moving)
        return self.number

    def cancel(self, now_ns: int) -> None:
        """Stop where it is."""
        self._finish(False, "CANCELLED", "the user ended it", now_ns)
        self._stop("idle", "CANCELLED", "the user ended it")

    def hear_permit(self, permit: Permit | None, mono_ns: int) -> None:
        self._permit = None if permit is None else (permit, mono_ns)

    def hear_gate(self, status: GateStatus | None) -> None:
        self._gate = status

    # --- 100 times a second ---------------------------------------------------------------------------------

    def tick(self, now_ns: int, mono_ns: int) -> JointCommand | None:
        """The set-point for now, or None when there is nothing to say."""
        why = self._no_leave(mono_ns)
        self._leave_ns = None if why else (self._leave_ns or now_ns)
        if self._active and now_ns > self._deadline_ns:
            self._finish(False, "TIMEOUT", f"not done after {(now_ns - self._since_ns) / NS:.0f} s", now_ns)
            self._stop("failed", "TIMEOUT", "it took longer than allowed")
        if not self.execution.moving:
            self._wait(why, now_ns)
            return None
        held = why or self._held()
        if held:
            self._interrupt(held, now_ns)
            return None
        permit = self._permit
        self.execution.scale = permit[0].scale if permit is not None else 1.0
        command = self.execution.tick(now_ns)
        if command is None and self.execution.reason:
            self._run_out(now_ns)
        return command

    def _run_out(self, now_ns: int) -> None:
        """The rows ran out and the motion has come to rest. An outage of eyes or policy is waited for, as long as
        patience and the task's time last; a policy that just gives too few rows is interrupted so many times only."""
        lacking = self._lacking
        if lacking is None:
            self._interrupt(self.execution.reason, now_ns)
            return
        self._resumes -= 1
        self._interrupt(lacking.code, now_ns)
        if self._active:
            self._say("waiting", lacking.code, lacking.detail)

    def _no_leave(self, mono_ns: int) -> str:
        """Reason code of what forbids motion, or ''."""
        if self._permit is None or not mono_ns - self._permit[1] <= self.params.permit_age * NS:
            return "NO_PERMIT"
        permit = self._permit[0]
        if permit.estop_latched:
            return "ESTOP"
        return "" if permit.level < Level.DANGER and permit.scale > 0.0 else "NO_PERMIT"

    def _held(self) -> str:
        """Why the gate, since motion began, does not follow; ''while it does, or has not yet heard of it."""
        gate = self._gate
        if gate is None or gate.state == "passing" or gate.stamp_ns < self._moved_ns + 100 * MS:
            self._soft_ns = gate.stamp_ns if gate is not None else 0
            return ""
        if gate.reason in ("", "NO_COMMAND"):
            return ""
        # one command that came too late, say, does not end a motion; if it goes on, something is wrong
        if gate.reason in SOFT and gate.stamp_ns - self._soft_ns < NS:
            return ""
        return gate.reason

    def _interrupt(self, code: str, now_ns: int) -> None:
        """Motion was cut short: a new epoch, later, from the measured pose."""
        self.execution.stop()
        self._leave_ns = None
        if not self._active:
            return  # what had to be done was done; it stays where it is
        self._resumes += 1
        if self._resumes > self.params.resumes:
            self._finish(False, code, f"held {self._resumes} times", now_ns)
            self._stop("failed", code, f"held {self._resumes} times")
            return
        self._good_ns = now_ns
        self._new_epoch(keep=False)
        self._say("waiting", code, "motion was interrupted")

    def _wait(self, why: str, now_ns: int) -> None:
        """While nothing moves: say why, give up after a while."""
        if not self._active:
            return
        if why:
            self._say("waiting", why, "no leave to move")
        if now_ns - self._good_ns > self.params.patience * NS:
            code = self._code or "NO_PICTURE"
            self._finish(False, code, self._detail, now_ns)
            self._stop("failed", code, self._detail)

    # --- looking ----------------------------------------------------------------------------------------------

    def look(self, now_ns: int) -> Look | None:
        """What the worker shall do next, None while there is nothing; one at a time."""
        if self._looking or not (self._active or self.execution.moving) or now_ns < self._look_ns:
            return None
        if not self._may_start(now_ns):
            return None
        self._looking = True
        self._look_ns = now_ns + self._period_ns
        commanded = self.execution.commanded if self.execution.moving else None
        return Look(self.epoch, self._instruction, self._starting, EMPTY if commanded is None else commanded,
                    self.execution.following_ns, self.execution.lead)  # fmt: skip

    @property
    def _accepts_new(self) -> bool:
        return self._permit is not None and self._permit[0].accept_new

    def _may_start(self, now_ns: int) -> bool:
        """Whether a chunk that came now could be started; why not is said."""
        new = self._accepts_new
        if self.execution.moving:
            # not asked: its plan, and its idea of how long it takes, would run away from arms that are held back
            if not new and self._lacking != NOTHING_NEW:
                self._turn_down()
            return new
        leave = self._leave_ns
        if leave is not None and not new:
            self._say("waiting", NOTHING_NEW.code, NOTHING_NEW.detail)
        return new and leave is not None and now_ns - leave >= self.params.settle * NS

    def _turn_down(self) -> None:
        """No chunk is started at this level; one that runs goes on while its rows last."""
        self.refused.refuse(NOTHING_NEW.code, NOTHING_NEW.detail)
        self._lacking = NOTHING_NEW
        if self._active:
            self._say(self._state if self.execution.moving else "waiting", NOTHING_NEW.code, NOTHING_NEW.detail)

    def answer(self, answer: Answer, now_ns: int) -> ActionChunk | None:
        """Take what came of a look; returns the chunk that was accepted."""
        self._looking = False
        if answer.look.epoch != self.epoch:
            self.refused.refuse("OLD_EPOCH", "the answer to an earlier look")
            self._look_ns = now_ns
            return None
        if answer.refused is not None:
            self._refuse(answer.refused, now_ns)
            return None
        if answer.missing is not None:
            self._miss(answer.missing, now_ns)
            return None
        observation, decision = answer.observation, answer.decision
        if observation is None or decision is None:
            return None
        self._starting = False
        self._good_ns = now_ns
        self._lacking = None
        self._inference_ms = (answer.end_ns - answer.begin_ns) / MS
        return self._decide(answer, observation, decision, now_ns)

    def _refuse(self, refusal: Refusal, now_ns: int) -> None:
        """The instruction itself is no good; what still moves comes to a stop by itself."""
        self.refused.refuse(refusal.code, refusal.detail)
        self._finish(False, refusal.code, refusal.detail, now_ns)
        self._say("refused", refusal.code, refusal.detail)
        self._starting = False

    def _miss(self, why: Refusal, now_ns: int) -> None:
        """No observation, or no answer of the policy: said at once, also in motion, which goes on while rows last."""
        self._look_ns = now_ns + 20 * MS
        if why.code == "STALE":
            return  # the camera is slower than the policy
        self._lacking = why
        self.refused.refuse(why.code, why.detail)
        if self._active:
            self._say(self._state if self.execution.moving else "waiting", why.code, why.detail)

    def _decide(
        self, answer: Answer, observation: Observation, decision: Decision, now_ns: int
    ) -> ActionChunk | None:
        if self._active or decision.state == "done":
            self._say(decision.state, decision.reason_code, decision.detail)
        self._progress, self._confidence = decision.progress, decision.confidence
        chunk = None
        if decision.positions.size and not decision.finished:
            chunk = self._accept(answer, observation, decision, now_ns)
        if decision.succeeded:
            self._finish(True, "", decision.detail, now_ns)
        elif decision.state in ("failed", "refused"):
            self.refused.refuse(decision.reason_code or "UNREACHABLE", decision.detail)
            self._finish(False, decision.reason_code or "UNREACHABLE", decision.detail, now_ns)
        if decision.finished:
            self._stop(self._state, self._code, self._detail)
        return chunk

    def _accept(
        self, answer: Answer, observation: Observation, decision: Decision, now_ns: int
    ) -> ActionChunk | None:
        if not self._accepts_new:
            self._starting = not self.execution.moving  # then the policy plans anew, from where the robot is by then
            self._turn_down()
            return None
        if not self.execution.ready:
            if self.execution.begin(self.epoch, observation.latest.position, now_ns):
                return None
            self._moved_ns = now_ns
        self.chunks += 1
        chunk = ActionChunk(
            observation.stamp_ns, self.chunks, self.epoch, self._policy_id, self._instruction, decision.joint_names,
            decision.step_dt, decision.positions, decision.confidence, answer.begin_ns, answer.end_ns,
        )  # fmt: skip
        code = self.execution.accept(chunk, now_ns)
        if not code:
            return chunk
        self._lacking = Refusal(code, self.execution.refused.last)
        if self._active:
            self._say(self._state, code, self.execution.refused.last)
        return None

    def outcome(self, number: int) -> Outcome | None:
        """How instruction ``number`` ended, None while it runs."""
        return next((o for o in self.outcomes if o.number == number), None)

    # --- state ------------------------------------------------------------------------------------------------

    def status(self, now_ns: int) -> VlaStatus:
        counts: dict[str, int] = {}
        for refusals in (self.refused, self.execution.refused):
            for code, count in refusals.items():
                counts[code] = counts.get(code, 0) + count
        return VlaStatus(
            now_ns, self._state, self._code, self._detail, self._instruction, self._policy_id, self.epoch,
            self._progress, self._confidence, self._inference_ms, self.chunks, tuple(sorted(counts.items())),
        )  # fmt: skip

    @property
    def busy(self) -> bool:
        """Whether there is anything to do 100 times a second."""
        return self._active or self.execution.moving

    def _say(self, state: str, code: str, detail: str) -> None:
        self._state, self._code, self._detail = state, code, detail

    def _new_epoch(self, keep: bool) -> None:
        self.epoch += 1
        self._starting = True
        self._look_ns = 0
        if keep:
            self.execution.renew(self.epoch)
        else:
            self.execution.stop()

    def _finish(self, success: bool, code: str, detail: str, now_ns: int) -> None:
        """Fix the outcome of the running instruction, once."""
        if self._active:
            self._active = False
            seconds = (now_ns - self._since_ns) / NS
            self.outcomes.append(Outcome(self.number, success, code, detail, seconds))

    def _stop(self, state: str, code: str, detail: str) -> None:
        """No more commands; the gate holds the robot."""
        self.execution.stop()
        self.epoch += 1
        self._say(state, code, detail)
