"""The supervisor over small real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import wait_for

from humanoid_cli.supervisor import Event, Supervisor, how_it_ended
from humanoid_core.graph import GraphError, graph_from_data

SLEEPER = "echo ready $$; trap 'echo bye; exit 0' INT TERM; while :; do sleep 0.05; done"
STUBBORN = "echo ready; trap '' INT TERM; while :; do sleep 0.05; done"
CRASHES = "echo about to fall; exit 3"
REFUSES = "echo refused: key x; exit 2"
FORKS = "sleep 1000 & echo child $!; wait"

Make = Callable[..., Supervisor]


@pytest.fixture
def lines() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[tuple[str, str]]) -> Any:
    """Build a supervisor of shell scripts: `make(a=SLEEPER, options={"a": {"respawn": {}}})`."""
    folder = tmp_path / "lib" / "humanoid_twin"
    folder.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    made: list[Supervisor] = []

    def build(options: dict[str, Any] | None = None, keep: dict[str, Any] | None = None, **scripts: str) -> Supervisor:
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        nodes = [{"name": n, "executable": n, "managed": False, **(options or {}).get(n, {})} for n in scripts]
        graph = graph_from_data({"description": "test", "nodes": nodes}, tmp_path / "g.yaml")
        made.append(Supervisor(graph, lambda node, line: lines.append((node, line)), **(keep or {})))
        return made[-1]

    yield build
    for supervisor in made:
        supervisor.stop((1.0, 1.0))


def poll_until(supervisor: Supervisor, kind: str, node: str, times: int = 1) -> list[Event]:
    seen: list[Event] = []

    def enough() -> bool:
        seen.extend(supervisor.poll())
        return sum(e.kind == kind and e.node == node for e in seen) >= times

    wait_for(enough, 15.0, f"{node} {kind}")
    return seen


def test_lines_carry_their_node_and_ctrl_c_reaches_everyone(make: Make, lines: list[tuple[str, str]]) -> None:
    supervisor = make(a=SLEEPER, b=SLEEPER)
    supervisor.start()
    wait_for(lambda: len(lines) == 2, what="both nodes ready")
    assert supervisor.poll() == []
    assert supervisor.stop() == []
    # On a slow machine the shell tells how its own child ended as well.
    said = [line for line in lines[2:] if line[1] != "Terminated"]
    assert sorted(said) == [("a", "bye"), ("b", "bye")]
    assert supervisor.pids() == {}


def test_a_stubborn_process_is_killed_and_named(make: Make, lines: list[tuple[str, str]]) -> None:
    supervisor = make(a=SLEEPER, b=STUBBORN)
    supervisor.start()
    wait_for(lambda: len(lines) == 2, what="both nodes ready")
    pid = supervisor.pids()["b"]
    assert supervisor.stop((0.3, 0.3)) == ["b"]
    assert not psutil.pid_exists(pid)


def test_the_end_of_a_required_node_is_the_failure_and_names_the_signal(make: Make) -> None:
    supervisor = make(a=SLEEPER, b=SLEEPER)
    supervisor.start()
    os.kill(supervisor.pids()["b"], signal.SIGKILL)
    poll_until(supervisor, "ended", "b")
    assert supervisor.failure is not None
    assert str(supervisor.failure) == "b died (SIGKILL)"


def test_an_optional_node_may_end(make: Make) -> None:
    supervisor = make({"b": {"required": False}}, a=SLEEPER, b=CRASHES)
    supervisor.start()
    events = poll_until(supervisor, "ended", "b")
    assert supervisor.failure is None
    assert [str(e) for e in events] == ["b ended with exit code 3"]
    wait_for(lambda: supervisor.last_line("b") == "about to fall")


def test_restarts_wait_longer_each_time_and_then_stop(make: Make) -> None:
    respawn = {"delay": 0.02, "longest": 0.05, "limit": 3}
    supervisor = make({"a": {"respawn": respawn}}, a=CRASHES)
    supervisor.start()
    events = poll_until(supervisor, "gave_up", "a")
    assert [e.delay for e in events if e.kind == "restarting"] == [0.02, 0.04, 0.05]
    assert sum(e.kind == "started" for e in events) == 3
    assert supervisor.failure is not None
    assert supervisor.idle


def test_a_refused_configuration_is_not_tried_again(make: Make) -> None:
    supervisor = make({"a": {"respawn": {"delay": 0.01}}}, a=REFUSES)
    supervisor.start()
    events = poll_until(supervisor, "ended", "a")
    assert [e.kind for e in events] == ["ended"]
    assert supervisor.failure is not None


def test_respawn_can_be_switched_off(make: Make) -> None:
    supervisor = make({"a": {"respawn": {"delay": 0.01}}}, {"respawn": False}, a=CRASHES)
    supervisor.start()
    poll_until(supervisor, "ended", "a")
    assert supervisor.idle


def test_what_a_node_started_ends_with_it(make: Make, lines: list[tuple[str, str]]) -> None:
    supervisor = make(a=FORKS)
    supervisor.start()
    wait_for(lambda: lines, what="the child's pid")
    child = int(lines[0][1].split()[1])
    supervisor.stop((0.5, 0.5))
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_an_error_in_the_caller_leaves_nothing_behind(make: Make) -> None:
    supervisor = make(a=SLEEPER)
    pids: dict[str, int] = {}

    def fall() -> None:
        with supervisor:
            pids.update(supervisor.pids())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fall()
    assert not psutil.pid_exists(pids["a"])


def test_an_unknown_executable_is_refused_before_anything_starts(make: Make) -> None:
    with pytest.raises(GraphError, match=r"sim_robott.*'sim_robot'"):
        make({"a": {"executable": "sim_robott"}}, a=SLEEPER)


def test_nodes_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "humanoid_twin"
    folder.mkdir(parents=True)
    (folder / "a").write_text("#!/bin/sh\necho pid $$\nwhile :; do sleep 0.05; done\n")
    (folder / "a").chmod(0o755)
    (tmp_path / "g.yaml").write_text("description: d\nnodes: [{name: a, executable: a}]\n")
    parent = subprocess.Popen(
        [sys.executable, "-m", "humanoid_cli.main", "up", str(tmp_path / "g.yaml")],
        env={**os.environ, "AMENT_PREFIX_PATH": str(tmp_path)}, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        line = next(text for text in parent.stdout if "pid " in text)
        child = int(line.split()[-1])
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize(("code", "text"), [(0, "ended"), (3, "ended with exit code 3"), (-9, "died (SIGKILL)"),
                                            (-11, "died (SIGSEGV)"), (-250, "died (signal 250)")])
def test_the_way_a_process_ended_is_told_by_name(code: int, text: str) -> None:
    assert how_it_ended(code) == text


def test_the_graph_gives_defaults_and_the_caller_has_the_last_word(
    make: Make, lines: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HT_GIVEN", "by the caller")
    monkeypatch.delenv("HT_OTHER", raising=False)
    supervisor = make({"a": {"environment": {"HT_GIVEN": "by the graph", "HT_OTHER": "by the graph"}}},
                      a='echo "$HT_GIVEN, $HT_OTHER"')
    supervisor.start()
    wait_for(lambda: lines)
    assert lines == [("a", "by the caller, by the graph")]


def test_a_node_that_can_wait_steps_back(make: Make) -> None:
    supervisor = make({"a": {"nice": 7}}, a=SLEEPER, b=SLEEPER)
    supervisor.start()
    pids = supervisor.pids()
    wait_for(lambda: psutil.Process(pids["a"]).nice() == min(19, psutil.Process(pids["b"]).nice() + 7))
