"""What a foreign robot calls its topics and joints, in a YAML file::

    topics: {/robot1/joint_states: joint_states, /robot1/imu: imu/pelvis}
    joints: {L_elbow: left_elbow_joint}
    sign: {L_elbow: -1}

Recorded names stand to the left. Topics that are not named are found by their own names; joints likewise.
"""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from humanoid_core.robot_schema import nearest
from humanoid_core.topics import TOPICS
from humanoid_core.types import JointSample

JOINTS = "sensor_msgs/msg/JointState"
KEYS = ("topics", "joints", "sign")


class MappingError(ValueError):
    """A mapping file that cannot be used; file, key and value in one line."""


@dataclass(frozen=True)
class Mapping:
    """Empty: every name is as it should be."""

    topic_names: Map[str, str] = field(default_factory=dict)
    joint_names: Map[str, str] = field(default_factory=dict)
    signs: Map[str, float] = field(default_factory=dict)

    def topics(self, bag: Any, found: Map[str, str]) -> dict[str, str]:
        """Recorded topic -> name in the table: ``found``, overruled by this file; MappingError for one that is not
        recorded."""
        recorded = {t.name.lstrip("/"): t.name for t in bag.topics}
        out = {k: v for k, v in found.items() if v not in self.topic_names.values()}
        for theirs, ours in self.topic_names.items():
            if theirs.lstrip("/") not in recorded:
                raise MappingError(f"topics.{theirs}: not in the recording; {nearest(theirs, list(recorded.values()))}")
            out[recorded[theirs.lstrip("/")]] = ours
        return out

    def sample(self, value: Any) -> Any:
        """A joint sample under this robot's names and signs; anything else as it is."""
        if not isinstance(value, JointSample) or not (self.joint_names or self.signs):
            return value
        sign = np.array([self.signs.get(name, 1.0) for name in value.names])
        turned = {key: getattr(value, key) * sign for key in ("position", "velocity", "effort")
                  if len(getattr(value, key)) == len(sign)}
        return replace(value, names=tuple(self.joint_names.get(n, n) for n in value.names), **turned)

    def message(self, topic: str, kind: str, data: bytes) -> Any:
        """Serialized ``data`` as it may be published: the same bytes, or a message with joints renamed."""
        if kind != JOINTS or not (self.joint_names or self.signs):
            return bytes(data)
        from humanoid_ros.cdr import decode
        from humanoid_ros.convert import to_msg
        from humanoid_ros.convert_sensors import joint_sample_from_msg

        return to_msg(self.sample(joint_sample_from_msg(decode(data, kind))))


def load_mapping(path: Path | None) -> Mapping:
    """Read and check a mapping file; None gives the empty one."""
    if path is None:
        return Mapping()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MappingError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise MappingError(f"{path}: must be a mapping with the keys {', '.join(KEYS)}")
    for key, value in data.items():
        if key not in KEYS:
            raise MappingError(f"{path}: {key}: unknown key; {nearest(str(key), list(KEYS))}")
        if not isinstance(value, dict):
            raise MappingError(f"{path}: {key} = {value!r}: must be a mapping")
    topics = data.get("topics", {})
    for theirs, ours in topics.items():
        if ours not in TOPICS:
            raise MappingError(f"{path}: topics.{theirs} = {ours!r}: no such topic; {nearest(str(ours), list(TOPICS))}")
    joints, signs = data.get("joints", {}), data.get("sign", {})
    for name, sign in signs.items():
        if sign not in (1, -1):
            raise MappingError(f"{path}: sign.{name} = {sign!r}: must be 1 or -1")
    twice = {j for j in joints.values() if list(joints.values()).count(j) > 1}
    if twice:
        raise MappingError(f"{path}: joints: {', '.join(sorted(map(str, twice)))} is named twice")
    return Mapping({str(k): str(v) for k, v in topics.items()}, {str(k): str(v) for k, v in joints.items()},
                   {str(k): float(v) for k, v in signs.items()})
