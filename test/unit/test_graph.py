"""The graph description: what is refused, how it is worded, and what a node is started with."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanoid_core.graph import GraphError, Respawn, graph_from_data, known_graphs, load_graph, parse_setting

FILE = Path("some/graph.yaml")
TWO: dict[str, Any] = {
    "description": "two nodes",
    "arguments": {"robot": "g1", "seed": 3},
    "environment": {"OMP_NUM_THREADS": "1"},
    "nodes": [
        {"name": "late", "executable": "b", "after": ["early"], "parameters": {"seed": "${seed}"}},
        {"name": "early", "executable": "a", "parameters": {"robot": "${robot}", "label": "r-${robot}-${seed}"}},
    ],
}


def changed(**change: Any) -> dict[str, Any]:
    data = copy.deepcopy(TWO)
    data["nodes"][0].update(change)
    return data


def test_nodes_start_after_the_ones_they_name() -> None:
    assert [n.name for n in graph_from_data(TWO, FILE).nodes] == ["early", "late"]


def test_arguments_fill_in_and_keep_their_type() -> None:
    graph = graph_from_data(TWO, FILE, {"seed": 11})
    assert graph.node("late").parameters == {"seed": 11}
    assert graph.node("early").parameters == {"robot": "g1", "label": "r-g1-11"}


def test_the_folder_of_the_configuration_is_known_to_every_graph() -> None:
    file = Path(load_graph("sim").nodes[0].environment["FASTDDS_DEFAULT_PROFILES_FILE"])
    assert file.is_file()


def test_a_node_may_wait_for_one_value_of_an_argument() -> None:
    assert "unitree_bridge" in [n.name for n in load_graph("real").nodes]
    assert "unitree_bridge" not in [n.name for n in load_graph("real", {"driver": "none"}).nodes]
    with pytest.raises(GraphError, match=r"real.yaml: arguments.driver = 'unitre': must be one of none, .*unitree"):
        load_graph("real", {"driver": "unitre"})
    assert load_graph("real", {"actuate": False}).node("unitree_bridge").parameters["actuate"] is False


def test_settings_override_parameters() -> None:
    graph = graph_from_data(TWO, FILE, settings=[parse_setting("late.seed=5"), parse_setting("late.noise=0.5")])
    assert graph.node("late").parameters == {"seed": 5, "noise": 0.5}


def test_command_line_quotes_texts_so_that_they_stay_texts() -> None:
    graph = graph_from_data(TWO, FILE, settings=[parse_setting("late.code='007'"), parse_setting("late.on=true")])
    arguments = graph.node("late").ros_arguments("left")
    assert "__ns:=/left" in arguments
    assert 'code:="007"' in arguments
    assert "on:=true" in arguments


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"respwan": {}}, ["respwan", "'respawn'"]),
        ({"after": ["earli"]}, ["earli", "'early'"]),
        ({"after": ["late"]}, ["wait for one another"]),
        ({"name": "early"}, ["given twice"]),
        ({"parameters": {"x": "${sed}"}}, ["late.parameters.x", "'seed'"]),
        ({"parameters": {"x": {"y": 1}}}, ["late.parameters.x", "number"]),
        ({"parameters": {"x": [1, "a"]}}, ["late.parameters.x"]),
        ({"parameter_file": "nowhere.yaml"}, ["late.parameter_file", "nowhere.yaml"]),
        ({"required": "yes"}, ["nodes[0].required"]),
        ({"respawn": {"delay": 0.0}}, ["nodes[0].respawn.delay"]),
        ({"respawn": {"delay": float("nan")}}, ["nodes[0].respawn.delay"]),
        ({"executable": "command_gate", "respawn": {}}, ["command_gate", "never restarted"]),
        ({"executable": "unitree_bridge", "respawn": {}}, ["unitree_bridge", "never restarted"]),
    ],
)
def test_a_wrong_node_is_refused_with_file_and_key(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(GraphError) as refused:
        graph_from_data(changed(**change), FILE)
    for word in [str(FILE), *words]:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["late", "late.seed", "=3", ".x=3", "late.=3", "late.x={a: 1}", "late.x=[1"])
def test_a_wrong_setting_is_refused(text: str) -> None:
    with pytest.raises(GraphError, match="--set"):
        parse_setting(text)


def test_a_setting_for_an_unknown_node_names_the_nearest() -> None:
    with pytest.raises(GraphError, match="'early'"):
        graph_from_data(TWO, FILE, settings=[parse_setting("earli.x=1")])


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises(GraphError, match="'robot'"):
        graph_from_data(TWO, FILE, {"robto": "h1"})


def test_an_unknown_graph_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="sim"):
        load_graph("simm")
    with pytest.raises(GraphError, match="no such graph file"):
        load_graph(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("content", ["- a\n", "nodes: [\n", "description: a\ndescription: b\nnodes: []\n", "\xff\xfe"])
def test_a_file_that_is_no_graph_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "graph.yaml"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(GraphError) as refused:
        load_graph(str(path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", known_graphs())
def test_every_graph_of_the_repository_loads(name: str) -> None:
    graph = load_graph(name)
    assert graph.description
    assert all(n.environment["OMP_NUM_THREADS"] == "1" for n in graph.nodes)


def test_nothing_restarts_the_gate_or_forgets_a_latched_stop() -> None:
    for name in known_graphs():
        for node in load_graph(name).nodes:
            if node.executable in ("command_gate", "safety_monitor"):
                assert node.respawn is None
                assert node.required


def test_whoever_needs_to_know_what_stands_around_is_told_the_same() -> None:
    """The gate stops before the table, the twin looks ahead for it, the monitor judges it."""
    for name in known_graphs():
        usual = "table" if name in ("sim", "gazebo") else ""
        for arguments, wanted in (({}, usual), ({"environment": "lab.yaml"}, "lab.yaml")):
            told = {n.name: n.parameters["environment"] for n in load_graph(name, arguments).nodes
                    if n.name in ("command_gate", "safety_monitor", "twin_sync", "scene_markers")}
            assert set(told.values()) == {wanted}, (name, told)
            assert {"safety_monitor", "twin_sync"} <= told.keys()


@given(
    delay=st.floats(0.01, 10.0),
    longest=st.floats(0.01, 100.0),
    restarts=st.integers(0, 40),
)
def test_back_off_never_shrinks_and_never_passes_its_longest(delay: float, longest: float, restarts: int) -> None:
    respawn = Respawn(delay=delay, longest=longest)
    assert respawn.wait(restarts) <= respawn.wait(restarts + 1) <= longest


def test_every_graph_brings_the_gate_up_first_and_waits_for_the_policy_nowhere() -> None:
    """A slow policy must not hold up what keeps the robot safe."""
    wanted = ["command_gate", "safety_monitor", "sensor_ingest", "twin_sync", "vla_policy"]
    for name in known_graphs():
        nodes = load_graph(name).nodes
        chain = [n for n in nodes if n.name in wanted]
        assert [n.name for n in chain] == [n for n in wanted if n in [c.name for c in chain]]
        for before, after in pairwise(chain):
            assert after.after == (before.name,)
        assert not [n.name for n in nodes if "vla_policy" in n.after]


def test_a_managed_node_is_told_to_wait_for_its_manager() -> None:
    graph = graph_from_data(changed(managed=False), FILE)
    assert [("autostart:=false" in n.ros_arguments()) for n in graph.nodes] == [True, False]
