"""The rows of the fault matrix that `humanoid-twin inject` can play: id -> what is done to the running graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """``kind``: sensor (sim/set_fault), process (a signal), command, estop, override or push. ``expect``: codes of
    which the monitor or the gate must name one; empty: nothing may be alarmed (the fault is absorbed).
    ``stops``: the arms must stand still afterwards."""

    doc: str
    kind: str
    name: str
    target: str = ""
    value: float = 0.0
    expect: tuple[str, ...] = ()
    stops: bool = True


def _sensor(doc: str, name: str, target: str, *expect: str, value: float = 0.0, stops: bool = True) -> Row:
    return Row(doc, "sensor", name, target, value, expect, stops)


_STATE = ("STALE", "NO_STATE", "NO_PERMIT", "FROZEN", "NON_FINITE")

ROWS: dict[str, Row] = {
    "D1": _sensor("joint sensor stops", "stop", "joint_states", *_STATE),
    "D1-imu": _sensor("pelvis IMU stops, the torso's stands in", "stop", "imu/pelvis", "BACKUP_ACTIVE", stops=False),
    "D3": _sensor("joint values freeze while stamps advance", "freeze", "joint_states", *_STATE),
    "D4": _sensor("joint stamps lie a second back", "stale_stamp", "joint_states", *_STATE, value=1.0),
    "D5": _sensor("joint stamps lie a second ahead", "future_stamp", "joint_states", *_STATE, value=1.0),
    "D6": _sensor("joint stamps are zero", "zero_stamp", "joint_states", *_STATE),
    "D9": _sensor("a joint reads NaN", "nan", "joint_states", *_STATE),
    "D10": _sensor("a joint has a name that the robot does not", "wrong_names", "joint_states", *_STATE),
    "D11": _sensor("joints in degrees", "degrees", "joint_states", "JOINT_POSITION", "OUT_OF_RANGE", *_STATE),
    "D15": _sensor("the IMU's quaternion is not of unit length", "non_unit_quaternion", "imu/pelvis", "BACKUP_ACTIVE",
                   value=1.1, stops=False),
    "B4": _sensor("battery browns out", "battery_sag", "battery_state", "BATTERY", value=2.0),
    "B5": _sensor("a motor overheats", "overheating", "right_elbow_joint", "TEMPERATURE", value=12.0),
    "B1": Row("a recoverable push to the torso", "push", "torso_link", value=4.0, stops=False),
    "C1": Row("a second publisher on the policy's topic", "command", "second", "vla/joint_command",
              expect=("PUBLISHER",)),
    "C2": Row("somebody speaks straight to the robot", "command", "second", "robot/joint_command",
              expect=("PUBLISHER",)),
    "E6": Row("a stop source falls silent", "estop", "silent", expect=("ESTOP",)),
    "E0": Row("a stop button is pressed", "estop", "press", expect=("ESTOP",)),
    "H2": Row("the link of a human override is lost", "override", "lost", expect=("OVERRIDE", "NO_PERMIT")),
    "P1-monitor": Row("kill -9 of the monitor", "process", "KILL", "safety_monitor", expect=("NO_PERMIT",)),
    "P1-ingest": Row("kill -9 of the ingest", "process", "KILL", "sensor_ingest", expect=("STALE", "NO_STATE")),
    "P1-policy": Row("kill -9 of the policy", "process", "KILL", "vla_policy", expect=("NO_COMMAND",)),
    "P1-twin": Row("kill -9 of the twin", "process", "KILL", "twin_sync", expect=("NO_TWIN",), stops=False),
    "P1-gate": Row("kill -9 of the gate: the robot falls back by itself", "process", "KILL", "command_gate"),
    "P2-monitor": Row("the monitor hangs for 200 ms", "process", "STOP", "safety_monitor", 0.2, ("NO_PERMIT",)),
    "P2-ingest": Row("the ingest hangs for 200 ms", "process", "STOP", "sensor_ingest", 0.2, ("STALE", "NO_STATE")),
    "P2-gate": Row("the gate hangs for 200 ms", "process", "STOP", "command_gate", 0.2, ("NO_STATE", "JUMP")),
}
