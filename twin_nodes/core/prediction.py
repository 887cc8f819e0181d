"""The pending chunk, what is expected of it, and how earlier expectations came out."""

from __future__ import annotations

from humanoid_core.environment import Obstacle
from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ActionChunk, TwinPrediction
from twin_nodes.core.preview import Look, Preview, chunk_problem
from twin_nodes.core.scoring import UNKNOWN, Scoring, Three
from twin_nodes.core.start import Start


class Predictor:
    """Looks ahead from the newest state with the newest chunk. ``scale``: share of the command speed that the safety
    level permits; 0 forbids motion, and what would happen if it did not is looked at, but not expected."""

    def __init__(self, robot: RobotModel, horizon: float, cap: float, environment: tuple[Obstacle, ...] = (),
                 self_margin: float = 0.001) -> None:
        self.robot, self.horizon = robot, horizon
        self.preview = Preview(robot, cap, environment, self_margin)
        self.scoring = Scoring()
        self.refusals = Refusals()
        self.scale = 1.0
        self.chunk: ActionChunk | None = None
        self._looking = False

    def on_chunk(self, chunk: ActionChunk) -> str:
        """Take a chunk as the pending one; the reason code when it cannot be used."""
        code, detail = chunk_problem(self.robot, chunk)
        if not code and chunk.seq < 1:
            code, detail = "OUT_OF_RANGE", "seq = 0: chunks are numbered from 1"
        if not code and self.chunk is not None and (chunk.epoch, chunk.seq) < (self.chunk.epoch, self.chunk.seq):
            code, detail = "OLD_SEQUENCE", f"chunk {chunk.seq} of epoch {chunk.epoch} after {self.chunk.seq}"
        if code:
            return self.refusals.refuse(code, detail)
        self.chunk = chunk
        return ""

    def on_permit(self, scale: float) -> None:
        """Share of the command speed that is permitted; what is no share forbids."""
        self.scale = scale if 0.0 <= scale <= 1.0 else 0.0

    def on_estimate(self, stamp_ns: int, position: Array) -> None:
        """Score the predictions for a time that has come; ``position`` (n,) as estimated."""
        self.scoring.came(stamp_ns, position)

    def predict(self, start: Start) -> tuple[TwinPrediction, Look]:
        """Look ahead from the start and remember what is expected."""
        chunk = self.pending(start.stamp_ns)
        look = self.look(start, chunk)
        return self.expect(look, chunk, start), look

    def pending(self, stamp_ns: int) -> ActionChunk | None:
        """The newest chunk; one whose last row has passed is pending no more."""
        chunk = self.chunk
        if chunk is None or chunk.stamp_ns + len(chunk.positions) * chunk.step_dt * NS < stamp_ns:
            return None
        return chunk

    def look(self, start: Start, chunk: ActionChunk | None, horizon: float | None = None) -> Look:
        """What a valid chunk would do. RuntimeError when another look is under way, in another thread: they would write
        into the same copy of the model."""
        if self._looking:
            raise RuntimeError("two looks ahead at once")
        self._looking = True
        try:
            return self.preview.look(start, chunk, self.horizon if horizon is None else horizon, self.scale or 1.0)
        finally:
            self._looking = False

    def expect(self, look: Look, chunk: ActionChunk | None, start: Start) -> TwinPrediction:
        """Remember the look for scoring, and put it into words."""
        if self.scale > 0.0 or chunk is None:
            self.scoring.expect(start.stamp_ns, start.q, start.v, look.time, look.trajectory)
        return as_prediction(look, start.stamp_ns, chunk.seq if chunk is not None else 0, self.horizon,
                             self.scoring.errors)

    def clear(self) -> None:
        """Stamps jumped back: what was expected of the old time line is void."""
        self.chunk = None
        self.scoring.clear()


def as_prediction(look: Look, stamp_ns: int, seq: int, horizon: float,
                  errors: tuple[Three, Three, Three] = (UNKNOWN,) * 3) -> TwinPrediction:
    predicted, hold, velocity = errors
    return TwinPrediction(stamp_ns, seq, horizon, look.joint_margin, look.self_distance, look.support_margin, look.code,
                          look.code_time, *predicted, hold, velocity, look.subject, look.environment_distance)
