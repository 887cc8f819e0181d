"""EMERGENCY, latched: the arms come to rest first, then the body does what the posture says.

HOLD: stand. CROUCH: lower the body; arms soft, legs balancing. FALL, when a fall cannot be avoided: arms to the robot
file's fall posture at once. A body that has begun to crouch catches more than an upright one, and only in RUN does the
onboard controller listen for the arms: it is taken out of its crouch only once it is seen to topple. The stop itself
never makes the robot fall: DAMP, which takes the legs' torque away, is asked for only once the body is measured to be
low and at rest for ``settle_time``: lying after a fall, or, where ``damp_crouched`` allows it, crouched. What was
reached is not gone back on: a robot that is down is not made to stand up, unless it topples.
"""

from __future__ import annotations

from humanoid_core.types import Mode, Posture
from safety_nodes.core.actions.orders import Arms, Orders, Situation


def emergency(s: Situation) -> Orders:
    if s.mode == Mode.DAMP or s.lying >= s.settle_time:
        return _stay(Arms.BRAKE, Mode.DAMP)
    if s.posture == Posture.FALL and (s.mode != Mode.CROUCH or s.toppling):
        return _stay(Arms.TUCK, Mode.RUN)
    if not s.still and s.mode == Mode.RUN:
        return _stay(Arms.BRAKE, Mode.RUN)
    if s.posture == Posture.HOLD:
        return _stay(Arms.BRAKE, Mode.HOLD)
    damp = s.damp_crouched and s.low >= s.settle_time
    return _stay(Arms.BRAKE, Mode.DAMP if damp else Mode.CROUCH)


def _stay(arms: Arms, mode: Mode) -> Orders:
    return Orders(arms, 0.0, False, mode)
