"""Which Python the environment is made with: the faster one of the same version, and none that was not asked for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

INSTALLER = Path(__file__).resolve().parents[2] / "requirements" / "interpreter.py"
MINOR = sys.version_info[1]


@pytest.fixture(scope="module")
def interpreter() -> ModuleType:
    """The installer stands outside the packages: it runs before any is installed."""
    spec = importlib.util.spec_from_file_location("interpreter", INSTALLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python(folder: Path, name: str, says: str) -> Path:
    """An executable that answers the probe with ``says``."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_this_python_can_make_an_environment(interpreter: ModuleType) -> None:
    minor, _, seconds = interpreter.probe(Path(sys.executable))
    assert minor == MINOR
    assert 0.0 < seconds < 30.0


def test_a_faster_python_of_the_same_version_is_taken_aloud(interpreter: ModuleType, tmp_path: Path) -> None:
    mine, system = python(tmp_path, "mine", f"{MINOR} 1 0.0090"), python(tmp_path, "system", f"{MINOR} 1 0.0060")
    chosen, why = interpreter.choose(mine, system)
    assert chosen == system
    assert "1.5 times as fast" in why
    assert f"PYTHON={mine}" in why  # the way back


@pytest.mark.parametrize("says", [
    f"{MINOR} 1 0.0087",  # hardly faster
    f"{MINOR} 1 0.0120",
    f"{MINOR + 1} 1 0.0010",  # another version: other wheels
    f"{MINOR} 0 0.0010",  # cannot make an environment
    "no module named time",
    "",
])
def test_else_the_python_that_was_called_stays(interpreter: ModuleType, tmp_path: Path, says: str) -> None:
    mine = python(tmp_path, "mine", f"{MINOR} 1 0.0090")
    assert interpreter.choose(mine, python(tmp_path, "system", says)) == (mine, "")


def test_a_machine_without_a_system_python(interpreter: ModuleType, tmp_path: Path) -> None:
    mine = python(tmp_path, "mine", f"{MINOR} 1 0.0090")
    assert interpreter.choose(mine, tmp_path / "none") == (mine, "")
