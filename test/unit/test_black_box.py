"""The black box saves once for each rise of the level, some seconds after it."""

from __future__ import annotations

from humanoid_core.timing import NS
from humanoid_core.types import Level
from humanoid_replay.black_box import BlackBox


def test_one_save_for_each_rise_some_seconds_after_it() -> None:
    box, saved = BlackBox(Level.DANGER, 5.0), list[tuple[int, str]]()
    for second in range(60):
        level = Level.EMERGENCY if 10 <= second < 14 or 30 <= second < 50 else Level.CAUTION
        box.hear(level, "why", second * NS)
        if why := box.due(second * NS):
            saved.append((second, why))
    assert saved == [(15, "EMERGENCY why"), (35, "EMERGENCY why")]


def test_a_level_that_only_comes_down_did_not_rise() -> None:
    """As at the start of a monitor, or of a recorder beside one."""
    box, saved = BlackBox(Level.WARNING, 1.0), list[tuple[int, str]]()
    said = {0: (Level.DANGER, "settling"), 1: (Level.WARNING, "settling"), 2: (Level.WARNING, "TILT: base"),
            3: (Level.WARNING, "settling"), 4: (Level.SAFE, "")}
    for second in range(8):
        box.hear(*said.get(second, (Level.SAFE, "")), second * NS)
        if why := box.due(second * NS):
            saved.append((second, why))
    assert saved == [(3, "WARNING TILT: base")]


def test_never_means_never() -> None:
    box = BlackBox(None, 0.0)
    box.hear(Level.EMERGENCY, "why", 0)
    assert box.due(NS) == ""
