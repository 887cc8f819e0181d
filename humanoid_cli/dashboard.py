"""`humanoid-twin dashboard`: the live page of a graph that runs, or will run, on this computer."""

from __future__ import annotations

import ipaddress
import os
import secrets
from typing import Annotated

import typer
from rich.console import Console

from humanoid_cli.errors import BadInput
from humanoid_cli.supervisor import find_executable

TOKEN = "HUMANOID_TWIN_TOKEN"


def dashboard_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page.")] = 8080,
    act: Annotated[bool, typer.Option("--act", help="Offer instruction and stop to who has the token (printed, or the "
                                      "one in HUMANOID_TWIN_TOKEN).")] = False,
    host: Annotated[str, typer.Option(help="Address that the page listens at; 0.0.0.0: every network.")] = "127.0.0.1",
    robot: Annotated[str, typer.Option(help="Robot file: a name in config/robots, or a path.")] = "g1",
    namespace: Annotated[str, typer.Option(help="The robot's namespace.")] = "",
    aside: Annotated[float, typer.Option(min=-2.0, max=2.0, help="Draw the twin's robot so far beside, m.")] = 0.0,
) -> None:
    """Show a running graph in a browser: robot and twin, camera, level and reasons, events, plots."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise BadInput(f"--host '{host}' is no address; 127.0.0.1 is this computer, 0.0.0.0 every network") from None
    console = Console(highlight=False)
    console.print(f"http://{host}:{port}   ROS_DOMAIN_ID={os.environ.get('ROS_DOMAIN_ID', '0')}   Ctrl-C ends it",
                  soft_wrap=True)
    if act and not os.environ.get(TOKEN):
        os.environ[TOKEN] = secrets.token_urlsafe(12)
        console.print(f"token: {os.environ[TOKEN]}")
    # The page is the node `dashboard`, alone: it stays while graphs come and go.
    words = [str(find_executable("dashboard")), "--ros-args", "-r", "__node:=dashboard"]
    if namespace:
        words += ["-r", f"__ns:=/{namespace.strip('/')}"]
    for key, value in (("port", str(port)), ("act", str(act).lower()), ("host", f'"{host}"'),
                       ("robot", f'"{robot}"'), ("ghost_aside", repr(aside))):
        words += ["-p", f"{key}:={value}"]
    os.execv(words[0], words)
