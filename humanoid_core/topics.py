"""The one table of topics: name, type, rate and QoS. Everything that publishes or subscribes reads it here.

Names are relative, so a namespace makes a second robot. docs/topics.md is generated from this file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One topic. ``rate_hz`` is the nominal rate (None: on events); times in milliseconds (None: not offered)."""

    name: str
    type: str
    rate_hz: float | None
    publisher: str
    doc: str
    depth: int = 5
    reliable: bool = True
    latched: bool = False  # durability transient local
    deadline_ms: float | None = None
    liveliness_ms: float | None = None


def _sensor(name: str, kind: str, rate: float | None, publisher: str, doc: str, depth: int = 5) -> Topic:
    return Topic(name, kind, rate, publisher, doc, depth=depth, reliable=False)


_ROBOT = "robot"

_TABLE = (
    _sensor("joint_states", "sensor_msgs/msg/JointState", 200, _ROBOT, "measured joints"),
    _sensor("imu/pelvis", "sensor_msgs/msg/Imu", 200, _ROBOT, "IMU in the pelvis"),
    _sensor("imu/torso", "sensor_msgs/msg/Imu", 200, _ROBOT, "IMU in the torso"),
    _sensor("foot_contacts/left", "geometry_msgs/msg/WrenchStamped", 200, _ROBOT, "ground force on the left sole"),
    _sensor("foot_contacts/right", "geometry_msgs/msg/WrenchStamped", 200, _ROBOT, "ground force on the right sole"),
    _sensor("camera/head/image_raw", "sensor_msgs/msg/Image", 10, _ROBOT, "head camera, rgb8", depth=2),
    _sensor("camera/head/depth", "sensor_msgs/msg/Image", 10, _ROBOT, "depth in metres, 32FC1", depth=2),
    _sensor("camera/head/camera_info", "sensor_msgs/msg/CameraInfo", 10, _ROBOT, "head camera's intrinsics", depth=2),
    Topic("battery_state", "sensor_msgs/msg/BatteryState", 5, _ROBOT, "battery"),
    Topic("motor_status", "humanoid_twin/msg/MotorStatus", 10, _ROBOT, "temperature, current, voltage, faults"),
    _sensor("ingest/robot_state", "humanoid_twin/msg/RobotState", 200, "sensor_ingest",
            "validated, name-ordered, time-aligned state"),
    Topic("ingest/sensor_health", "humanoid_twin/msg/SensorHealth", 10, "sensor_ingest",
          "age, rate, gaps, jitter and refusals of each source", depth=1, latched=True),
    _sensor("twin/state", "humanoid_twin/msg/TwinState", 100, "twin_sync", "the twin's estimate"),
    _sensor("twin/joint_states", "sensor_msgs/msg/JointState", 50, "twin_sync", "the ghost robot"),
    Topic("twin/prediction", "humanoid_twin/msg/TwinPrediction", 10, "twin_sync", "what the pending chunk will do"),
    Topic("twin/health", "humanoid_twin/msg/TwinHealth", 1, "twin_sync", "condition of the actuators", depth=1,
          latched=True),
    Topic("vla/instruction", "std_msgs/msg/String", None, "user", "what the robot is asked to do", depth=1,
          latched=True),
    Topic("vla/action_chunk", "humanoid_twin/msg/ActionChunk", None, "vla_policy", "the policy's plan"),
    Topic("vla/joint_command", "humanoid_twin/msg/JointCommand", 100, "vla_policy", "set-points asked for", depth=1),
    Topic("vla/status", "humanoid_twin/msg/VlaStatus", 10, "vla_policy", "what the policy does and why not",
          depth=1, latched=True),
    Topic("safety/permit", "humanoid_twin/msg/Permit", 100, "safety_monitor", "leave to move", depth=1,
          deadline_ms=50),
    Topic("safety/status", "humanoid_twin/msg/SafetyStatus", 100, "safety_monitor", "level and its causes", depth=1,
          latched=True),
    Topic("safety/gate", "humanoid_twin/msg/GateStatus", 10, "command_gate", "what the gate passed and refused",
          depth=1, latched=True),
    Topic("safety/estop", "humanoid_twin/msg/EStopState", 10, "stop sources", "heartbeat of each stop source",
          depth=5, latched=True, liveliness_ms=500),
    Topic("safety/override", "humanoid_twin/msg/OverrideState", 10, "user", "heartbeat of a human override", depth=1),
    Topic("safety/events", "humanoid_twin/msg/SafetyEvent", None, "safety_monitor, command_gate",
          "level changes, latches, resets, refusals, recoveries", depth=50, latched=True),
    Topic("robot/joint_command", "humanoid_twin/msg/JointCommand", 100, "command_gate", "the only way to the robot",
          depth=1, deadline_ms=50),
    Topic("robot/mode", "humanoid_twin/msg/RobotMode", 10, "command_gate", "what the onboard controller shall do",
          depth=1, latched=True),
    Topic("sim/truth", "humanoid_twin/msg/SimTruth", 20, "sim_robot", "for judging only; no policy may read it",
          depth=1),
    Topic("view/markers", "visualization_msgs/msg/MarkerArray", 10, "scene_markers",
          "plan, balance, distances and level for rviz2", depth=1),
    Topic("diagnostics", "diagnostic_msgs/msg/DiagnosticArray", 1, "every node", "for rqt_robot_monitor", depth=10),
)

