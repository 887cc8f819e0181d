"""Settings that must not start a safety node (K1 to K4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Process


@pytest.mark.parametrize(
    ("node", "key", "value", "words"),
    [
        ("safety_monitor", "tilt_warnin", "0.3", "unknown parameter 'tilt_warnin'; did you mean 'tilt_warning'?"),
        ("safety_monitor", "state_timeout", "-0.04", "state_timeout = -0.04 s: must be at least"),
        ("safety_monitor", "estop_timeout", "0.0", "estop_timeout = 0.0 s: must be at least"),
        ("safety_monitor", "dwell", ".nan", "dwell = nan"),
        ("safety_monitor", "tilt_danger", "0.3", "tilt_warning = 0.4 must be below tilt_danger = 0.3"),
        ("safety_monitor", "permit_validity", "0.5", "permit_validity = 0.5 s: must be at most 0.03 s"),
        ("safety_monitor", "robot", "nobody", "nobody"),
        ("command_gate", "command_max_agee", "0.06", "did you mean 'command_max_age'?"),
        ("command_gate", "command_max_age", "0.0", "command_max_age = 0.0 s: must be at least"),
        ("command_gate", "emergency_mode", "LIMP", "must be one of POSTURE, HOLD, CROUCH"),
    ],
)
def test_a_node_refuses_to_start_and_says_which_key_and_value(
    start: Callable[..., Process], node: str, key: str, value: str, words: str
) -> None:
    process = start(node, **{key: value})
    assert process.wait(30) == 2
    assert words in process.output
    assert "Traceback" not in process.output
