"""Does the machine itself stand still? A virtual machine may, for tens of milliseconds: no program can answer in that
time, and what is measured then says nothing about the program.

One process for each processor does nothing but wake every millisecond, above every node's priority: what holds it up
holds up everything. Without the right to that priority it sees nothing, since load could hold it up as well.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import time
from collections.abc import Iterator
from typing import Any

from humanoid_core.timing import MS, NS
from humanoid_ros.realtime import PRIORITY

#: A pause from which on the machine counts as standing still; an idle one wakes within 1 to 5 ms.
STOOD_MS = 10.0
_PERIOD_NS = MS


class Witness:
    """``longest_ms`` of the pauses since a moment; ``trusted``: it has the priority that makes it a witness."""

    def __init__(self, said: Any, trusted: bool, processes: list[Any]) -> None:
        self.trusted, self.processes = trusted, processes
        self._said = said
        self._pauses: list[tuple[int, float]] = []

    def longest_ms(self, since_ns: int) -> float:
        """Of the pauses of STOOD_MS and more that ended after ``since_ns`` (monotonic); 0 without one."""
        while not self._said.empty():
            self._pauses.append(self._said.get())
        return max((ms for end_ns, ms in self._pauses if end_ns >= since_ns), default=0.0) if self.trusted else 0.0


@contextlib.contextmanager
def witness() -> Iterator[Witness]:
    """Watches until the end of the block."""
    make = multiprocessing.get_context("spawn")
    said, ready = make.SimpleQueue(), make.SimpleQueue()
    processes = [make.Process(target=_watch, args=(cpu, said, ready), daemon=True) for cpu in os.sched_getaffinity(0)]
    for process in processes:
        process.start()
    try:
        yield Witness(said, all([ready.get() for _ in processes]), processes)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _watch(cpu: int, said: Any, ready: Any) -> None:
    gc.disable()
    try:
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY + 10))
        ready.put(True)
    except OSError:
        ready.put(False)
        return
    last_ns = time.monotonic_ns()
    while True:
        time.sleep(_PERIOD_NS / NS)
        now_ns = time.monotonic_ns()
        if now_ns - last_ns - _PERIOD_NS >= STOOD_MS * MS:
            said.put((now_ns, (now_ns - last_ns) / MS))
        last_ns = now_ns
