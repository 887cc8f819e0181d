"""`humanoid-twin watch`: the rates of a running graph from outside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rclpy
from rich.console import Console
from rich.table import Table

from humanoid_cli.demo import stop_on_signals
from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_cli.measure import AIM_RATE, SILENT, rate_ok
from humanoid_replay.errors import BagError
from humanoid_replay.recorder import Recorder
from humanoid_ros.watcher import Rate, Watcher, own_context

DISCOVERY = 1.0  # s until publishers and subscriptions have found one another


@contextlib.contextmanager
def _sink(folder: Path | None) -> Iterator[Any]:
    if folder is None:
        yield None
        return
    try:
        recorder = Recorder(folder)
    except BagError as error:
        raise BadInput(str(error)) from None
    with recorder:
        yield recorder


def _look(seconds: float | None, namespace: str, bag: Path | None) -> tuple[list[Rate], list[str], float]:
    """Watch for a while; (rates, errors, own share of a core)."""
    with _sink(bag) as sink, stop_on_signals() as stop:
        context = own_context()
        watcher = Watcher(context, namespace, sink=sink)
        watcher.start()
        try:
            stop.wait(DISCOVERY)
            begin, wall = time.process_time(), time.time_ns()
            stop.wait(seconds)
            end = time.time_ns()
            share = (time.process_time() - begin) / max((end - wall) / 1e9, 1e-9)
            rates = watcher.rates(wall, end)
        finally:
            watcher.stop()
            rclpy.shutdown(context=context)
    return rates, watcher.errors, share


def watch(seconds: float, namespace: str, bag: Path | None, json: Path | None) -> int:
    """Print every topic's rate. 0: all that are heard keep their rate; 1: one does not, or nothing is heard."""
    check_writable(json)
    rates, errors, share = _look(seconds, namespace, bag)
    heard = [r for r in rates if r.count]
    console = Console(highlight=False)
    table = Table("topic", "Hz", "aim", "off by", "messages", "longest gap ms", box=None)
    for rate in rates:
        off = f"{100 * rate.deviation:+.1f} %" if rate.aim and rate.count else ""
        good = rate_ok(rate) or not rate.count
        table.add_row(rate.topic, f"{rate.hz:.2f}", "–" if rate.aim is None else f"{rate.aim:g}", off, str(rate.count),
                      f"{rate.longest_gap_ms:.0f}" if rate.count > 1 else "", style=None if good else "red")
    console.print(table)
    console.print(f"{len(heard)} of {len(rates)} topics heard; this program used {share:.2f} cores")
    for line in errors:
        console.print(line, style="red")
    rows = {f"rate {r.topic}": Figure(r.hz, "Hz", r.aim, r.count) for r in heard}
    write_figures(json, {**rows, "watcher_cores": Figure(share, "cores")})
    if not heard:
        console.print("nothing is heard: is a graph running in this ROS_DOMAIN_ID (and --namespace)?", style="red")
        return 1
    bad = [r.topic for r in heard if not rate_ok(r) and r.topic not in SILENT]
    if bad:
        console.print(f"more than {100 * AIM_RATE:g} % off: {', '.join(bad)}", style="red")
    return 1 if bad or errors else 0
