"""`humanoid-twin estop`: the keyboard as an emergency-stop source, and the reset after it."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer
from humanoid_twin.srv import ResetEStop
from rich.console import Console

from humanoid_cli.demo import stop_on_signals
from humanoid_cli.errors import BadInput
from humanoid_cli.voice import Voice, voice
from humanoid_core.types import ESTOP_SIGN_OFF, ESTOP_TOO_MANY, EStopState, SafetyStatus

PERIOD = 0.05  # s between two heartbeats
STOP, GONE = " ", "gone"  # what `_key` says of the stop keys, and of a terminal that was closed
ESCAPE = 0x1b  # arrows and function keys begin with it
HELP = "space: stop   r: release and reset   q: sign off and leave (a source that falls silent counts as pressed)"


@contextlib.contextmanager
def _keys() -> Iterator[bool]:
    """Single keys without Enter where stdin is a terminal."""
    if not sys.stdin.isatty():
        yield False
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield True
    finally:
        with contextlib.suppress(termios.error):  # the terminal was closed
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def reset(speaker: Voice, operator: str) -> tuple[bool, str]:
    """Ask for a reset with a fresh nonce; (accepted, reason)."""
    request = ResetEStop.Request(nonce=secrets.randbits(63), operator_name=operator)
    answer = speaker.call(ResetEStop, "safety/reset", request)
    if answer is None:
        return False, "safety_monitor does not answer: is a graph running in this ROS_DOMAIN_ID (and --namespace)?"
    return bool(answer.accepted), str(answer.reason)


def estop_command(
    source: Annotated[str, typer.Option(help="Name of this stop source.")] = "keyboard",
    press: Annotated[bool, typer.Option("--press", help="Begin pressed.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End by itself after this time.")] = None,
    sign_off: Annotated[bool, typer.Option("--sign-off", help="With --seconds: sign off then, as q does.")] = False,
    reset_now: Annotated[bool, typer.Option("--reset", help="Ask for one reset and end; needs --operator.")] = False,
    operator: Annotated[str, typer.Option(help="Who answers for a reset.")] = "",
    namespace: Annotated[str, typer.Option(help="The robot's namespace.")] = "",
) -> None:
    """Stop the robot from the keyboard; reset; leave."""
    if reset_now and not operator.strip():
        raise BadInput("--reset needs --operator NAME: who answers for it?")
    if sign_off and (seconds is None or press):
        raise BadInput("--sign-off needs --seconds, and no --press: only a released source may leave")
    console = Console(highlight=False)
    with voice("estop_keyboard", namespace, ("safety/status",)) as speaker:
        if reset_now:
            accepted, reason = reset(speaker, operator)
            console.print("reset accepted; the robot moves again only on a new motion" if accepted else reason)
            raise typer.Exit(0 if accepted else 1)
        button = Button(speaker, console, source, press, operator)
        if not button.run(seconds, sign_off):
            raise typer.Exit(1)


class Button:
    """One stop source: heartbeats 20 times a second, each with what was pressed so far."""

    def __init__(self, speaker: Voice, console: Console, source: str, pressed: bool, operator: str) -> None:
        self._speaker, self._console, self._source = speaker, console, source
        self._operator = operator
        self.pressed = pressed
        self._seq = 0
        self._shown = ("", False)
        self._listen: Callable[[], str] = lambda: ""  # waits PERIOD at most for a key

    def run(self, seconds: float | None, sign_off: bool) -> bool:
        """Until q, ``seconds``, Ctrl-C or SIGTERM. False when it should have signed off and could not."""
        end = None if seconds is None else time.monotonic() + seconds
        with stop_on_signals() as stop, _keys() as interactive:
            self._console.print(HELP if interactive else "no terminal: heartbeats until Ctrl-C")
            self._listen = (lambda: _key(PERIOD)) if interactive else (lambda: _wait(stop.wait(PERIOD)))
            while not stop.is_set():
                self._beat()
                key = self._listen()
                if key == STOP:
                    self._press()
                elif key == GONE:
                    break
                elif key in ("r", "R"):
                    self._reset()
                elif key == "q" and self._sign_off():
                    return True
                if end is not None and time.monotonic() >= end:
                    if not sign_off:
                        break
                    return self._sign_off()
        self._console.print(f"'{self._source}' is silent from now on: the monitor takes that as pressed")
        return True

    def _press(self) -> None:
        self.pressed = True
        self._beat()

    def _beat(self) -> None:
        self._seq += 1
        self._say(self._seq)
        status = self._speaker.last("safety/status")
        now = ("no monitor" if status is None else f"{status.level.name} {status.cause}", self.pressed)
        if now != self._shown:
            self._shown = now
            self._console.print(f"{'PRESSED ' if self.pressed else 'released'}  {now[0]}",
                                style="red" if self.pressed else None)

    def _say(self, seq: int) -> None:
        self._speaker.say("safety/estop", EStopState(self._speaker.now_ns(), self._source, self.pressed, seq))

    def _reset(self) -> None:
        """Release, let the monitor hear of it, and ask for the reset; heartbeats and the stop key go on meanwhile."""
        if not self._operator.strip():
            self._console.print("a reset needs a name: start with --operator NAME")
            return
        self.pressed = False
        for _ in range(3):
            self._beat()
            if self._listen() == STOP:
                self._press()
                return
        with ThreadPoolExecutor(1) as asking:
            answer = asking.submit(reset, self._speaker, self._operator)
            while not answer.done():
                self._beat()
                if self._listen() == STOP:
                    self._press()
        accepted, reason = answer.result()
        self._console.print("reset accepted; the robot moves again only on a new motion" if accepted else reason)

    def _sign_off(self) -> bool:
        """Leave without leaving a stop behind; refused while pressed or latched (unless by too many sources)."""
        status = self._speaker.last("safety/status")
        if self.pressed or (status is not None and status.estop_latched and not _too_many(status)):
            self._console.print("not while the stop is pressed or latched: reset first (r), then leave")
            return False
        for _ in range(3):  # the monitor must not miss it
            self._say(ESTOP_SIGN_OFF)
            if self._listen() == STOP:
                self._press()
                return False
        self._console.print(f"'{self._source}' signed off; it stops nothing any more")
        return True


def _too_many(status: SafetyStatus) -> bool:
    return any(v.subject.startswith(ESTOP_TOO_MANY) for v in status.violations)


def _key(seconds: float) -> str:
    """What was pressed within ``seconds``: STOP, GONE, another key, or ''.

    Read from the terminal itself: behind the buffer of ``sys.stdin`` a key would wait for the next one.
    """
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return ""
    try:
        keys = os.read(sys.stdin.fileno(), 4096)
    except OSError:
        keys = b""
    if not keys:
        time.sleep(seconds)  # a closed terminal is always ready
        return GONE
    return _meant(keys)


def _meant(keys: bytes) -> str:
    """One key out of all that came at once. A stop key among them counts alone: who hits many keys wants to stop."""
    if b" " in keys or b"s" in keys:
        return STOP
    return "" if keys[0] == ESCAPE else chr(keys[0])


def _wait(_ended: bool) -> str:
    return ""