TOPICS: dict[str, Topic] = {topic.name: topic for topic in _TABLE}


@dataclass(frozen=True)
class Endpoint:
    """A service or an action."""

    name: str
    type: str
    server: str
    doc: str


SERVICES: tuple[Endpoint, ...] = (
    Endpoint("safety/reset", "humanoid_twin/srv/ResetEStop", "safety_monitor", "re-arms after a latched stop"),
    Endpoint("twin/what_if", "humanoid_twin/srv/WhatIf", "twin_sync", "what a chunk would do"),
    Endpoint("twin/snapshot", "humanoid_twin/srv/Snapshot", "twin_sync", "the twin's state at a past time"),
    Endpoint("twin/calibrate", "humanoid_twin/srv/Calibrate", "twin_sync", "fits and applies a model revision"),
    Endpoint("sim/push", "humanoid_twin/srv/Push", "sim_robot", "an impulse on a link"),
    Endpoint("sim/set_fault", "humanoid_twin/srv/SetFault", "sim_robot", "sets or clears a fault"),
)

ACTIONS: tuple[Endpoint, ...] = (
    Endpoint("vla/follow_instruction", "humanoid_twin/action/FollowInstruction", "vla_policy",
             "prompt and timeout, progress, outcome"),
)


def as_markdown() -> str:
    """docs/topics.md."""
    lines = ["# Topics, services and actions", "",
             "Generated from `humanoid_core/topics.py` by `make docs`. Names are relative to the robot's namespace.",
             "", "| topic | type | Hz | QoS | from | what |", "|---|---|---|---|---|---|"]
    for t in TOPICS.values():
        qos = f"{'reliable' if t.reliable else 'best effort'} {t.depth}"
        qos += ", transient local" if t.latched else ""
        qos += f", deadline {t.deadline_ms:g} ms" if t.deadline_ms else ""
        qos += f", liveliness {t.liveliness_ms:g} ms" if t.liveliness_ms else ""
        rate = "–" if t.rate_hz is None else f"{t.rate_hz:g}"
        lines.append(f"| `{t.name}` | {t.type.replace('/msg/', '/')} | {rate} | {qos} | {t.publisher} | {t.doc} |")
    for title, table in (("service", SERVICES), ("action", ACTIONS)):
        lines += ["", f"| {title} | type | server | what |", "|---|---|---|---|"]
        lines += [f"| `{e.name}` | {e.type} | {e.server} | {e.doc} |" for e in table]
    return "\n".join(lines) + "\n"
