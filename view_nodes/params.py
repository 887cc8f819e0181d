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


@dataclass(frozen=True)
class DashboardParams:
    """dashboard. The token is no parameter, because everybody can read those: HUMANOID_TWIN_TOKEN, or made anew."""

    robot: str = param("g1", "robot file: a name in config/robots, or a path")
    host: str = param("127.0.0.1", "address that the page listens at; 0.0.0.0: every network")
    port: int = param(8080, "port of the page", "", low=1, high=65535)
    act: bool = param(False, "offer instruction and stop to who has the token; else the page only tells")
    ghost_aside: float = param(0.0, "how far the twin's robot is drawn beside the robot", "m", -2.0, 2.0)
    picture_rate: float = param(2.0, "pictures of the head camera per second", "Hz", 0.1, 10.0)


@dataclass(frozen=True)
class MarkersParams:
    """scene_markers."""

    robot: str = param("g1", "robot file: a name in config/robots, or a path")
    environment: str = param("", "what stands around: a name in config/environments or a path, '' for nothing")
    rate: float = param(10.0, "drawings per second", "Hz", low=1.0, high=30.0)
    near: float = param(0.05, "distance below which links and obstacles are marked", "m", low=0.001, high=0.5)
    frame: str = param("world", "frame of the markers and root of both robots; a namespace stands before the robots' "
                       "own frames")
    twin_prefix: str = param("twin/", "put before the link names of the twin's robot")
