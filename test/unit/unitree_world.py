"""A G1 by its frames, for tests of the bridge: lowstate records and commands for it."""

from __future__ import annotations

import numpy as np

from humanoid_core.robot import load_robot
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointCommand
from robot_nodes.core.frames import LOW_STATE, Record, new, sealed
from robot_nodes.core.intake import IntakeConfig
from robot_nodes.core.unitree_spec import load_spec

G1 = load_robot("g1")
SPEC = load_spec()
CONFIG = IntakeConfig(5, 0.001, 40 * MS, 5 * MS, 100 * MS)
T0 = 1_000 * NS


def frame(tick: int, mode_machine: int = 5, **values: object) -> Record:
    record = new(LOW_STATE)
    record["tick"], record["mode_machine"] = tick, mode_machine
    record["motor_state"]["q"][:G1.n] = G1.stand
    record["imu_state"]["quaternion"] = (1.0, 0.0, 0.0, 0.0)
    record["motor_state"]["temperature"][:] = (40, 55)
    for name, value in values.items():
        record[name] = value
    return sealed(record)


def command(q: np.ndarray, joints: tuple[int, ...] = G1.groups["upper_body"], **values: np.ndarray) -> JointCommand:
    empty = np.zeros(0)
    rest = {"velocity": empty, "effort": empty, "kp": empty, "kd": empty, **values}
    return JointCommand(T0, 1, 1, "test", tuple(G1.joint_names[i] for i in joints), q[list(joints)], **rest)
