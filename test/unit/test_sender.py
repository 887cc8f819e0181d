"""Whom a robot obeys: one participant that speaks as the gate, on commands and on modes."""

from __future__ import annotations

from humanoid_core.sender import OneGate, participant
from humanoid_core.timing import MS, NS
from humanoid_core.types import Mode, RobotMode

#: Two publishers of each process, as Fast DDS names them: twelve bytes of the participant, four of the publisher.
GATE, STRANGER, NEXT = (bytes([k]) * 12 for k in (1, 2, 3))
COMMANDS, MODES = b"\0\0\x13\3", b"\0\0\x14\3"


class Wire:
    """Speaks to a ``OneGate`` and asks it each time."""

    def __init__(self) -> None:
        self.one, self.now, self.seq = OneGate(), 100 * NS, 0

    def wait(self, ms: int) -> None:
        self.now += ms * MS

    def command(self, who: bytes) -> str:
        return self.one.command(who + COMMANDS, self.now)

    def mode(self, who: bytes, mode: Mode) -> str:
        self.seq += 1
        return self.one.mode(who + MODES, self.now, RobotMode(self.now, mode, "", self.seq))

    def gate(self, who: bytes = GATE, mode: Mode = Mode.RUN) -> tuple[str, str]:
        return self.command(who), self.mode(who, mode)

    @property
    def told(self) -> Mode | None:
        order = self.one.order(self.now)
        return None if order is None else order[0].mode


def test_publishers_of_one_process_belong_together() -> None:
    assert participant(GATE + COMMANDS) == participant(GATE + MODES) != participant(STRANGER + MODES)


def test_the_gate_is_obeyed_on_both_topics() -> None:
    wire = Wire()
    assert wire.gate(mode=Mode.RUN) == ("", "")
    assert wire.told == Mode.RUN
    assert wire.mode(GATE, Mode.CROUCH) == ""
    assert wire.told == Mode.CROUCH


def test_a_strangers_mode_is_refused_however_often_it_comes() -> None:
    wire = Wire()
    wire.gate()
    for _ in range(200):
        wire.wait(20)
        assert wire.mode(STRANGER, Mode.DAMP) == "PUBLISHER"
        assert wire.gate() == ("", "")
        assert wire.told == Mode.RUN


def test_a_mode_of_nobody_who_commands_does_nothing_and_the_gate_is_obeyed_when_it_comes() -> None:
    wire = Wire()
    for _ in range(10):
        wire.wait(20)
        assert wire.mode(STRANGER, Mode.DAMP) == "NO_COMMAND"
    assert wire.told is None
    assert wire.gate(mode=Mode.CROUCH) == ("", "")
    assert wire.told == Mode.CROUCH


def test_what_the_gate_asked_before_its_first_command_counts_from_that_on() -> None:
    wire = Wire()
    assert wire.mode(GATE, Mode.RUN) == "NO_COMMAND"
    assert wire.command(GATE) == ""
    assert wire.told == Mode.RUN


def test_a_stranger_that_commanded_first_gives_way_to_the_gate_at_once() -> None:
    wire = Wire()
    for _ in range(20):
        wire.wait(10)
        wire.command(STRANGER)
    wire.gate(mode=Mode.CROUCH)
    assert wire.told == Mode.CROUCH
    wire.wait(10)
    assert wire.command(STRANGER) == "PUBLISHER"
    assert wire.command(GATE) == ""


def test_while_two_speak_as_the_gate_the_robot_holds_whoever_came_first() -> None:
    for first, second in ((GATE, STRANGER), (STRANGER, GATE)):
        wire = Wire()
        wire.gate(first)
        wire.wait(10)
        wire.gate(second, Mode.DAMP)
        assert wire.told == Mode.HOLD
        assert wire.command(first) == wire.command(second) == "PUBLISHER"
        for _ in range(11):
            wire.wait(100)
            wire.gate(GATE, Mode.CROUCH)
        assert wire.told == Mode.CROUCH, "the other is silent"


def test_a_gate_that_was_started_anew_is_obeyed_once_the_old_one_is_silent() -> None:
    wire = Wire()
    wire.gate()
    wire.wait(500)
    assert wire.gate(NEXT)[0] == "PUBLISHER"
    wire.wait(600)
    assert wire.gate(NEXT, Mode.CROUCH) == ("", "")
    assert wire.told == Mode.CROUCH
    assert wire.mode(GATE, Mode.RUN) == "PUBLISHER"


def test_a_gate_that_was_silent_for_a_while_is_the_same_gate() -> None:
    wire = Wire()
    wire.gate()
    wire.wait(5000)
    assert wire.told == Mode.RUN
    assert wire.gate(mode=Mode.HOLD) == ("", "")
    assert wire.told == Mode.HOLD


def test_a_crowd_does_not_make_it_forget_the_gate() -> None:
    wire = Wire()
    wire.gate()
    for k in range(100):
        assert wire.mode(bytes([k + 10]) * 12, Mode.DAMP) == "PUBLISHER"
    assert wire.told == Mode.RUN
    assert wire.gate() == ("", "")
