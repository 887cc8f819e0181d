"""Foreign names: topics and joints are found under them, and a mistake in the file is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from humanoid_core.types import JointSample
from humanoid_replay.mapping import MappingError, load_mapping


def write(path: Path, text: str) -> Path:
    file = path / "map.yaml"
    file.write_text(text)
    return file


def test_topics_joints_and_signs(tmp_path: Path) -> None:
    mapping = load_mapping(write(tmp_path, "topics: {/r/joints: joint_states}\njoints: {L: left}\nsign: {L: -1}\n"))
    bag = SimpleNamespace(topics=[SimpleNamespace(name="/r/joints"), SimpleNamespace(name="/imu/pelvis")])
    found = mapping.topics(bag, {"/imu/pelvis": "imu/pelvis"})
    assert found == {"/imu/pelvis": "imu/pelvis", "/r/joints": "joint_states"}
    sample = mapping.sample(JointSample(1, ("L", "right"), np.array([0.5, 0.25]), np.array([1.0, 2.0])))
    assert sample.names == ("left", "right")
    assert sample.position.tolist() == [-0.5, 0.25]
    assert sample.velocity.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize(("text", "words"), [
    ("topics: {/r: joint_stats}", "no such topic"), ("joint: {a: b}", "unknown key"),
    ("sign: {a: 2}", "must be 1 or -1"),
    ("joints: {a: x, b: x}", "named twice"), ("[1, 2]", "must be a mapping"), ("topics: 3", "must be a mapping")])
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(MappingError, match=words) as caught:
        load_mapping(write(tmp_path, text))
    assert "map.yaml" in str(caught.value)
