"""`humanoid-twin inject <id>`: one row of the fault matrix against a running graph, and how the robot answered."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from geometry_msgs.msg import Vector3
from humanoid_twin.srv import Push, SetFault
from rich.console import Console
from rich.table import Table

from humanoid_cli.errors import BadInput
from humanoid_cli.fault_rows import ROWS, Row
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_cli.voice import Voice, voice
from humanoid_core.robot_schema import nearest
from humanoid_core.timing import MS
from humanoid_core.types import EStopState, JointCommand, Level, Mode, OverrideState


@dataclass(frozen=True)
class Answer:
    """What was seen after a fault. Times in ms from the injection; None: not seen."""

    level: str
    named: tuple[str, ...]
    alarm_ms: float | None
    still_ms: float | None
    good: bool
    why: str


def inject_command(
    fault: Annotated[str, typer.Argument(help="A row's id; --list shows all.")] = "",
    target: Annotated[str, typer.Option(help="In place of the row's topic, joint or node.")] = "",
    value: Annotated[float | None, typer.Option(help="In place of the row's value.")] = None,
    seconds: Annotated[float, typer.Option(min=0.5, max=60.0, help="How long the fault lasts and is watched.")] = 3.0,
    show: Annotated[bool, typer.Option("--list", help="Show every row and end.")] = False,
    namespace: Annotated[str, typer.Option(help="The robot's namespace.")] = "",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write figures to FILE.")] = None,
) -> None:
    """Inject a fault into a running graph and say how it was answered."""
    console = Console(highlight=False)
    if show or not fault:
        table = Table("id", "fault", "must be named", box=None)
        for name, row in ROWS.items():
            table.add_row(name, row.doc, " or ".join(row.expect) or "–")
        console.print(table)
        raise typer.Exit(0 if show else 2)
    if fault not in ROWS:
        raise BadInput(f"no fault '{fault}'; {nearest(fault, list(ROWS)).replace('valid key', 'id')}")
    check_writable(json)
    row = ROWS[fault]
    row = Row(row.doc, row.kind, row.name, target or row.target, row.value if value is None else value, row.expect,
              row.stops)
    with voice("inject", namespace) as speaker:
        _wait_for_graph(speaker)
        begin = time.monotonic_ns()
        _play(speaker, row, seconds)
        answer = judge(speaker, row, begin)
    console.print(f"{fault}  {row.doc}: {'ok' if answer.good else 'NOT OK'}. {answer.why}")
    write_figures(json, {f"{fault}_alarm_ms": Figure(answer.alarm_ms or float("nan"), "ms"),
                         f"{fault}_still_ms": Figure(answer.still_ms or float("nan"), "ms"),
                         f"{fault}_ok": Figure(answer.good, "", True)})
    raise typer.Exit(0 if answer.good else 1)


def _wait_for_graph(speaker: Voice) -> None:
    end = time.monotonic() + 5.0
    while speaker.last("safety/status") is None or speaker.last("safety/gate") is None:
        if time.monotonic() > end:
            raise BadInput("no safety_monitor or command_gate is heard: is a graph running in this ROS_DOMAIN_ID "
                           "(and --namespace)? Start one with 'humanoid-twin up'")
        time.sleep(0.05)
    time.sleep(0.3)


def _play(speaker: Voice, row: Row, seconds: float) -> None:
    """Do it, and return after `seconds`."""
    player = {"sensor": _sensor, "push": _push, "process": _process, "command": _command, "estop": _estop,
              "override": _override}[row.kind]
    end = time.monotonic() + seconds
    player(speaker, row, seconds)
    time.sleep(max(end - time.monotonic(), 0.0))


def _sensor(speaker: Voice, row: Row, seconds: float) -> None:
    request = SetFault.Request(fault=row.name, target=row.target, value=row.value, duration=seconds)
    answer = speaker.call(SetFault, "sim/set_fault", request)
    _served(answer, "sim/set_fault")


def _push(speaker: Voice, row: Row, _seconds: float) -> None:
    request = Push.Request(link=row.name, impulse=Vector3(x=row.value), duration=0.1)
    _served(speaker.call(Push, "sim/push", request), "sim/push")


def _served(answer: object, name: str) -> None:
    if answer is None:
        raise BadInput(f"nobody serves {name}: this fault needs a simulated robot")
    if not getattr(answer, "accepted", False):
        raise BadInput(f"{name} refused: {getattr(answer, 'reason', '')}")


def _process(_speaker: Voice, row: Row, _seconds: float) -> None:
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    found = []
    for process in psutil.process_iter():
        try:
            if any(part.endswith(f"/humanoid_twin/{row.target}") for part in process.cmdline()) \
                    and process.environ().get("ROS_DOMAIN_ID", "0") == domain:
                found.append(process)
        except psutil.Error:
            continue
    if not found:
        raise BadInput(f"no process '{row.target}' runs in ROS_DOMAIN_ID {domain} on this machine")
    for process in found:
        process.send_signal(getattr(signal, f"SIG{row.name}"))
    if row.name == "STOP":
        time.sleep(row.value)
        for process in found:
            process.send_signal(signal.SIGCONT)


def _command(speaker: Voice, row: Row, seconds: float) -> None:
    """Speak on a gated topic: what the robot was told last, so that nothing would move even if it passed."""
    last: JointCommand = speaker.last("robot/joint_command")
    end, seq = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        seq += 1
        speaker.say(row.target, JointCommand(speaker.now_ns(), seq, 1, "inject", last.joint_names, last.position,
                                             np.zeros(len(last.joint_names))))
        time.sleep(0.01)


def _estop(speaker: Voice, row: Row, seconds: float) -> None:
    press = row.name == "press"
    end, seq = time.monotonic() + (seconds if press else 0.3), 0
    while time.monotonic() < end:
        seq += 1
        speaker.say("safety/estop", EStopState(speaker.now_ns(), "inject", press, seq))
        time.sleep(0.05)


def _override(speaker: Voice, _row: Row, _seconds: float) -> None:
    for seq in range(1, 6):
        speaker.say("safety/override", OverrideState(speaker.now_ns(), "inject", True, 0, (), np.zeros(0), seq))
        time.sleep(0.05)


def judge(speaker: Voice, row: Row, begin_ns: int) -> Answer:
    """Compare what was heard since `begin_ns` with what the row expects."""
    status = [h for h in speaker.heard["safety/status"] if h.mono_ns >= begin_ns]
    gate = [h for h in speaker.heard["safety/gate"] if h.mono_ns >= begin_ns]
    commands = [h for h in speaker.heard["robot/joint_command"] if h.mono_ns >= begin_ns]
    named = {v.code for h in status for v in h.value.violations} | {h.value.reason for h in gate}
    times = [h.mono_ns for h in status if {v.code for v in h.value.violations} & set(row.expect)]
    times += [h.mono_ns for h in gate if h.value.reason in row.expect]
    alarm = (min(times) - begin_ns) / MS if times else None
    still = _still_ms(commands, begin_ns)
    worst = max((h.value.level for h in status), default=Level.SAFE)
    faults = []
    if row.expect and alarm is None:
        faults.append(f"nobody named {' or '.join(row.expect)}")
    gate_gone = row.target == "command_gate" and row.name == "KILL"
    if not gate_gone and not all(np.isfinite(h.value.position).all() for h in commands):
        faults.append("a command was not finite")
    if row.stops and not gate_gone and still is None:
        faults.append("the arms were still moving at the end")
    mode = speaker.last("robot/mode")
    if mode is not None and mode.mode == Mode.DAMP:
        faults.append("torque was taken away from a standing robot")
    why = "; ".join(faults) or (f"level {worst.name}" + (f", named after {alarm:.0f} ms" if alarm is not None else "")
                                + (f", arms still after {still:.0f} ms" if still is not None and row.stops else ""))
    return Answer(worst.name, tuple(sorted(named - {""})), alarm, still, not faults, why)


def _still_ms(commands: list, begin_ns: int) -> float | None:  # type: ignore[type-arg]
    """Time after which no commanded speed was left."""
    if not commands or float(np.abs(commands[-1].value.velocity).max()) > 1e-6:
        return None
    moving = [h.mono_ns for h in commands if float(np.abs(h.value.velocity).max()) > 1e-6]
    return (max(moving) - begin_ns) / MS if moving else 0.0
