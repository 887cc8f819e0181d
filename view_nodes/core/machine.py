"""Whether the computer under the nodes is well: processor, memory, disk, temperature."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

OK, WARN, ERROR = 0, 1, 2


@dataclass(frozen=True)
class Reading:
    """One look at the machine. Shares 0..1, bytes, degrees Celsius; ``temperatures`` by sensor, empty: none told."""

    cpu_share: float
    load: float  # runnable tasks per core, mean of a minute
    memory_share: float
    memory_free: int
    swap_share: float
    disk_share: float
    disk_free: int
    disk_path: str
    temperatures: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Limits:
    """From where on something is said. Shares 0..1, degrees Celsius."""

    cpu_warn: float = 0.9
    memory_warn: float = 0.85
    memory_error: float = 0.95
    disk_warn: float = 0.9
    disk_error: float = 0.98
    temperature_warn: float = 85.0
    temperature_error: float = 95.0


@dataclass(frozen=True)
class Health:
    """One line of the tree: ``name`` under ``machine/``, ``level`` OK, WARN or ERROR."""

    name: str
    level: int
    message: str
    values: Mapping[str, object]


class Machine:
    """Judges readings; the processor by the mean of the latest ``window`` readings, because a second of full load is
    ordinary work."""

    def __init__(self, limits: Limits, window: int = 10) -> None:
        self._limits = limits
        self._cpu: deque[float] = deque(maxlen=window)

    def judge(self, r: Reading) -> tuple[Health, ...]:
        """Processor, memory, disk and temperature, in this order."""
        self._cpu.append(r.cpu_share)
        return self._processor(r), self._memory(r), self._disk(r), self._temperature(r)

    def _processor(self, r: Reading) -> Health:
        mean, limit = sum(self._cpu) / len(self._cpu), self._limits.cpu_warn
        values = {"now %": _percent(r.cpu_share), "mean %": _percent(mean), "load per core": f"{r.load:.2f}"}
        if mean > limit and len(self._cpu) == self._cpu.maxlen:
            return Health("processor", WARN, f"{_percent(mean)} % busy on average, more than {_percent(limit)} %",
                          values)
        return Health("processor", OK, f"{_percent(mean)} % busy", values)

    def _memory(self, r: Reading) -> Health:
        values = {"used %": _percent(r.memory_share), "free MiB": r.memory_free >> 20, "swap %": _percent(r.swap_share)}
        level = _level(r.memory_share, self._limits.memory_warn, self._limits.memory_error)
        return Health("memory", level, f"{_percent(r.memory_share)} % used, {r.memory_free >> 20} MiB free", values)

    def _disk(self, r: Reading) -> Health:
        values = {"used %": _percent(r.disk_share), "free MiB": r.disk_free >> 20, "path": r.disk_path}
        level = _level(r.disk_share, self._limits.disk_warn, self._limits.disk_error)
        return Health("disk", level, f"{_percent(r.disk_share)} % used, {r.disk_free >> 20} MiB free at {r.disk_path}",
                      values)

    def _temperature(self, r: Reading) -> Health:
        if not r.temperatures:
            return Health("temperature", OK, "this machine tells no temperature", {})
        name, hottest = max(r.temperatures, key=lambda pair: pair[1])
        level = _level(hottest, self._limits.temperature_warn, self._limits.temperature_error)
        return Health("temperature", level, f"{hottest:.0f} degC at {name}",
                      {name: f"{degrees:.1f}" for name, degrees in r.temperatures})


def _level(value: float, warn: float, error: float) -> int:
    return ERROR if value >= error else WARN if value >= warn else OK


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f}"
