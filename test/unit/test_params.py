"""Parameters: one dataclass, and everything that is not in it is refused with the nearest name."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import EXECUTABLES

from humanoid_ros.params import ParameterError, from_mapping, param
from humanoid_ros.params_files import mistyped, origin, params_files


@dataclass(frozen=True)
class Params:
    rate: float = param(100.0, "loop rate", "Hz", low=1.0, high=1000.0)
    robot: str = param("g1", "robot file")
    policy: str = param("classical", "backend", choices=("classical", "hf"))
    names: tuple[str, ...] = param(("a", "b"), "names")
    steps: int = param(5, "steps", low=1, high=10)


def test_defaults_stand_when_nothing_is_given() -> None:
    assert from_mapping("node.yaml", Params, {}) == Params()


def test_a_whole_number_is_taken_for_a_float() -> None:
    assert from_mapping("node.yaml", Params, {"rate": 50}).rate == 50.0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"raet": 50.0}, ("node.yaml", "'raet'", "did you mean 'rate'")),
        ({"rate": 0.0}, ("rate = 0.0 Hz", "at least 1.0")),
        ({"rate": float("nan")}, ("rate = nan", "finite")),
        ({"rate": 2000.0}, ("at most 1000.0",)),
        ({"rate": "fast"}, ("rate = 'fast'", "float")),
        ({"steps": 11}, ("steps = 11", "at most 10")),
        ({"policy": "magic"}, ("policy = 'magic'", "classical, hf")),
    ],
)
def test_what_cannot_be_used_is_refused_with_key_value_and_way_out(data: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(ParameterError) as caught:
        from_mapping("node.yaml", Params, data)
    for word in words:
        assert word in str(caught.value)


# --- files

NESTED = """
lab:
  safety_monitor:
    ros__parameters: {tilt_danger: 0.3}
/**:
  ros__parameters: {robot: g1}
twin_sync:
  ros__parameters: {stale_ms: 40.0}
"""


def test_a_value_is_traced_to_the_last_file_that_gives_it(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(NESTED)
    two.write_text("safety_monitor:\n  ros__parameters: {tilt_warning: 0.2}\n")
    files = params_files(["node", "--ros-args", "--params-file", str(one), "--params-file", str(two)], "safety_monitor")
    assert origin(files, "safety_monitor: tilt_danger = 0.3: too little") == f" ({one})"
    assert origin(files, "safety_monitor: tilt_warning = 0.4 must be below tilt_danger = 0.3") == f" ({two})"
    assert origin(files, "safety_monitor: unknown parameter 'stale_ms'") == "", "that is the twin's"
    assert not mistyped(files, "safety_monitor")


def test_a_file_for_others_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "twin.yaml"
    file.write_text("twin_sync:\n  ros__parameters: {stale_ms: 40.0}\n")
    files = params_files(["--params-file", str(file)], "safety_monitor")
    assert not mistyped(files, "safety_monitor")


@pytest.mark.parametrize(("content", "words"), [
    ("/**:\n  ros__parameters: {tilt_danger: 0.1}\n", ("tilt_warning", "tilt_danger = 0.1")),
    ("safety_monitor:\n  ros__parameters: {tilt_dangr: 0.4}\n", ("'tilt_dangr'", "did you mean 'tilt_danger'")),
    ("safety_monitr:\n  ros__parameters: {tilt_danger: 0.45}\n", ("'safety_monitr'", "did you mean 'safety_monitor'")),
])
def test_a_node_refuses_a_file_by_its_name(tmp_path: Path, content: str, words: tuple[str, ...], domain: int) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(content)
    done = subprocess.run([str(EXECUTABLES / "safety_monitor"), "--ros-args", "--params-file", str(file)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    for word in (str(file), *words):
        assert word in done.stderr
