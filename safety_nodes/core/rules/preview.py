"""The twin's preview of the pending chunk: a violation that it expects is acted on before it happens.

Seconds until then = first_violation_time - age of the prediction. WARNING while braking can wait: no new motion is
begun and the speed falls to a quarter. DANGER when it is nearer than the robot needs to stop: the slowest joint of the
policy's group from its command speed at its command acceleration, v / a, plus the reaction time. A prediction older
than half a second means nothing. Without a pending chunk there is nothing to hold back; and of balance the preview
knows less than `support` and `fall`, which look at the body as it moves: no more than WARNING.
"""

from __future__ import annotations

import math

import numpy as np

from safety_nodes.core.freshness import age
from safety_nodes.core.rules.staleness import silent
from safety_nodes.core.severity import DANGER, WARNING
from safety_nodes.core.types import Finding, Tick

OLD = 0.5  # s


def check(x: Tick) -> list[Finding]:
    received = x.inputs.prediction
    if received is None or received.value is None or silent(received.mono_ns, x.now_ns, OLD):
        return []
    p = received.value
    old = age(x, p.stamp_ns)
    if not p.first_violation_code or not p.chunk_seq or not -0.1 <= old <= OLD:
        return []
    if p.first_violation_subject in x.memory.recovery.removed:
        return []  # the gate does not let the chunk move that joint
    left = p.first_violation_time - old
    group = list(x.robot.groups["upper_body"])
    stop = float(np.max(x.robot.command_velocity[group] / x.robot.command_acceleration[group])) + x.config.reaction_time
    far = left > stop or p.first_violation_code == "SUPPORT"
    severity = WARNING if far else DANGER  # NaN: nobody knows when, so now
    if math.isfinite(left) and left < -OLD:
        return []  # it should have happened long ago
    subject = f"expected: {p.first_violation_subject or 'chunk ' + str(p.chunk_seq)}, seconds left"
    return [Finding(p.first_violation_code, subject, left, stop, severity)]
