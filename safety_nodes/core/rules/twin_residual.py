"""Does the robot still do what its model says? Innovations and anomalies of the twin.

Normalised innovation squared of each joint: chi-squared with one degree of freedom while the model fits, so 25 is five
standard deviations (Bar-Shalom et al. 2001, Estimation with Applications to Tracking and Navigation, 5.4). Anomalies
that the twin names: CAUTION. Never more than WARNING: the robot can still be watched, but nothing new is begun on a
model that does not fit. Legs no more than CAUTION: a push reaches the ankles through the ground, which the twin does
not model, and `support` judges it.
"""

from __future__ import annotations

import numpy as np

from safety_nodes.core import freshness
from safety_nodes.core.severity import CAUTION, WARNING, grade
from safety_nodes.core.types import Finding, Tick

#: Anomalies that other rules judge by themselves (CONTACT: `contact_force`, in N); and OUTLIER, a sample that the twin
#: did not use and speaks of for half a second: one is no fault, and many show in the innovations and as RELOCKED.
ELSEWHERE = ("STALE", "NO_CONTACT", "CLOCK_RESET", "CONTACT", "OUTLIER")


def check(x: Tick) -> list[Finding]:
    twin = freshness.twin(x)
    if twin is None:
        return []
    found = []
    steps = (x.config.residual_caution, x.config.residual_warning)
    if twin.nis.shape == (x.robot.n,):
        nis = np.nan_to_num(twin.nis, nan=0.0)  # NaN: a joint that is not measured
        nis[[x.robot.index(name) for name in x.memory.recovery.removed]] = 0.0  # it must not hide another one
        legs = list(x.robot.groups.get("legs", ()))
        nis[legs] = np.minimum(nis[legs], 0.99 * steps[1])
        worst = int(np.argmax(nis))
        severity = min(grade(float(nis[worst]), steps), WARNING)
        if severity > 0.0:
            limit = steps[1] if severity >= WARNING else steps[0]
            found.append(Finding("TWIN_RESIDUAL", x.robot.joint_names[worst], float(twin.nis[worst]), limit, severity))
    named = [a for a in twin.anomalies if a.split(":")[0].split(" ")[0] not in ELSEWHERE]
    found += [Finding("TWIN_RESIDUAL", word[:80], 1.0, 0.0, CAUTION) for word in named[:3]]
    return found
