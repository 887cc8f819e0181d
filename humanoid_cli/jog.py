"""`humanoid-twin jog`: a person takes over and drives one joint, through the gate and under its limits."""

from __future__ import annotations

import getpass
import time
from itertools import count
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from humanoid_cli.demo import stop_on_signals
from humanoid_cli.errors import BadInput
from humanoid_cli.voice import Voice, voice
from humanoid_core.robot import load_robot
from humanoid_core.robot_schema import nearest
from humanoid_core.types import OverrideState

PERIOD = 0.05  # s between two heartbeats
SETTLE = 0.5  # s at speed 0 before the robot is given back
TOPIC = "safety/override"
HOLD, JOG = 0, 1


def jog_command(
    joint: Annotated[str, typer.Argument(help="A joint of the upper body; '' with --hold or --release.")] = "",
    velocity: Annotated[float, typer.Argument(help="rad/s; the gate limits it (jog_share).")] = 0.0,
    seconds: Annotated[float, typer.Option(min=0.1, max=600.0, help="How long.")] = 1.0,
    hold: Annotated[bool, typer.Option("--hold", help="Take over and hold still.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Only give back what somebody still holds.")] = False,
    operator: Annotated[str, typer.Option(help="Who takes over; default: the user's name.")] = "",
    robot: Annotated[str, typer.Option(help="Robot file, to check the joint's name.")] = "g1",
    namespace: Annotated[str, typer.Option(help="The robot's namespace.")] = "",
) -> None:
    """Drive one joint by hand; the policy is refused meanwhile and must begin anew afterwards."""
    if not (hold or release):
        model = load_robot(robot)
        known = [model.joint_names[i] for i in model.groups["upper_body"]]
        if joint not in known:
            raise BadInput(f"no joint '{joint}' to jog; {nearest(joint, known).replace('valid key', 'joint')}")
        if not np.isfinite(velocity):
            raise BadInput(f"velocity = {velocity} rad/s must be a finite number")
    console = Console(highlight=False)
    with voice("jog", namespace, ("safety/gate", "safety/status")) as speaker:
        person = Person(speaker, operator or getpass.getuser())
        if not person.connected(5.0):
            console.print("nobody hears safety/override: is a graph running in this ROS_DOMAIN_ID (and --namespace)?")
            raise typer.Exit(1)
        with stop_on_signals() as stop:
            began = time.monotonic()
            taken = False
            while not (stop.is_set() or release) and time.monotonic() - began < seconds:
                person.say(HOLD if hold else JOG, joint, velocity)
                gate = speaker.last("safety/gate")
                taken = taken or (gate is not None and gate.reason == "OVERRIDE")
                stop.wait(PERIOD)
            if not release:
                for _ in range(round(SETTLE / PERIOD)):
                    person.say(HOLD)
                    time.sleep(PERIOD)
            person.release()
        gate = speaker.last("safety/gate")
        if not (taken or release):
            console.print(f"the gate did not follow: {gate.state} {gate.reason}" if gate else "the gate says nothing")
            raise typer.Exit(1)
        console.print("given back; a policy moves again only on a new motion")


class Person:
    """One override source."""

    def __init__(self, speaker: Voice, name: str) -> None:
        self._speaker, self._name, self._seq = speaker, name, count(1)

    def connected(self, timeout: float) -> bool:
        """Monitor and gate listen."""
        end = time.monotonic() + timeout
        while self._speaker.open(TOPIC).get_subscription_count() < 2:
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def say(self, mode: int, joint: str = "", velocity: float = 0.0, active: bool = True) -> None:
        names, speeds = ((joint,), np.array([velocity])) if mode == JOG else ((), np.zeros(0))
        self._speaker.say(TOPIC, OverrideState(self._speaker.now_ns(), self._name, active, mode, names, speeds,
                                               next(self._seq)))

    def release(self) -> None:
        for _ in range(10):  # longer than the gate waits before it heeds another person
            self.say(HOLD, active=False)
            time.sleep(2 * PERIOD)
