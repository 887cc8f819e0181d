"""The way of commands from their sender to the drives of a simulated robot: it takes time, and not always the same."""

from __future__ import annotations

import numpy as np

from humanoid_core.timing import NS
from humanoid_core.types import JointCommand
from sim_nodes.core.arrivals import Arrivals
from sim_nodes.core.plant import Plant


class CommandWay:
    """Each command acts ``delay`` to ``delay + jitter`` s (uniform, seeded) after it was given, from the physics step
    on that begins then; none overtakes another. Without either it acts at once."""

    def __init__(self, plant: Plant, delay: float = 0.0, jitter: float = 0.0, seed: int = 0) -> None:
        self.plant, self.delay, self.jitter = plant, delay, jitter
        self._rng = np.random.default_rng([seed, 0xC0])
        self._arrivals, self._last_ns = Arrivals(), 0

    def command(self, command: JointCommand) -> None:
        late = self.delay + (float(self._rng.uniform(0.0, self.jitter)) if self.jitter else 0.0)
        self._last_ns = max(self._last_ns, self.plant.time_ns + round(late * NS))
        self._arrivals.add(self._last_ns, command)

    def step(self, count: int) -> None:
        """``count`` steps of the plant's physics, each with what has arrived when it begins."""
        self._arrivals.run(self.plant, count, self.plant.time_ns, self.plant.dt_ns)
