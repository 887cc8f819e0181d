"""How the robot shall come to rest in an emergency: crouch while it stands, fall well when it cannot stay up.

Capture point xi = c + v sqrt(z / g): where the foot, or the centre of pressure, must be for the body to come to rest
(Pratt et al. 2006, "Capture point: a step toward humanoid push recovery"; extrapolated centre of mass in Hof 2008, "The
'extrapolated center of mass' concept suggests a simple control of balance in walking"). The pendulum obeys
d(xi)/dt = sqrt(g / z) (xi - p) with the pressure point p inside the soles: once xi is outside, it runs away unless
the robot steps, which it does not. What can be wrong is the estimate of xi, and the support shrinks for a moment
while a foot is unloaded, so a fall is certain only when xi has been outside by more than `support_fall` for
`history.MARGINS` ticks and still goes outward, or the base leans beyond `tilt_fallen`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from humanoid_core.types import Posture
from safety_nodes.core.freshness import twin
from safety_nodes.core.history import MARGINS
from safety_nodes.core.severity import EMERGENCY
from safety_nodes.core.types import Finding, Tick

#: xi still goes outward when its margin is not larger than before by more than the twin's noise, m.
NOISE = 0.003
#: Code and subject of the finding that says so.
FALL = ("SUPPORT", "fall")


def margin(x: Tick) -> float | None:
    """Capture point to the edge of the support, m, negative outside; None when the twin cannot say, NaN when it
    says nonsense."""
    believed = twin(x)
    return None if believed is None or x.robot.base_fixed else believed.support_margin


def outward(x: Tick, now: float) -> bool:
    """The margin is as small as it was at any of the last three ticks."""
    past = list(x.memory.history.margins)[-3:]
    return not past or now <= min(past) + NOISE


def falling(x: Tick) -> bool:
    """A fall cannot be avoided by standing still."""
    now, past = margin(x), x.memory.history.margins
    lasting = len(past) == MARGINS and all(m < x.config.support_fall for m in past)
    return now is not None and now < x.config.support_fall and lasting and outward(x, now)


def choose(x: Tick, latched: bool, found: Sequence[Finding]) -> Posture:
    """For the permit, from what the rules `fall` and `tilt` found after their k-of-n. FALL holds until the latch is let
    go of: nobody gets up half-way down. Where nothing tells how the body stands, or xi is outside by less, HOLD: legs
    go on balancing, nothing is lowered."""
    memory = x.memory
    down = any(f.severity >= EMERGENCY and (f.code == "FALLEN" or (f.code, f.subject) == FALL) for f in found)
    if not latched or x.robot.base_fixed:
        memory.posture = Posture.HOLD
    elif memory.posture == Posture.FALL or down:
        memory.posture = Posture.FALL
    else:
        now = margin(x)
        standing = now is not None and math.isfinite(now) and now > 0.0
        memory.posture = Posture.CROUCH if standing else Posture.HOLD
    return memory.posture
