"""When is a graph ready for a task, and what is still missing?"""

from __future__ import annotations

from typing import Protocol

from humanoid_core.topics import TOPICS
from humanoid_core.types import Level, Permit, SensorHealth

#: Topics that must have been heard of before a task makes sense, in the order in which they come to life.
NEEDED = ("joint_states", "imu/pelvis", "camera/head/image_raw", "camera/head/depth", "sim/truth", "ingest/robot_state",
          "ingest/sensor_health", "twin/state", "safety/status", "safety/permit", "robot/joint_command", "robot/mode",
          "vla/status")


class Sight(Protocol):
    """The part of a Watcher that is needed here."""

    def count(self, topic: str) -> int: ...

    def latest(self, topic: str) -> object | None: ...


def missing(sight: Sight, action_ready: bool) -> tuple[str, ...]:
    """What is not there yet, for people; empty when the graph is ready."""
    silent: dict[str, list[str]] = {}
    for name in NEEDED:
        if not sight.count(name):
            silent.setdefault(TOPICS[name].publisher, []).append(name)
    if not action_ready:
        silent.setdefault("vla_policy", []).append("action vla/follow_instruction")
    if silent:
        return tuple(f"{publisher} ({', '.join(names)})" for publisher, names in silent.items())
    return tuple(_judge(sight))


def _judge(sight: Sight) -> list[str]:
    lacking = []
    health, permit = sight.latest("ingest/sensor_health"), sight.latest("safety/permit")
    if isinstance(health, SensorHealth) and not health.all_required_ok:
        bad = [f"{s.topic} is {s.state}" for s in health.sources if s.state != "ok" and not s.backup]
        lacking.append(f"a healthy robot (ingest/sensor_health: {', '.join(bad) or 'a required source is not ok'})")
    if isinstance(permit, Permit) and not (permit.level <= Level.CAUTION and permit.scale > 0.0 and permit.accept_new):
        lacking.append(f"leave to move (safety/permit: level {Level(permit.level).name}; "
                       f"{_cause(sight) or 'no cause given'})")
    return lacking


def _cause(sight: Sight) -> str:
    return str(getattr(sight.latest("safety/status"), "cause", ""))
