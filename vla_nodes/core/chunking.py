"""Real-time chunking: how firmly each row of a new chunk is bound to the one that is being executed.

Black, Galliker and Levine 2025, "Real-Time Execution of Action Chunking Flow Policies", eq. 5: rows that are executed
before the answer can be followed are frozen, rows that the old chunk still covers are bound ever less, the rest free.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.robot_model import Array


def weights(horizon: int, rows: int, delay: int) -> Array:
    """(horizon,) in 0…1 for ``rows`` of the old chunk that are left, ``delay`` of which are executed anyway.

    With c = (rows - i) / (rows - delay + 1) it is 1 for i < delay, c (e^c - 1) / (e - 1) up to ``rows``, then 0.
    """
    delay, rows = min(max(delay, 0), horizon), min(max(rows, 0), horizon)
    i = np.arange(horizon)
    c = (rows - i) / (rows - delay + 1.0) if rows >= delay else np.zeros(horizon)
    soft = c * np.expm1(c) / (np.e - 1.0)
    out: Array = np.where(i < min(delay, rows), 1.0, np.where(i < rows, soft, 0.0))
    return out
