"""A policy that has nothing to say is not replaced by the first who does (C1 while it idles)."""

from __future__ import annotations

import numpy as np
import pytest

from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand, Level
from safety_nodes.core.identity import Succession
from sim_nodes.core.plant import PlantParams

ROBOT = load_robot("g1")
UPPER = list(ROBOT.groups["upper_body"])
OWNER, OTHER = (bytes([k]) * 12 for k in (1, 2))
COMMANDS, STATUS = b"\0\0\1\3", b"\0\0\2\3"


def heard(status: bytes, command: bytes, ms: int) -> Succession:
    """A command ``ms`` after a status."""
    who = Succession(NS)
    who.present(status + STATUS, 10 * NS)
    who.hear(command + COMMANDS, 10 * NS + ms * MS)
    return who


@pytest.mark.parametrize(("command", "ms", "disputed"), [(OWNER, 50, False), (OTHER, 50, True), (OTHER, 600, False)])
def test_who_commands_while_another_policy_is_alive_is_an_intruder(command: bytes, ms: int, disputed: bool) -> None:
    assert heard(OWNER, command, ms).disputed(10 * NS + ms * MS) is disputed


def test_a_policy_that_was_started_anew_is_none() -> None:
    who = Succession(NS)
    for k in range(20):
        sender = OWNER if k < 10 else OTHER  # killed, and back after 1.5 s
        at = (10 + 0.1 * k + (1.5 if k >= 10 else 0.0)) * NS
        who.present(sender + STATUS, round(at))
        who.hear(sender + COMMANDS, round(at))
        assert not who.disputed(round(at))


def test_an_intruder_on_an_idle_policys_topic_is_stopped_and_latched() -> None:
    with Lockstep(ROBOT, seed=1, plant=PlantParams(objects=""), policy="reach") as house:
        house.run(3.0)
        assert house.newest["safety/status"].level <= Level.CAUTION
        assert house.newest["vla/status"].state == "idle"
        names, pose = tuple(ROBOT.joint_names[i] for i in UPPER), ROBOT.rest[UPPER]
        for seq in range(1, 60):
            house.say("vla/joint_command", JointCommand(house.ros_ns, seq, 99, "stranger", names, pose,
                                                        np.zeros(len(pose))), b"stranger")
            house.run(0.01)
        status = house.newest["safety/status"]
        assert (status.level, status.estop_latched) == (Level.EMERGENCY, True)
        assert "PUBLISHER: vla/joint_command" in status.cause
        assert house.newest["safety/gate"].passed < 5
