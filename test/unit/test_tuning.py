"""Every tuning file in config/nodes says what its node's parameter dataclass says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from humanoid_replay.params import BagPlayerParams, BagRecorderParams
from humanoid_ros.params import from_mapping
from robot_nodes.params import ControlParams, UnitreeParams
from safety_nodes.params import GateParams, MonitorParams
from sim_nodes.params import SimParams
from twin_nodes.params import IngestParams, TwinParams
from view_nodes.params import DashboardParams, MarkersParams, MetricsParams
from vla_nodes.params import VlaParams

FOLDER = Path(__file__).resolve().parents[2] / "config" / "nodes"
NODES: dict[str, type] = {
    "bag_player": BagPlayerParams, "bag_recorder": BagRecorderParams, "command_gate": GateParams,
    "dashboard": DashboardParams, "metrics": MetricsParams, "ros2_control_bridge": ControlParams,
    "safety_monitor": MonitorParams, "scene_markers": MarkersParams, "sensor_ingest": IngestParams,
    "sim_robot": SimParams, "twin_sync": TwinParams, "unitree_bridge": UnitreeParams, "vla_policy": VlaParams,
}


def test_no_tuning_file_is_left_out() -> None:
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(NODES)


@pytest.mark.parametrize(("node", "cls"), NODES.items())
def test_tuning_file_and_parameters_agree(node: str, cls: type) -> None:
    text = (FOLDER / f"{node}.yaml").read_text()
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert from_mapping(node, cls, values) == cls()
    assert list(values) == [f.name for f in dataclasses.fields(cls)]
    for field in dataclasses.fields(cls):
        assert field.metadata["doc"] in text, f"{node}.yaml says something else of {field.name}"
