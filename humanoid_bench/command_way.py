"""The way of commands from their sender to the drives of a simulated robot: it takes time, and not always the same."""

from __future__ import annotations

from collections import deque

import numpy as np

from humanoid_core.timing import NS
from humanoid_core.types import JointCommand
from sim_nodes.core.plant import Plant


class CommandWay:
    """Each command acts ``delay`` to ``delay + jitter`` s (uniform, seeded) after it was given, from the physics step
    on that begins then; none overtakes another. Without either it acts at once."""

    def __init__(self, plant: Plant, delay: float = 0.0, jitter: float = 0.0, seed: int = 0) -> None:
        self.plant, self.delay, self.jitter = plant, delay, jitter
        self._rng = np.random.default_rng([seed, 0xC0])
        self._waiting: deque[tuple[int, JointCommand]] = deque()

    def command(self, command: JointCommand) -> None:
        late = self.delay + (float(self._rng.uniform(0.0, self.jitter)) if self.jitter else 0.0)
        at_ns = self.plant.time_ns + round(late * NS)
        if self._waiting:
            at_ns = max(at_ns, self._waiting[-1][0])
        self._waiting.append((at_ns, command))

    def step(self, count: int) -> None:
        """``count`` steps of the plant's physics, each with what has arrived when it begins."""
        for _ in range(count):
            while self._waiting and self._waiting[0][0] <= self.plant.time_ns:
                self.plant.command(self._waiting.popleft()[1])
            self.plant.step()
