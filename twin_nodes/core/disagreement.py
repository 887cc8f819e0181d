"""Two IMUs that disagree about where up is, and which of them is worse."""

from __future__ import annotations

from humanoid_core.robot_model import Array
from humanoid_core.types import ImuSample
from twin_nodes.core.turning import angle_between, up

#: Share of a new acceleration in the running mean; one look each 50 ms makes 0.4 s.
SHARE = 0.12


class Disagreement:
    """The one whose attitude fits its own accelerometer worse is the worse one: at rest, gravity is all it feels."""

    def __init__(self, limit: float, patience_ns: int) -> None:
        self._limit, self._patience_ns = limit, patience_ns
        self._since_ns: int | None = None
        self._mean: list[Array | None] = [None, None]

    @property
    def agree(self) -> bool:
        """Whether the last look found no disagreement."""
        return self._since_ns is None

    def look(self, now_ns: int, samples: tuple[ImuSample, ImuSample], ups: tuple[Array, Array]) -> int | None:
        """Index of the worse one once both have disagreed for long enough, else None.

        ``samples`` in their own frames; ``ups``: up (3,) in one common frame, as each of the two sees it.
        """
        errors = [self._error(i, sample) for i, sample in enumerate(samples)]
        if angle_between(*ups) <= self._limit:
            self._since_ns = None
            return None
        if self._since_ns is None:
            self._since_ns = now_ns
        if now_ns - self._since_ns < self._patience_ns:
            return None
        return int(errors[1] > errors[0])

    def _error(self, i: int, sample: ImuSample) -> float:
        mean = self._mean[i]
        accel = sample.linear_acceleration
        mean = accel if mean is None else mean + SHARE * (accel - mean)
        self._mean[i] = mean
        return angle_between(mean, up(sample.orientation))

    def move(self, step_ns: int) -> None:
        """The clock was set ahead by ``step_ns``."""
        if self._since_ns is not None:
            self._since_ns += step_ns

    def clear(self) -> None:
        self._since_ns, self._mean = None, [None, None]
