"""vla_policy: an instruction in, action chunks and 100 set-points a second out, and a reason whenever not."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future

from humanoid_core.robot import RobotModel, load_robot
from humanoid_core.timing import Metronome
from humanoid_core.topics import ACTIONS
from humanoid_ros import qos
from humanoid_ros.inbox import Inbox
from humanoid_ros.node import OK, WARN, HumanoidNode, run
from humanoid_ros.params import ParameterError, declare
from vla_nodes.backends.base import Backend
from vla_nodes.backends.make import make_backend
from vla_nodes.core.contract import ContractError
from vla_nodes.core.execution import ExecutionParams
from vla_nodes.core.gather import GatherParams
from vla_nodes.core.postures import PostureError
from vla_nodes.core.session import Answer, Outcome, Session, SessionParams
from vla_nodes.core.steps import Steps
from vla_nodes.params import VlaParams
from vla_nodes.worker import Eyes, Worker


def backend_of(p: VlaParams, robot: RobotModel) -> Backend:
    """The policy that the parameters name; ParameterError says what does not fit."""
    try:
        return make_backend(p.backend, robot, p.policy, p.server)
    except (PostureError, ContractError) as error:
        raise ParameterError(f"vla_policy: backend = '{p.backend}': {error}") from None


class VlaPolicy(HumanoidNode):
    """Three threads: callbacks (instructions, action, status), the 100 Hz loop, and the policy's worker."""

    def __init__(self) -> None:
        super().__init__("vla_policy")
        self.params = declare(self, VlaParams)

    def configure(self) -> None:
        """Build everything."""
        p = self.params
        robot = load_robot(p.robot)
        backend = backend_of(p, robot)
        self._lock = threading.Lock()
        self.session = Steps(Session(
            robot, backend.policy_id, backend.period,
            SessionParams(p.timeout, p.patience, p.settle, p.permit_age, p.resumes),
            ExecutionParams(fade=p.fade, hold=p.hold, max_age=p.max_age, ensemble=p.ensemble),
        ))  # fmt: skip
        self._goal: tuple[int, ServerGoalHandle, Future] | None = None
        self._waiting = ""  # an instruction that came before there was leave to act
        self.advertise("vla/action_chunk", "vla/joint_command", "vla/status")
        self._permits, self._gate = Inbox(self, "safety/permit"), Inbox(self, "safety/gate")
        eyes = Eyes(self, robot, backend.gather(GatherParams(p.picture_age, p.state_age, p.skew)))
        self._worker = Worker(
            backend, eyes, self.now_ns, time.monotonic_ns, self._deliver, lambda text: self.get_logger().error(text)
        )
        self.subscribe("vla/instruction", self._on_instruction)
        row = next(a for a in ACTIONS if a.name == "vla/follow_instruction")
        self._kind = qos.message_type(row.type)
        self._server = ActionServer(
            self, self._kind, row.name, self._follow, cancel_callback=lambda _: CancelResponse.ACCEPT
        )
        self.steady_timer(0.1, self._report_status)
        self.diagnostics(self._report)
        self.loop = self.steady_loop(p.rate, self._tick)

    def activated(self) -> None:
        """Take up the instruction that waits, if any."""
        text, self._waiting = self._waiting, ""
        if text:
            self._on_instruction(text)

    def deactivated(self) -> None:
        """Whatever was asked is over: nothing moves by itself when the node is active again."""
        with self._lock:
            self.session.cancel(self.now_ns())
            goal, self._goal = self._goal, None
            if goal is not None:
                self._resolve(goal)

    # --- instructions, in the executor's thread ---------------------------------------------------------------

    def _on_instruction(self, text: str) -> None:
        if not self.active:  # it may be older than this node; the newest counts
            self._waiting = text
            return
        with self._lock:
            self.session.instruct(text, self.now_ns())

    async def _follow(self, goal: ServerGoalHandle) -> Any:
        """One goal of the action; a newer one, or an instruction on the topic, ends it as CANCELLED."""
        done = Future(executor=self.executor)
        timeout = float(goal.request.timeout)
        with self._lock:
            if not (np.isfinite(timeout) and timeout >= 0.0):
                outcome: Outcome = Outcome(0, False, "OUT_OF_RANGE", f"timeout {timeout} s", 0.0)
            else:
                before, self._goal = self._goal, None
                number = self.session.instruct(goal.request.prompt, self.now_ns(), timeout)
                if before is not None:
                    self._resolve(before)
                self._goal = (number, goal, done)
        if np.isfinite(timeout) and timeout >= 0.0:
            outcome = await done
        if goal.is_cancel_requested:
            goal.canceled()
        elif outcome.success:
            goal.succeed()
        else:
            goal.abort()
        return self._kind.Result(
            success=outcome.success, reason_code=outcome.reason_code, detail=outcome.detail, seconds=outcome.seconds
        )

    def _resolve(self, waiting: tuple[int, ServerGoalHandle, Future]) -> bool:
        """Give the goal its outcome when there is one."""
        outcome = self.session.outcome(waiting[0])
        if outcome is not None:
            waiting[2].set_result(outcome)
        return outcome is not None

    def _report_status(self) -> None:
        with self._lock:
            now = self.now_ns()
            goal = self._goal
            if goal is not None and goal[1].is_cancel_requested and self.session.outcome(goal[0]) is None:
                self.session.cancel(now)
            status = self.session.status(now)
            state, detail, progress, sure = self.session.feedback
            if goal is not None and self._resolve(goal):
                self._goal = goal = None
        if goal is not None:
            goal[1].publish_feedback(
                self._kind.Feedback(state=state, detail=detail, progress=progress, confidence=sure))
        self.send("vla/status", status)

    # --- 100 Hz, in a thread of its own -----------------------------------------------------------------------

    def _tick(self, mono_ns: int, loop: Metronome) -> None:
        if not self.session.busy and loop.ticks % 10:
            return
        permits, gates = self._permits.take(mono_ns), self._gate.take(mono_ns)
        with self._lock:
            if permits:
                self.session.hear_permit(permits[-1].open(), permits[-1].arrival_ns)
            if gates:
                self.session.hear_gate(gates[-1].open())
            now = self.now_ns()
            command = self.session.tick(now, mono_ns)
            look = self.session.look(now)
        if command is not None:
            self.send("vla/joint_command", command)
        if look is not None:
            self._worker.offer(look)

    def _deliver(self, answer: Answer) -> None:
        """From the worker's thread."""
        with self._lock:
            now = self.now_ns()
            before = self.session.status(now)
            chunk = self.session.answer(answer, now)
            after = self.session.status(now)
        if chunk is not None:
            self.send("vla/action_chunk", chunk)
        if after.reason_code != before.reason_code:
            self.send("vla/status", after)  # a new reason does not wait for the next tick of the status

    def _report(self) -> tuple[int, str, dict[str, object]]:
        status = self.session.status(self.now_ns())
        values = {"epoch": status.epoch, "chunks": status.chunks, "inference_ms": status.inference_ms,
                  "overruns": self.loop.overruns, **dict(status.refusals)}  # fmt: skip
        trouble = status.state in ("waiting", "failed")
        return WARN if trouble else OK, f"{status.state} {status.reason_code}".strip(), values

    def close(self) -> None:
        self._worker.close()


def main() -> int:
    return run(VlaPolicy)


if __name__ == "__main__":
    raise SystemExit(main())
