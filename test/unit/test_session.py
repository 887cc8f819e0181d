"""The small parts of a run: its domain, its readiness, its share of the processor, its pictures, its plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanoid_bench.eval_figures import wilson
from humanoid_cli import pictures
from humanoid_cli.demo import DemoOptions, graph_of, run_task
from humanoid_cli.doctor import Finding, executables, interfaces, module, python
from humanoid_cli.errors import BadInput
from humanoid_cli.eval_graph import DEFAULT, parse_seeds, plan
from humanoid_cli.readiness import NEEDED, missing
from humanoid_cli.session import Cpu, own_domain
from humanoid_core.types import Level, Permit, SafetyStatus, SensorHealth, SourceHealth


def test_two_runs_at_once_get_two_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    with own_domain() as first:
        assert os.environ.pop("ROS_DOMAIN_ID") == str(first)
        with own_domain() as second:
            assert first != second
        os.environ["ROS_DOMAIN_ID"] = str(first)
    assert "ROS_DOMAIN_ID" not in os.environ


def test_a_given_domain_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    with own_domain() as number:
        assert number == 42
    assert os.environ["ROS_DOMAIN_ID"] == "42"


class Sight:
    """What a watcher would have seen."""

    def __init__(self, silent: tuple[str, ...] = (), **latest: Any) -> None:
        self.silent, self.messages = silent, {k.replace("__", "/"): v for k, v in latest.items()}

    def count(self, topic: str) -> int:
        return 0 if topic in self.silent else 5

    def latest(self, topic: str) -> Any:
        return self.messages.get(topic)


def permit(level: Level = Level.SAFE, scale: float = 1.0, accept_new: bool = True) -> Permit:
    return Permit(1, 1, level, scale, 0.03, accept_new, False, 0)


def health(ok: bool) -> SensorHealth:
    source = SourceHealth("imu/pelvis", "ok" if ok else "stale", True, "", 1, 1.0, 200.0, 200.0, 0.1, 5.0, 0)
    return SensorHealth(1, (source,), ok)


def test_what_is_silent_is_named_with_the_node_that_should_speak() -> None:
    lacking = missing(Sight(silent=("twin/state",)), action_ready=False)
    assert lacking == ("twin_sync (twin/state)", "vla_policy (action vla/follow_instruction)")


def test_a_silent_graph_names_every_topic() -> None:
    text = " ".join(missing(Sight(silent=NEEDED), action_ready=True))
    assert all(name in text for name in NEEDED)


def test_a_graph_without_leave_to_move_is_not_ready_and_says_why() -> None:
    status = SafetyStatus(1, Level.DANGER, False, "NO_TWIN", (), 0, 0, 0.0)
    sight = Sight(safety__permit=permit(Level.DANGER, 0.0), ingest__sensor_health=health(False), safety__status=status)
    text = " ".join(missing(sight, action_ready=True))
    for word in ("DANGER", "NO_TWIN", "imu/pelvis is stale"):
        assert word in text


def test_a_healthy_graph_is_ready() -> None:
    assert missing(Sight(safety__permit=permit(), ingest__sensor_health=health(True)), action_ready=True) == ()


def test_the_share_of_a_process_that_ended_stays() -> None:
    cpu = Cpu()
    cpu.mark({"me": os.getpid()})
    sum(k * k for k in range(2_000_000))
    cpu.sample({"me": os.getpid()})
    cpu.sample({"gone": 2**22 - 1})
    assert cpu.shares()["me"] > 0.0
    assert "gone" not in cpu.shares()


def test_the_seed_reaches_the_graph_and_settings_too() -> None:
    graph = graph_of(DemoOptions("x", seed=12, settings=("command_gate.rate=50.0",)))
    assert graph.node("sim_robot").parameters["seed"] == 12
    assert graph.node("command_gate").parameters["rate"] == 50.0


def test_an_empty_instruction_is_refused_before_anything_starts() -> None:
    with pytest.raises(BadInput, match="--instruction"):
        run_task(DemoOptions("  "), lambda *_: None, lambda *_: None, lambda: False)


def test_a_folder_that_is_no_recording_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match=r"thesis\.tex"):
        run_task(DemoOptions("wave", out=tmp_path), lambda *_: None, lambda *_: None, lambda: False)
    assert (tmp_path / "bag" / "thesis.tex").is_file()


def test_seeds_are_numbers_and_ranges() -> None:
    assert parse_seeds("1-3, 7,2") == [1, 2, 3, 7]


@pytest.mark.parametrize("text", ["", "a", "3-1", "1--2", "-1", "1,"])
def test_wrong_seeds_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--seeds"):
        parse_seeds(text)


def test_five_seeds_make_fifteen_runs_with_both_hands() -> None:
    runs = plan([1, 2, 3, 4, 5], [])
    assert len(runs) == 15
    assert {text for _, text in runs} == {text for pair in DEFAULT for text in pair}


@pytest.mark.parametrize(("won", "n"), [(0, 15), (13, 15), (15, 15)])
def test_the_interval_of_a_share_holds_the_share(won: int, n: int) -> None:
    low, high = wilson(won, n)
    assert 0.0 <= low <= won / n <= high <= 1.0 + 1e-12


def frame(t: float, value: int) -> pictures.Frame:
    return t, np.full((60, 80, 3), value, np.uint8)


def test_the_strip_shows_each_view_in_a_row() -> None:
    rows = [("outside", [frame(0.0, 10), frame(1.0, 20)]), ("head", [frame(0.0, 30)])]
    strip = pictures.strip(rows)
    assert strip is not None
    assert strip.shape == (2 * pictures.HEIGHT, 2 * 320, 3)
    assert pictures.png(strip).startswith(b"\x89PNG")
    assert pictures.strip([("outside", [])]) is None


def test_frames_are_spread_over_the_time_asked_for() -> None:
    frames = [frame(t / 10, t) for t in range(100)]
    assert [t for t, _ in pictures.spread(frames, 4, 0.0, 9.0)] == [0.0, 3.0, 6.0, 9.0]


def test_a_video_of_one_view_is_written(tmp_path: Path) -> None:
    frames = [frame(t / 10, t) for t in range(10)]
    assert pictures.write_video(tmp_path / "a.mp4", [], frames)
    assert not pictures.write_video(tmp_path / "b.mp4", [], [])


def test_doctor_tells_a_missing_library_from_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('libxyz.so is not there')\n")
    (tmp_path / "only_a_folder").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "libxyz" in module("broken_library", "w", "get it").how
    for name in ("broken_library", "only_a_folder", "no_such_library", "no_such.module"):
        assert module(name, "why", "get it so").found == ""
    assert module("no_such_library", "why", "get it so").how == "get it so"


def test_doctor_finds_what_this_test_runs_on() -> None:
    found: list[Finding] = [python(), interfaces(), executables(), module("numpy", "w", "h")]
    assert all(f.found for f in found)
