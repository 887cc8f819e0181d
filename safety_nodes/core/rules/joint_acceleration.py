"""How hard a joint is accelerated: |dq_k - dq_(k-1)| / (t_k - t_(k-1)) as a share of the robot file's limit.

Finite difference of measured velocities over capture stamps. Two samples of noise s give an error of sqrt(2) s / dt
(0.7 rad/s^2 at 5 mrad/s and 10 ms, against limits of 60 and more), and contact is a matter of single samples, so the
check is k-of-n. Samples closer than `SHORT` or further apart than `LONG` say nothing.
"""

from __future__ import annotations

import numpy as np

from humanoid_core.timing import NS
from safety_nodes.core.severity import over
from safety_nodes.core.types import Finding, Tick

SHORT, LONG = 0.004, 0.05  # s


def check(x: Tick) -> list[Finding]:
    state, last = x.state, x.memory.history.state
    if state is None or last is None:
        return []
    dt = (state.stamp_ns - last.stamp_ns) / NS
    if not SHORT <= dt <= LONG:
        return []
    share = np.abs(state.velocity - last.velocity) / dt / x.robot.acceleration
    return over("JOINT_ACCELERATION", x.robot.joint_names, share, x.config.steps("acceleration"))
