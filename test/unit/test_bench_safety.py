"""The bench of the safety nodes: what is measured is named as published, resumable, and judged the right way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from humanoid_bench import safety_injections, safety_pushes
from humanoid_bench.faults import ROWS
from humanoid_bench.faults.row import Heard
from humanoid_bench.front import reached
from humanoid_bench.measured import Log, Options, percentiles
from humanoid_bench.safety import BENCH
from humanoid_bench.safety_loss import heard_in_time
from humanoid_cli.figures import Figure
from humanoid_cli.main import main
from humanoid_core.timing import MS
from humanoid_core.types import JointCommand


def test_percentiles_carry_the_aim_beside_the_judged_one() -> None:
    rows = percentiles("core_%s_ms", list(np.linspace(0.0, 1.0, 1001)), aim=1.0)
    assert rows["core_p99_ms"] == Figure(0.99, "ms", 1.0, 1001)
    assert rows["core_p50_ms"] == Figure(0.5, "ms", None, 1001)
    assert set(rows) == {"core_p50_ms", "core_p99_ms", "core_p999_ms", "core_max_ms"}


def test_a_trial_that_this_process_did_not_follow_is_known() -> None:
    """Commands every 10 ms, heard 2 ms after their stamps: a few may be missed, a gap or a late one tells."""
    offset_ns = 10**18

    def heard(sent: list[int], late_ms: int = 0) -> list[Heard]:
        return [Heard(k * 10 * MS + 2 * MS + late_ms * MS * (k == 7),
                      JointCommand(offset_ns + k * 10 * MS, k, 1, "gate", ("elbow",), np.zeros(1))) for k in sent]

    whole = list(range(1, 20))
    def in_time(sent: list[int], begin: int = 1, late_ms: int = 0) -> bool:
        return heard_in_time(heard(sent, late_ms), begin * 10 * MS, offset_ns)

    assert in_time(whole)
    assert in_time([k for k in whole if k not in (5, 6, 7)])
    assert not in_time([k for k in whole if k not in (5, 6, 7, 8)])
    assert not in_time([k for k in whole if k not in (5, 6, 7, 8)], begin=5), "deaf from the beginning"
    assert in_time([k for k in whole if k not in (5, 6, 7, 8)], begin=10), "deaf before it only"
    assert not in_time(whole, late_ms=60)


def test_no_sample_is_no_reached_aim() -> None:
    (name, figure), = percentiles("core_%s_ms", [], aim=1.0).items()
    assert reached(BENCH, name, figure) is False


@pytest.mark.parametrize(("name", "value", "aim", "good"), [
    ("push_lead_share", 1.0, 0.99, True), ("push_lead_share", 0.9, 0.99, False), ("core_p99_ms", 0.5, 1.0, True),
    ("core_p99_ms", 2.0, 1.0, False), ("core_p50_ms", 2.0, None, None)])
def test_an_aim_is_judged_the_right_way_round(name: str, value: float, aim: float | None, good: bool | None) -> None:
    assert reached(BENCH, name, Figure(value, "", aim)) is good


def test_a_long_measurement_goes_on_where_it_ended(tmp_path: Path) -> None:
    path, made = tmp_path / "log" / "long.jsonl", list[int]()

    def make() -> int:
        made.append(1)
        return 7

    assert Log(path).once("push/1", make) == 7
    assert Log(path).once("push/1", make) == 7
    assert len(made) == 1


def test_every_class_of_injection_is_judged_by_a_row_of_the_matrix() -> None:
    assert {id for id, _ in safety_injections.CLASSES.values()} <= set(ROWS)


def test_pushes_are_counted_as_defined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three falls, of which one is announced 0.3 s, one 0.1 s ahead and one not at all; a caught push with an alarm."""
    row = {"fell_anyway": 0.0, "impulse": 9.0, "angle": 0.0, "danger": None, "emergency": None}
    seen = [{**row, "fall": 1.0, "warning": 0.7}, {**row, "fall": 1.0, "warning": 0.9},
            {**row, "fall": 1.0, "warning": None}, {**row, "fall": None, "warning": 0.4, "emergency": 0.5}]
    monkeypatch.setattr(safety_pushes, "one", lambda seed: seen[seed])
    figures = safety_pushes.measure(Options(pushes=4), lambda share: None).figures
    assert figures["push_lead_share"].value == pytest.approx(1 / 3, abs=1e-3)
    assert figures["push_lead_share"].n == 3
    assert figures["push_false_emergencies"].value == 1
    assert figures["push_false_warnings"].value == 1


def test_an_unknown_measurement_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "safety", "--only", "cores"]) == 2
    assert "core" in capsys.readouterr().err
