"""The black box saves once for each rise of the level, some seconds after it; its node's tuning file is true."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from humanoid_core.timing import NS
from humanoid_core.types import Level
from humanoid_replay.black_box import BlackBox
from humanoid_replay.params import BagPlayerParams, BagRecorderParams
from humanoid_ros.params import from_mapping

ROOT = Path(__file__).resolve().parents[2]


def test_one_save_for_each_rise_some_seconds_after_it() -> None:
    box, saved = BlackBox(Level.DANGER, 5.0), list[tuple[int, str]]()
    for second in range(60):
        level = Level.EMERGENCY if 10 <= second < 14 or 30 <= second < 50 else Level.CAUTION
        box.hear(level, "why", second * NS)
        if why := box.due(second * NS):
            saved.append((second, why))
    assert saved == [(15, "EMERGENCY why"), (35, "EMERGENCY why")]


def test_never_means_never() -> None:
    box = BlackBox(None, 0.0)
    box.hear(Level.EMERGENCY, "why", 0)
    assert box.due(NS) == ""


@pytest.mark.parametrize(("node", "cls"), [("bag_recorder", BagRecorderParams), ("bag_player", BagPlayerParams)])
def test_tuning_file_and_parameters_agree(node: str, cls: type) -> None:
    text = (ROOT / "config" / "nodes" / f"{node}.yaml").read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert from_mapping(node, cls, values) == cls()
    assert list(values) == [f.name for f in dataclasses.fields(cls)]
    for field in dataclasses.fields(cls):
        assert field.metadata["doc"] in text
