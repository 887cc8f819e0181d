"""The keys of `humanoid-twin estop` through a pseudo-terminal: the stop key stops at once, whatever else was hit."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from humanoid_cli.estop import GONE, STOP, Button, _key
from humanoid_core.types import ESTOP_SIGN_OFF, ESTOP_TOO_MANY, EStopState, Level, SafetyStatus, Violation


@pytest.fixture(name="keyboard")
def keyboard_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where keys are written; the other end is stdin."""
    master, slave = pty.openpty()
    tty.setcbreak(slave)
    with os.fdopen(slave, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield master
    with contextlib.suppress(OSError):  # a test may have hung up
        os.close(master)


class Enough(Exception):
    """The test has seen what it wanted."""


class Speaker:
    """Stands for the graph. ``on_beat`` sees each heartbeat, ``on_call`` answers the request for a reset."""

    def __init__(self, on_beat: Callable[[EStopState], None], on_call: Callable[[], Any] = lambda: None,
                 status: SafetyStatus | None = None) -> None:
        self.on_beat, self.on_call, self.status = on_beat, on_call, status
        self.beats: list[EStopState] = []

    def say(self, _topic: str, beat: EStopState) -> None:
        self.beats.append(beat)
        self.on_beat(beat)

    def call(self, *_: Any) -> Any:
        return self.on_call()

    def last(self, _topic: str) -> SafetyStatus | None:
        return self.status

    def now_ns(self) -> int:
        return 1


def button(speaker: Speaker, pressed: bool = False) -> tuple[Button, io.StringIO]:
    printed = io.StringIO()
    return Button(speaker, Console(file=printed, width=200), "panel", pressed, "Ada"), printed  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", [b" ", b"s", b"x ", b" r", b"r ", b"q ", b"rq s", b"\x1b[A ", b"\xc3\xa4 "])
def test_a_stop_key_among_others_counts_at_once_and_alone(keyboard: int, keys: bytes) -> None:
    os.write(keyboard, keys)
    assert _key(10.0) == STOP
    assert _key(0.0) == "", "nothing is left that would release it"


@pytest.mark.parametrize("keys", [b"\x1b[A", b"\x1bOR", b"\x1b[1;2R"], ids=["up", "F3", "shift F3"])
def test_arrows_and_function_keys_release_nothing(keyboard: int, keys: bytes) -> None:
    os.write(keyboard, keys)
    assert _key(10.0) == ""


def test_without_a_key_it_waits_no_longer_than_asked(keyboard: int) -> None:
    assert _key(0.01) == ""


def test_the_next_heartbeat_after_a_hasty_key_is_pressed(keyboard: int) -> None:
    def beat(state: EStopState) -> None:
        if state.seq == 1:
            os.write(keyboard, b"x ")
        if state.pressed or state.seq > 20:
            raise Enough

    speaker = Speaker(beat)
    with pytest.raises(Enough):
        button(speaker)[0].run(None, False)
    assert [b.pressed for b in speaker.beats] == [False, True]


def test_a_press_while_the_reset_is_on_its_way_is_heard(keyboard: int) -> None:
    pressed, heard_meanwhile = threading.Event(), []

    def beat(state: EStopState) -> None:
        if state.seq == 1:
            os.write(keyboard, b"r")
        if state.pressed:
            pressed.set()
        if heard_meanwhile:
            raise Enough

    def call() -> Any:
        os.write(keyboard, b"x ")
        in_time = pressed.wait(20)
        heard_meanwhile.append(in_time)
        return SimpleNamespace(accepted=False, reason="RESET_PRESSED")

    speaker = Speaker(beat, call)
    with pytest.raises(Enough):
        button(speaker)[0].run(None, False)
    assert heard_meanwhile == [True]
    assert speaker.beats[-1].pressed, "and stays pressed"


def test_a_press_between_release_and_reset_keeps_the_reset_back(keyboard: int) -> None:
    asked: list[int] = []

    def beat(state: EStopState) -> None:
        if state.seq == 1:
            os.write(keyboard, b"r")
        elif state.seq == 3:
            os.write(keyboard, b" ")
        elif state.seq > 15:
            raise Enough

    speaker = Speaker(beat, lambda: asked.append(1))
    with pytest.raises(Enough):
        button(speaker, pressed=True)[0].run(None, False)
    assert asked == []
    assert not speaker.beats[2].pressed
    assert all(b.pressed for b in speaker.beats[3:])


def test_a_press_while_it_signs_off_is_a_press(keyboard: int) -> None:
    def beat(state: EStopState) -> None:
        if state.seq == 1:
            os.write(keyboard, b"q")
        elif state.seq == ESTOP_SIGN_OFF:
            os.write(keyboard, b" ")
        elif state.seq > 10:
            raise Enough

    speaker = Speaker(beat)
    with pytest.raises(Enough):
        button(speaker)[0].run(None, False)
    after = [b.seq for b in speaker.beats].index(ESTOP_SIGN_OFF) + 1
    assert speaker.beats[after].pressed
    assert speaker.beats[-1].pressed


def status(latched: bool, *subjects: str) -> SafetyStatus:
    violations = tuple(Violation("ESTOP", s, 0.0, 0.5, 1.0, 0) for s in subjects)
    return SafetyStatus(0, Level.EMERGENCY, latched, "", violations, 1, 0, 0.0)


@pytest.mark.parametrize(("subject", "leaves"), [("other", False), (f"{ESTOP_TOO_MANY}: 70, at most 64", True)])
def test_a_released_source_leaves_a_latched_stop_only_when_there_are_too_many(
        keyboard: int, subject: str, leaves: bool) -> None:
    def beat(state: EStopState) -> None:
        if state.seq == 1:
            os.write(keyboard, b"q")
        elif 3 < state.seq < ESTOP_SIGN_OFF:
            raise Enough

    speaker = Speaker(beat, status=status(True, subject))
    try:
        left = button(speaker)[0].run(None, False)
    except Enough:
        left = False
    assert left == leaves
    assert any(b.seq == ESTOP_SIGN_OFF for b in speaker.beats) == leaves


def test_a_terminal_that_is_closed_ends_the_heartbeats(keyboard: int) -> None:
    """The monitor then takes its silence as pressed."""
    assert _key(0.0) == ""
    os.close(keyboard)
    assert _key(0.01) == GONE
