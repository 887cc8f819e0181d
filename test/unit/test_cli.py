"""What a person sees who types something wrong, and that help is cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from humanoid_cli.main import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["upp"], ["'upp'", "'up'"]),
        (["up", "simm"], ["simm", "sim"]),
        (["up", "sim", "--set", "gate"], ["gate", "node.parameter=value"]),
        (["up", "sim", "--set", "command_gat.x=1"], ["command_gat.x", "'command_gate'"]),
        (["up", "--robt", "x"], ["--robt", "--robot"]),
        (["up", "/dev/null"], ["/dev/null"]),
        (["demo", "--seed", "one"], ["--seed"]),
        (["demo", "--seconds", "0"], ["--seconds"]),
        (["demo", "--graph", "nowhere"], ["nowhere"]),
        (["eval", "--graph", "--seeds", "5-1"], ["5-1"]),
        (["eval", "--seeds", "1-5"], ["--seeds", "--graph"]),
        (["eval", "--perturb", "wind"], ["'wind'", "occlusion"]),
        (["eval", "--splits", "old"], ["'old'", "paraphrase"]),
        (["eval", "--house", "small"], ["'small'", "core"]),
        (["eval", "--policy", "nobody"], ["nobody"]),
        (["topics", "--write", "/proc/none/topics.md"], ["/proc/none/topics.md"]),
        (["watch", "--json"], ["--json"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    for word in words:
        assert word in text


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in ("up", "demo", "eval", "doctor", "topics", "watch", "record"):
        assert f"\n  {verb} " in text


def test_a_verb_imports_only_what_it_needs() -> None:
    code = ("import sys; from humanoid_cli.main import main; main(['topics']);"
            "print([m for m in ('rclpy', 'mujoco', 'matplotlib', 'torch', 'cv2') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_the_written_table_of_topics_is_fresh(tmp_path: Path) -> None:
    assert main(["topics", "--write", str(tmp_path / "topics.md")]) == 0
    committed = Path(__file__).parents[2] / "docs" / "topics.md"
    assert (tmp_path / "topics.md").read_text() == committed.read_text(), "run: make docs"
