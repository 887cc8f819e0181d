"""The fault matrix as data: rows by family, what plays them in lockstep, and who judges."""

from __future__ import annotations

from humanoid_bench.faults import commands, data, estop, physics, processes, timing
from humanoid_bench.faults.configuration import REFUSALS, Refusal
from humanoid_bench.faults.row import Row

ROWS: dict[str, Row] = {row.id: row for family in (data, timing, commands, processes, estop, physics)
                        for row in family.ROWS}
SETTINGS: dict[str, Refusal] = {row.id: row for row in REFUSALS}
#: Rows that cannot be played yet, and why.
NOT_RUN = {f"S{k}": "needs SROS 2" for k in range(1, 5)}
