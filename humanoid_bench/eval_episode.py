"""One episode in closed loop, judged from the simulator's truth, and what was measured on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from humanoid_bench.eval_tasks import Spec
from humanoid_bench.eval_world import House
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk, JointCommand, Level, SafetyStatus
from sim_nodes.core.judge import Judge, Verdict
from vla_nodes.backends.base import Backend

#: Standing before the instruction comes; going on after the judge is content; looking at the truth every so many s.
BEFORE, AFTER, EVERY = 0.7, 3.0, 0.05
COMMAND_DT = 0.01


@dataclass(frozen=True)
class Result:
    """What came of an episode. ``success``: the judge's; ``claimed``: the policy's own view; ``refused``: the policy
    said no and nothing moved; ``code`` and ``detail``: why, in the policy's or the judge's words; ``seconds`` from the
    instruction to success (NaN without); ``path`` m of the hand; ``jerk`` RMS and greatest of the set-points, rad/s^3;
    ``safety``: times that the level rose to WARNING or more (-1: nobody watched); ``confidence``: mean over the chunks,
    NaN when there was none; ``wall`` s of computing."""

    policy: str
    split: str
    index: int
    seed: int
    task: str
    told: str
    success: bool
    claimed: bool
    refused: bool
    code: str
    detail: str
    distance: float
    seconds: float
    path: float
    jerk: float
    jerk_max: float
    safety: int
    fell: bool
    confidence: float
    chunks: int
    wall: float


class _Watch:
    """Listens to the house while an episode runs."""

    def __init__(self, house: House, judge: Judge) -> None:
        self._house, self._judge = house, judge
        self.verdict: Verdict = judge.verdict()
        self.done_ns = 0
        self.fell = False
        now = house.lockstep.newest.get("safety/status")
        self.rises, self._level = 0, Level.SAFE if now is None else now.level
        self.confidences: list[float] = []
        self.positions: list[np.ndarray] = []
        self._hands: dict[str, list[np.ndarray]] = {"left": [], "right": []}
        self._next_ns = 0
        lock = house.lockstep
        lock.listen("safety/status", self._status)
        lock.listen("vla/action_chunk", self._chunk)
        lock.listen(house.commands, self._command)

    def _status(self, status: SafetyStatus, now_ns: int) -> None:
        self.rises += status.level >= Level.WARNING > self._level
        self._level = status.level

    def _chunk(self, chunk: ActionChunk, now_ns: int) -> None:
        self.confidences.append(chunk.confidence)

    def _command(self, command: JointCommand, now_ns: int) -> None:
        if self._house.policy.session.busy:
            self.positions.append(np.array(command.position))

    def over(self) -> bool:
        """Every 10 ms: whether the episode is over."""
        lock = self._house.lockstep
        now = lock.now_ns
        if now < self._next_ns:
            return False
        self._next_ns = now + round(EVERY * NS)
        truth = lock.truth.read()
        self._judge.feed(truth)
        self._hands["left"].append(truth.left_hand)
        self._hands["right"].append(truth.right_hand)
        self.verdict = self._judge.verdict()
        self.fell |= truth.fallen
        if self.verdict.success and not self.done_ns:
            self.done_ns = now
        content = self.done_ns and now - self.done_ns > AFTER * NS
        return bool(self.fell or content or not self._house.policy.session.busy)

    def path(self) -> float:
        """m of the hand that was to do it, or of the one that moved more."""
        length = {side: float(np.sum(np.linalg.norm(np.diff(p, axis=0), axis=1))) if len(p) > 1 else 0.0
                  for side, p in self._hands.items()}  # fmt: skip
        return length.get(self._judge.side, max(length.values()))

    def jerk(self) -> tuple[float, float]:
        """RMS over time and joints, and the greatest."""
        if len(self.positions) < 4:
            return float("nan"), float("nan")
        third = np.diff(np.array(self.positions), n=3, axis=0) / COMMAND_DT**3
        return float(np.sqrt(np.mean(third**2))), float(np.max(np.abs(third)))


def run_episode(robot: RobotModel, spec: Spec, backend: Backend, *, kind: str = "full",
                timeout: float = 25.0) -> Result:
    """``kind``: a row of ``HOUSES``; ``timeout`` s of simulated time for the task."""
    begin = time.perf_counter()
    backend.forget()
    house = House(robot, spec, backend, kind, timeout)
    try:
        house.run(BEFORE)
        task = spec.task
        thing = task.thing if task.verb in ("touch", "point") else ""
        watch = _Watch(house, Judge(robot, task.verb, thing, task.hand))
        told_ns = house.lockstep.now_ns
        number = house.instruct(spec.told)
        house.run(timeout + 5.0, watch.over)
        return _result(house, watch, number, told_ns, backend.policy_id, time.perf_counter() - begin)
    finally:
        house.close()


def _result(house: House, watch: _Watch, number: int, told_ns: int, policy: str, wall: float) -> Result:
    spec, session = house.spec, house.policy.session
    outcome: Any = session.outcome(number)
    verdict = watch.verdict
    status = session.status(house.lockstep.now_ns)
    claimed = outcome is not None and outcome.success
    refused = outcome is not None and not outcome.success and session.chunks == 0
    code = outcome.reason_code if outcome is not None else ""
    detail = outcome.detail if outcome is not None and not outcome.success else verdict.reason
    # a policy that gives no confidence says 0 all the time
    sure = float(np.mean(watch.confidences)) if watch.confidences else status.confidence
    confidence = sure if sure > 0.0 else float("nan")
    jerk, jerk_max = watch.jerk()
    words = " ".join(w for w in (spec.task.verb, spec.task.thing, spec.task.hand) if w and w != "object")
    return Result(
        policy, spec.split, spec.index, spec.seed, words, spec.told, verdict.success, claimed, refused, code, detail,
        verdict.distance, (watch.done_ns - told_ns) / NS if watch.done_ns else float("nan"), watch.path(), jerk,
        jerk_max, watch.rises if house.kind == "full" else -1, watch.fell, confidence, session.chunks, wall,
    )  # fmt: skip
