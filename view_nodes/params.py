"""Parameters of scene_markers, dashboard and metrics: each default once, here."""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_ros.params import param
from view_nodes.core.machine import Limits


@dataclass(frozen=True)
class MetricsParams:
    """metrics."""

    host: str = param("127.0.0.1", "address that the endpoint listens at; 0.0.0.0: every network")
    port: int = param(9465, "port of the endpoint", "", low=1, high=65535)
    disk: str = param("/", "folder whose disk is watched")
    cpu_warn: float = param(0.9, "share of the processor in use, mean of 10 s, that is worth a warning", "", 0.1, 1.0)
    memory_warn: float = param(0.85, "share of the memory in use that is worth a warning", "", 0.1, 1.0)
    memory_error: float = param(0.95, "share of the memory in use that is an error", "", 0.1, 1.0)
    disk_warn: float = param(0.9, "share of the disk in use that is worth a warning", "", 0.1, 1.0)
    disk_error: float = param(0.98, "share of the disk in use that is an error", "", 0.1, 1.0)
    temperature_warn: float = param(85.0, "temperature of the computer that is worth a warning", "degC", 20.0, 150.0)
    temperature_error: float = param(95.0, "temperature of the computer that is an error", "degC", 20.0, 150.0)

    def limits(self) -> Limits:
        """What the core takes of it."""
        return Limits(self.cpu_warn, self.memory_warn, self.memory_error, self.disk_warn, self.disk_error,
                      self.temperature_warn, self.temperature_error)
