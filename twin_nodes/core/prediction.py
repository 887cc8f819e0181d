"""The pending chunk, what is expected of it, and how earlier expectations came out."""

from __future__ import annotations

from collections import deque

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import ActionChunk, RobotState, TwinPrediction
from twin_nodes.core.preview import Look, Preview, chunk_problem

#: How far ahead earlier predictions are scored, ms, and the share of a new score in the running mean square.
AHEAD_MS, SHARE = (20, 100, 500), 0.1


class Predictor:
    """Looks ahead from the newest state with the newest chunk."""

    def __init__(self, robot: RobotModel, horizon: float, cap: float) -> None:
        self.robot, self.horizon = robot, horizon
        self.preview = Preview(robot, cap)
        self.refusals = Refusals()
        self.chunk: ActionChunk | None = None
        self._due: deque[tuple[int, int, Array]] = deque()
        self._square = [float("nan")] * len(AHEAD_MS)

    def on_chunk(self, chunk: ActionChunk) -> str:
        """Take a chunk as the pending one; the reason code when it cannot be used."""
        code, detail = chunk_problem(self.robot, chunk)
        if not code and self.chunk is not None and (chunk.epoch, chunk.seq) < (self.chunk.epoch, self.chunk.seq):
            code, detail = "OLD_SEQUENCE", f"chunk {chunk.seq} of epoch {chunk.epoch} after {self.chunk.seq}"
        if code:
            return self.refusals.refuse(code, detail)
        self.chunk = chunk
        return ""

    def on_state(self, state: RobotState) -> None:
        """Score every prediction for a time that has come."""
        late = []
        for due_ns, slot, expected in self._due:
            if due_ns > state.stamp_ns:
                late.append((due_ns, slot, expected))
            elif state.stamp_ns - due_ns <= 20 * MS:  # a gap in the states scores nothing
                error = float(np.mean((state.position - expected) ** 2))
                before = self._square[slot]
                self._square[slot] = error if before != before else before + SHARE * (error - before)
        self._due = deque(late)

    def predict(self, state: RobotState, base_orientation: Array | None = None) -> tuple[TwinPrediction, Look]:
        """Look ahead from the newest state and remember what is expected."""
        chunk = self.pending(state.stamp_ns)
        look = self.preview.look(chunk, state.position, state.stamp_ns, self.horizon, base_orientation)
        return self.expect(look, chunk, state.stamp_ns), look

    def pending(self, stamp_ns: int) -> ActionChunk | None:
        """The newest chunk; one whose last row has passed is pending no more."""
        chunk = self.chunk
        if chunk is None or chunk.stamp_ns + len(chunk.positions) * chunk.step_dt * NS < stamp_ns:
            return None
        return chunk

    def expect(self, look: Look, chunk: ActionChunk | None, stamp_ns: int) -> TwinPrediction:
        """Remember the look for scoring, and put it into words."""
        for slot, ahead in enumerate(AHEAD_MS):
            if ahead <= self.horizon * 1e3:
                expected = np.array([np.interp(ahead / 1e3, look.time, column) for column in look.trajectory.T])
                self._due.append((stamp_ns + ahead * MS, slot, expected))
        return as_prediction(look, stamp_ns, chunk.seq if chunk is not None else 0, self.horizon,
                             tuple(s**0.5 for s in self._square))

    def clear(self) -> None:
        """Stamps jumped back: what was expected of the old time line is void."""
        self.chunk = None
        self._due.clear()


def as_prediction(look: Look, stamp_ns: int, seq: int, horizon: float,
                  errors: tuple[float, ...] = (float("nan"),) * 3) -> TwinPrediction:
    return TwinPrediction(stamp_ns, seq, horizon, look.joint_margin, look.self_distance, look.support_margin, look.code,
                          look.code_time, *errors)
