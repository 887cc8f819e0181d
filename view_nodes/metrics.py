"""metrics: the graph's figures for Prometheus, and the health of the computer under it in `diagnostics`."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from prometheus_client import start_http_server

from humanoid_core.latency import SensorToCommand
from humanoid_ros.head import stamp_ns
from humanoid_ros.node import HumanoidNode, run
from humanoid_ros.params import ParameterError, declare
from humanoid_ros.polled import Polled
from view_nodes.core.exposition import Exposition
from view_nodes.core.machine import ERROR, OK, WARN, Health, Machine
from view_nodes.machine_reader import Nodes, read
from view_nodes.params import MetricsParams

PERIOD = 0.1  # s between two looks at the topics
NEWEST = ("twin/state", "safety/status", "safety/gate", "vla/status", "motor_status", "battery_state",
          "ingest/sensor_health")
STATES, COMMANDS = "ingest/robot_state", "robot/joint_command"
#: Messages that may wait when this process is held up for a second.
DEPTH = 250
_LEVELS = {OK: DiagnosticStatus.OK, WARN: DiagnosticStatus.WARN, ERROR: DiagnosticStatus.ERROR}


class Metrics(HumanoidNode):
    """Looks ten times a second: the newest of most topics, every stamp of the way from sensor to robot command."""

    def __init__(self) -> None:
        super().__init__("metrics")
        self.params = declare(self, MetricsParams)

    def configure(self) -> None:
        """Build everything."""
        p = self.params
        try:
            read(p.disk)
        except OSError as error:
            raise ParameterError(f"metrics: disk = '{p.disk}': {error.strerror}; name a folder that exists") from None
        self.exposition, self._latency = Exposition(time.monotonic_ns), SensorToCommand()
        self._machine, self._nodes = Machine(p.limits()), Nodes(self.get_namespace())
        self._newest = [Polled(self, topic, depth=1) for topic in NEWEST]
        self._states = Polled(self, STATES, depth=DEPTH)
        self._commands = Polled(self, COMMANDS, depth=DEPTH)
        try:
            self._server, self._thread = start_http_server(p.port, p.host, self.exposition.registry)
        except OSError as error:
            raise ParameterError(f"metrics: port = {p.port}: cannot listen at {p.host}: {error.strerror}; another "
                                 "graph may use it, give this one another port") from None
        self.advertise("diagnostics")
        self.steady_timer(PERIOD, self._look)
        self.steady_timer(1.0, self._tell_machine)
        self.get_logger().info(f"http://{p.host}:{p.port}/metrics")

    def _look(self) -> None:
        now_ns = time.monotonic_ns()
        for source in self._newest:
            for value in source.read():
                self.exposition.hear(source.topic, value, now_ns)
        for data, info in self._states.take_with_info():
            self._latency.state(info["source_timestamp"], stamp_ns(data))
        for data, info in self._commands.take_with_info():
            seconds = self._latency.command(info["source_timestamp"], stamp_ns(data))
            if seconds is not None:
                self.exposition.observe_command(seconds)

    def _tell_machine(self) -> None:
        reading = read(self.params.disk)
        shares = {"processor": reading.cpu_share, "memory": reading.memory_share, "disk": reading.disk_share}
        if reading.temperatures:
            shares["temperature"] = max(degrees for _, degrees in reading.temperatures)
        self.exposition.tell_machine(shares, self._nodes.use())
        own = Health("", OK, f"listens at {self.params.host}:{self.params.port}",
                     {f"unreadable {code}": count for code, count in self.unreadable.items()})
        array = DiagnosticArray(status=[self._status(h) for h in (own, *self._machine.judge(reading))])
        array.header.stamp = self.get_clock().now().to_msg()
        self.publisher("diagnostics").publish(array)

    def _status(self, health: Health) -> Any:
        name = f"machine/{health.name}" if health.name else self.get_name()
        status = DiagnosticStatus(level=_LEVELS[health.level], name=name, message=health.message,
                                  hardware_id=self.get_namespace())
        status.values = [KeyValue(key=key, value=str(value)) for key, value in health.values.items()]
        return status

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=1.0)


def main() -> int:
    return run(Metrics)


if __name__ == "__main__":
    raise SystemExit(main())
