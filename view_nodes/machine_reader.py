"""Reads the machine through psutil: load, memory, disk, temperatures, and what each node of this graph uses."""

from __future__ import annotations

import os

import psutil

from view_nodes.core.exposition import ProcessUse
from view_nodes.core.machine import Reading

_FOLDER = os.path.join("lib", "humanoid_twin", "")


def read(disk_path: str) -> Reading:
    """One look; the processor's share is since the last look. OSError when ``disk_path`` is not there."""
    memory, swap, disk = psutil.virtual_memory(), psutil.swap_memory(), psutil.disk_usage(disk_path)
    return Reading(psutil.cpu_percent() / 100.0, os.getloadavg()[0] / (psutil.cpu_count() or 1),
                   memory.percent / 100.0, memory.available, swap.percent / 100.0, disk.percent / 100.0, disk.free,
                   disk_path, _temperatures())


def cores() -> float:
    """Cores that all programs together use, since the last time this was asked."""
    return psutil.cpu_percent() / 100.0 * (psutil.cpu_count() or 1)


def _temperatures() -> tuple[tuple[str, float], ...]:
    """Not every system tells any."""
    try:
        told = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return ()
    return tuple((f"{chip} {entry.label or i}".strip(), float(entry.current))
                 for chip, entries in told.items() for i, entry in enumerate(entries) if entry.current > 0.0)


class Nodes:
    """Processes of the nodes in this ROS domain and namespace; looked for anew every ``every`` calls."""

    def __init__(self, namespace: str, every: int = 10) -> None:
        self._namespace, self._every, self._calls = namespace.strip("/"), every, 0
        self._known: dict[str, psutil.Process] = {}

    def use(self) -> tuple[ProcessUse, ...]:
        """What each of them used until now, by node name."""
        if self._calls % self._every == 0:
            self._known = self._search()
        self._calls += 1
        out = []
        for node, process in self._known.items():
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
                out.append(ProcessUse(node, times.user + times.system, memory.rss))
            except psutil.Error:
                continue
        return tuple(sorted(out, key=lambda p: p.node))

    def _search(self) -> dict[str, psutil.Process]:
        domain, found = os.environ.get("ROS_DOMAIN_ID", "0"), {}
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if not any(_FOLDER in word for word in words[:3]):
                    continue
                if process.environ().get("ROS_DOMAIN_ID", "0") != domain:
                    continue
            except (psutil.Error, OSError):
                continue
            node, namespace = named(words)
            if node and namespace == self._namespace:
                found[node] = process
        return found


def named(words: list[str]) -> tuple[str, str]:
    """(node, namespace) that a node's command line says; without ``__node`` the executable's name."""
    node = next((os.path.basename(w) for w in words[:3] if _FOLDER in w), "")
    namespace = ""
    for word in words:
        key, _, value = word.partition(":=")
        if key == "__node":
            node = value
        elif key == "__ns":
            namespace = value.strip("/")
    return node, namespace
