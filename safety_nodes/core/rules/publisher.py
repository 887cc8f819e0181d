"""Who may speak on the gated topics. Two live senders on one of them: somebody drives past the gate, EMERGENCY. A
policy that idles is alive as well: whoever commands while another process says `vla/status` is one too many.

A second publisher that the graph lists but nobody heard is less sure, because a killed process stays listed until
its lease ends: CAUTION on the policy's topic and on /clock (policies and simulators are restarted; stamps that jump
are judged by themselves), DANGER where the gate or the monitor speaks.
"""

from __future__ import annotations

from safety_nodes.core.severity import CAUTION, DANGER, EMERGENCY
from safety_nodes.core.types import Finding, Tick

GATED, CLOCK = ("vla/joint_command", "safety/permit", "robot/joint_command", "robot/mode"), "/clock"
#: What the owner of a gated topic speaks on all the time, also while it has nothing to say on that one.
SHOWN_BY = {"vla/status": "vla/joint_command"}
RESTARTED = ("vla/joint_command", CLOCK)


def check(x: Tick) -> list[Finding]:
    found = [Finding("PUBLISHER", topic, 2.0, 1.0, EMERGENCY) for topic in x.inputs.intruders]
    for topic, count in x.inputs.publishers:
        if count > 1:
            severity = CAUTION if topic in RESTARTED else DANGER
            found.append(Finding("PUBLISHER", topic, float(count), 1.0, severity))
    return found
