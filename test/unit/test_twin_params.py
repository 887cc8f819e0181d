"""The tuning files of the twin's nodes say what the parameter dataclasses say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from humanoid_ros.params import from_mapping
from twin_nodes.params import IngestParams, TwinParams

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("node", "cls"), [("sensor_ingest", IngestParams), ("twin_sync", TwinParams)])
def test_tuning_file_and_parameters_agree(node: str, cls: type) -> None:
    text = (ROOT / "config" / "nodes" / f"{node}.yaml").read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert from_mapping(node, cls, values) == cls()
    assert list(values) == [f.name for f in dataclasses.fields(cls)]
    for field in dataclasses.fields(cls):
        assert field.metadata["doc"] in text
