"""How long until braking must begin, for everything that comes nearer to the robot's links.

Time left  t = (d - margin - v T - v^2 / (2 a)) / v  with distance d, approach v, reaction T and deceleration a: the
protective separation distance of ISO/TS 15066:2016, 5.5.4 (and ISO 13855), solved for the time until it is reached.
What stays or goes away is at most CAUTION: the way out stays open.
"""

from __future__ import annotations

import math

from safety_nodes.core.clearance import Clearance, Contact
from safety_nodes.core.severity import CAUTION, grade
from safety_nodes.core.types import Finding, Tick

#: Slower than this nothing comes nearer: noise of the measured velocities, m/s.
CREEP = 0.01
_SHOWN = 3


def nearby(x: Tick) -> list[Contact]:
    """Everything under the cap at this tick, computed once for all rules; empty without a finite state."""
    memory = x.memory
    if memory.near_ns != x.now_ns:
        if memory.clearance is None:
            memory.clearance = Clearance(x.robot)
        state = x.state
        known = state is not None and _finite(state.position.sum()) and _finite(state.velocity.sum())
        memory.near = memory.clearance.near(state.position, state.velocity) if known and state is not None else []
        memory.near_ns = x.now_ns
    return memory.near


def _finite(value: float) -> bool:
    return math.isfinite(value)


def time_left(contact: Contact, reaction: float, deceleration: float) -> float:
    """Seconds until braking must begin, negative when it is too late; inf when nothing comes nearer."""
    v = contact.approach
    if not v > CREEP:
        return math.inf
    return (contact.distance - contact.margin) / v - reaction - v / (2.0 * deceleration)


def findings(code: str, contacts: list[Contact], x: Tick) -> list[Finding]:
    """One for each of the worst: value = seconds left when it comes nearer, else the distance in m."""
    config, found = x.config, []
    steps = tuple(-s for s in config.steps("approach"))  # less time is worse
    for c in contacts:
        left = time_left(c, config.reaction_time, config.brake_deceleration)
        severity = grade(-left, steps) if left < math.inf else 0.0
        subject = f"{c.first} and {c.second}"
        if severity > 0.0:
            found.append(Finding(code, f"{subject}, seconds left", left, -steps[min(int(severity / 0.25), 3) - 1],
                                 severity))
        elif c.distance < c.margin:
            found.append(Finding(code, subject, c.distance, c.margin, CAUTION))
    return sorted(found, key=lambda f: -f.severity)[:_SHOWN]
