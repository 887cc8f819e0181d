"""docs/adding-a-policy.md, followed word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from humanoid_cli.demo import DemoOptions, graph_of
from humanoid_cli.main import main
from humanoid_cli.policy import _grey
from humanoid_core.graph import load_graph
from humanoid_core.reasons import REASONS

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "adding-a-policy.md").read_text()
COMMANDS = [shlex.split(block) for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S)]
BIN = Path(sys.prefix) / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_policy.yaml").write_text(re.search(r"```yaml\n(.*?)```", PAGE, re.S)[1])  # type: ignore[index]
    return tmp_path


@pytest.fixture
def server() -> Iterator[int]:
    """The page's server command, on a port of its own."""
    command = [sys.executable, *COMMANDS[1][1:]]
    command[command.index("--port") + 1] = "0"
    process = subprocess.Popen(command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60.0, process.kill)
    watchdog.start()
    assert process.stdout is not None
    yield int(process.stdout.readline().split()[1])
    watchdog.cancel()
    process.kill()
    process.communicate()


def typed(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / command[0]), *command[1:]], cwd=folder, capture_output=True, text=True,
                          timeout=120.0, env={**os.environ, "COLUMNS": "200"})  # fmt: skip


def test_the_contract_of_the_page_fits_the_robot(folder: Path) -> None:
    done = typed(COMMANDS[0], folder)
    assert done.returncode == 0, done.stderr
    assert "2 joints, 50 rows 0.02 s apart, fits robot 'g1'" in done.stdout


def test_its_server_is_asked_once(folder: Path, server: int) -> None:
    command = [word.replace(":8000", f":{server}") for word in COMMANDS[2]]
    done = typed(command, folder)
    assert done.returncode == 0, done.stderr
    assert "it answered 50 x 2" in done.stdout


def test_a_contract_that_does_not_fit_is_one_line(folder: Path) -> None:
    file = folder / "my_policy.yaml"
    file.write_text(file.read_text().replace("right_elbow_joint", "right_elbw_joint"))
    done = typed(COMMANDS[0], folder)
    assert done.returncode == 2
    assert "nearest joint: 'right_elbow_joint'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_graph_of_the_page_takes_its_settings() -> None:
    command = COMMANDS[3]
    assert command[:3] == ["humanoid-twin", "up", "sim"]
    graph = load_graph(command[2])
    assert "vla_policy" in {node.name for node in graph.nodes}
    from vla_nodes.params import VlaParams

    keys = [word.split("=")[0] for word in command if word.startswith("vla_policy.")]
    assert all(hasattr(VlaParams(), key.split(".")[1]) for key in keys)


def test_the_reasons_of_the_page_exist() -> None:
    named = re.findall(r"^\| ([A-Z_]{4,}) \|", PAGE, re.M)
    assert len(named) == 5
    assert set(named) <= set(REASONS)


def test_a_policy_that_refuses_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "g1_small", "--instruction", "sing a song"]) == 0
    assert "without a motion: NOT_UNDERSTOOD" in capsys.readouterr().out


def test_the_policy_in_the_box_answers_what_it_is_asked_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["policy", "g1_small"]) == 0
    said = capsys.readouterr().out
    assert "it answered 50 x 17" in said or "grey picture" in said
    monkeypatch.setattr("humanoid_cli.policy._looks", lambda robot: lambda: _grey(robot))
    assert main(["policy", "g1_small", "--patience", "30"]) == 0, "what it cannot see it refuses, at once"
    assert "without a motion: NOT_FOUND" in capsys.readouterr().out


def test_the_demo_refuses_a_policy_that_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--policy", "g1_smal"]) == 2
    assert "no policy contract of this name" in capsys.readouterr().err
    options = DemoOptions("wave", policy="g1_small")
    settings = {n.name: n.parameters for n in graph_of(options).nodes}["vla_policy"]
    assert (settings["backend"], Path(settings["policy"]).name) == ("hf", "g1_small.yaml")
