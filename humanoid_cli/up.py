"""`humanoid-twin up`: run a graph without `launch`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from humanoid_cli.supervisor import Event, Supervisor
from humanoid_core.graph import Graph, load_graph, parse_setting

#: s after which it is said who is not active yet.
PATIENCE = 15.0
COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")


def prefixed(console: Console, graph: Graph) -> Callable[[str, str], None]:
    """A sink that prints each line behind its node's name, one colour per node."""
    width = max(len(n.name) for n in graph.nodes)
    colour = {n.name: COLOURS[i % len(COLOURS)] for i, n in enumerate(graph.nodes)}

    def write(node: str, line: str) -> None:
        console.print(Text.assemble((f"{node:>{width}} │ ", colour.get(node, "white")), Text.from_ansi(line)),
                      soft_wrap=True)

    return write


def up(graph_name: str, robot: str | None, seed: int | None, settings: list[str], namespace: str,
       console: Console | None = None, record: Path | None = None,
       bag: Path | None = None, view: dict[str, int | bool] | None = None,
       way: dict[str, str | bool] | None = None) -> int:
    """Run a graph until Ctrl-C (0) or until a required node ends (1). ``view``: its arguments of those who look on;
    ``way``: those of the way to a real robot."""
    console = console or Console(highlight=False)
    named = (("robot", robot), ("seed", seed), ("record", record and str(record)), ("bag", bag and str(bag)))
    given = {k: v for k, v in named if v is not None} | {k: v for k, v in (view or {}).items() if v}
    given |= way or {}
    graph = load_graph(graph_name, given, [parse_setting(s) for s in settings])
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    supervisor = Supervisor(graph, prefixed(console, graph), namespace=namespace)
    console.print(f"{graph.name}: {graph.description}; {len(graph.nodes)} nodes, ROS_DOMAIN_ID="
                  f"{os.environ.get('ROS_DOMAIN_ID', '0')}. Ctrl-C ends all of them.", soft_wrap=True)
    late: float | None = time.monotonic() + PATIENCE
    with supervisor:
        while not stop.wait(0.05):
            if late is not None and time.monotonic() > late:
                late = None
                for line in supervisor.waiting():
                    console.print(f"not active after {PATIENCE:g} s: {line}", style="yellow", soft_wrap=True)
            for event in supervisor.poll():
                _say(console, event)
            if supervisor.failure is not None or supervisor.idle:
                break
        if supervisor.failure is None:
            console.print("ending all nodes ...")
        killed = supervisor.stop()
    for name in supervisor.restless:
        console.print(f"{name} did not come to rest in its turn", style="yellow")
    for name in killed:
        console.print(f"{name} did not end when asked and was killed", style="red")
    if supervisor.failure is not None:
        name = supervisor.failure.node
        last = supervisor.last_line(name)
        console.print(f"{supervisor.failure}; it is required, so the graph ends. Its last line: {last}", style="red",
                      soft_wrap=True)
        return 1
    if not stop.is_set():
        console.print("every node has ended", style="red")
        return 1
    return 0


def _say(console: Console, event: Event) -> None:
    style = {"ended": "red", "refused": "red", "gave_up": "red", "restarting": "yellow"}.get(event.kind)
    console.print(str(event), style=style)
