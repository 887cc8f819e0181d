"""docs/real-robot.md and docs/gazebo.md: commands are commands, reasons are reasons, times are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from humanoid_cli import up as up_module
from humanoid_cli.main import main
from humanoid_core.graph import Graph, load_graph
from humanoid_core.reasons import REASONS
from humanoid_core.timing import NS
from robot_nodes.core.intake import BACK_NS
from robot_nodes.params import UnitreeParams

DOCS = Path(__file__).resolve().parents[2] / "docs"
REAL, GAZEBO = (DOCS / "real-robot.md").read_text(), (DOCS / "gazebo.md").read_text()


def commands(page: str, start: str) -> list[str]:
    """Lines of the code blocks that begin with ``start``."""
    blocks = re.findall(r"^```\n(.*?)^```", page, re.S | re.M)
    return [line.removeprefix("humanoid-twin ") for block in blocks for line in block.splitlines()
            if line.startswith(start)]


@pytest.mark.parametrize("command", commands(REAL, "humanoid-twin up"))
def test_each_graph_of_the_page_is_built_as_it_says(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the supervisor, which would start the nodes."""
    built: list[Graph] = []

    class Stop(Exception):
        pass

    def keep(*arguments: object) -> Graph:
        built.append(load_graph(*arguments))  # type: ignore[arg-type]
        raise Stop

    monkeypatch.setattr(up_module, "load_graph", keep)
    with pytest.raises(Stop):
        main(shlex.split(command))
    driver = re.search(r"--driver (\w+)", command)
    name = {"unitree": "unitree_bridge", "ros2_control": "ros2_control_bridge", "none": ""}[driver[1] if driver
                                                                                           else "unitree"]
    nodes = {n.name: n for n in built[0].nodes}
    assert {n for n in nodes if n.endswith("_bridge")} == ({name} if name else set())
    if name:
        assert nodes[name].parameters["actuate"] is ("--no-actuate" not in command)
    if "--interface eth0" in command:
        assert nodes[name].parameters["interface"] == "eth0"


@pytest.mark.parametrize("command", commands(GAZEBO, "humanoid-twin robot export"))
def test_each_export_of_the_page_writes_its_file(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(command)
    assert main(arguments) == 0
    assert (tmp_path / arguments[-1]).stat().st_size > 300


def test_launch_arguments_of_the_pages_exist() -> None:
    launch = "".join(p.read_text() for p in (DOCS.parent / "launch").glob("*.launch.py"))
    for name in re.findall(r"(\w+):=", "\n".join(commands(REAL, "ros2 launch") + commands(GAZEBO, "ros2 launch"))):
        assert f'("{name}"' in launch


def test_reasons_of_the_table_are_reason_codes() -> None:
    codes = set(re.findall(r"\b[A-Z]+_[A-Z]+\b|\bSTALE\b|\bJUMP\b|\bONBOARD\b|\bPUBLISHER\b", REAL)) - {"ROS_DOMAIN_ID"}
    codes -= {"ROS_DOMAIN"}
    assert codes <= set(REASONS)
    assert len(codes) >= 10


def test_times_of_the_table_are_the_parameters() -> None:
    p = UnitreeParams()
    for words in (f"by {p.lag * 1000:.0f} ms", f"for {p.state_timeout * 1000:.0f} ms; ".rstrip("; "),
                  f"after {p.lost_time:g} s more the weight goes to 0 in {p.release_time:g} s",
                  f"no command for {p.command_timeout * 1000:.0f} ms", f"after {p.hold_time:g} s more it is let go",
                  f"further than {p.jump:g} rad", f"after {BACK_NS / NS:g} s it counts as a restart"):
        assert words in REAL
