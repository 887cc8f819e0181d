"""Parameters: one dataclass, and everything that is not in it is refused with the nearest name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from humanoid_ros.params import ParameterError, from_mapping, param


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
