"""The rules. A new one: write its file beside these, add its line here (docs/adding-a-rule.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from safety_nodes.core.rules import (
    actuator_fault,
    battery,
    com_support,
    command,
    communication,
    contact_force,
    environment,
    estimated,
    estop,
    fall,
    gate_silence,
    joint_acceleration,
    joint_position,
    joint_torque,
    joint_velocity,
    non_finite,
    override,
    preview,
    publisher,
    queues,
    runaway,
    self_collision,
    shape,
    source_fault,
    staleness,
    support,
    suspended,
    temperature,
    tilt,
    tracking,
    twin_model,
    twin_residual,
    uncertainty,
)
from safety_nodes.core.types import Finding, Tick


@dataclass(frozen=True)
class Rule:
    """``k`` of the last ``n`` ticks must agree before a finding counts; 1 of 1 = a hard limit. ``stop``: an error
    inside this rule is itself an EMERGENCY, because it guards the stop."""

    name: str
    check: Callable[[Tick], list[Finding]]
    k: int = 1
    n: int = 1
    stop: bool = False


RULES: tuple[Rule, ...] = (
    Rule("estop", estop.check, stop=True),
    Rule("override", override.check, stop=True),
    Rule("publisher", publisher.check),
    Rule("suspended", suspended.check),
    Rule("gate_silence", gate_silence.check),
    Rule("staleness", staleness.check),
    Rule("shape", shape.check),
    Rule("non_finite", non_finite.check),
    Rule("joint_position", joint_position.check),
    Rule("joint_velocity", joint_velocity.check, k=3, n=5),
    Rule("runaway", runaway.check, k=3, n=5),
    Rule("joint_torque", joint_torque.check, k=8, n=10),
    Rule("joint_acceleration", joint_acceleration.check, k=3, n=5),
    Rule("command", command.check),
    Rule("self_collision", self_collision.check, k=3, n=5),
    Rule("environment", environment.check, k=3, n=5),
    Rule("contact_force", contact_force.check, k=3, n=5),
    Rule("source_fault", source_fault.check),
    Rule("communication", communication.check),
    Rule("queues", queues.check),
    Rule("preview", preview.check),
    Rule("twin_model", twin_model.check),
    Rule("twin_residual", twin_residual.check, k=10, n=15),
    Rule("tilt", tilt.check, k=2, n=3),
    Rule("support", support.check, k=16, n=18),
    Rule("com_support", com_support.check, k=16, n=18),
    Rule("fall", fall.check, k=3, n=5),
    Rule("temperature", temperature.check, k=2, n=3),
    Rule("battery", battery.check, k=3, n=5),
    Rule("tracking", tracking.check, k=10, n=15),
    Rule("estimated", estimated.check, k=2, n=3),
    Rule("actuator_fault", actuator_fault.check, k=2, n=3),
    Rule("uncertainty", uncertainty.check),
)
