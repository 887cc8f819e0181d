"""`humanoid-twin estop`: the keyboard as an emergency-stop source, and the reset after it."""

from __future__ import annotations

import contextlib
import secrets
import select
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Annotated

import typer
from humanoid_twin.srv import ResetEStop
from rich.console import Console

from humanoid_cli.demo import stop_on_signals
from humanoid_cli.errors import BadInput
from humanoid_cli.voice import Voice, voice
from humanoid_core.types import EStopState

PERIOD = 0.05  # s between two heartbeats
HELP = "space: stop   r: release   R: reset   q: leave (a source that falls silent counts as pressed)"


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
    reset_now: Annotated[bool, typer.Option("--reset", help="Ask for one reset and end; needs --operator.")] = False,
    operator: Annotated[str, typer.Option(help="Who answers for a reset.")] = "",
    namespace: Annotated[str, typer.Option(help="The robot's namespace.")] = "",
) -> None:
    """Stop the robot from the keyboard; release; reset."""
    if reset_now and not operator.strip():
        raise BadInput("--reset needs --operator NAME: who answers for it?")
    console = Console(highlight=False)
    with voice("estop_keyboard", namespace, ("safety/status",)) as speaker:
        if reset_now:
            accepted, reason = reset(speaker, operator)
            console.print("reset accepted; the robot moves again only on a new motion" if accepted else reason)
            raise typer.Exit(0 if accepted else 1)
        _beat(speaker, console, source, press, operator)


def _beat(speaker: Voice, console: Console, source: str, pressed: bool, operator: str) -> None:
    """Heartbeats until q, Ctrl-C or SIGTERM."""
    seq, shown = 0, ("", False)
    with stop_on_signals() as stop, _keys() as interactive:
        console.print(HELP if interactive else "no terminal: heartbeats until Ctrl-C")
        while not stop.is_set():
            seq += 1
            speaker.say("safety/estop", EStopState(speaker.now_ns(), source, pressed, seq))
            status = speaker.last("safety/status")
            now = ("no monitor" if status is None else f"{status.level.name} {status.cause}", pressed)
            if now != shown:
                shown = now
                console.print(f"{'PRESSED ' if pressed else 'released'}  {now[0]}", style="red" if pressed else None)
            key = _key(PERIOD) if interactive else _wait(stop.wait(PERIOD))
            if key in (" ", "s"):
                pressed = True
            elif key == "r":
                pressed = False
            elif key == "R":
                accepted, reason = reset(speaker, operator or source)
                console.print("reset accepted" if accepted else reason)
            elif key == "q":
                break
    console.print(f"'{source}' is silent from now on: the monitor takes that as pressed")


def _key(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.read(1) if ready else ""


def _wait(_ended: bool) -> str:
    return ""
