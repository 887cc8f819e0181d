"""A drive that reports a fault (vendor bits, 0 = none): DANGER, unless the robot file lets the joint drop out
(core/recovery.py). Silence of `motor_status` is ingest's to say.
"""

from __future__ import annotations

from safety_nodes.core.severity import DANGER
from safety_nodes.core.types import Finding, Tick


def check(x: Tick) -> list[Finding]:
    motors = x.inputs.motors.value if x.inputs.motors is not None else None
    if motors is None or not any(motors.fault) or len(motors.fault) != len(motors.names):
        return []
    return [Finding("ACTUATOR_FAULT", name, float(bits), 0.0, DANGER)
            for name, bits in zip(motors.names, motors.fault, strict=True) if bits]
