"""What Prometheus is told: a few histograms of our own, everything else as the graph's messages say it.

Counters and gauges stand in the messages already, so they are handed on and not kept a second time. What a silent
topic said last is not handed on: a graph without a monitor has no safety level.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from humanoid_core.timing import NS
from humanoid_core.types import BatterySample, GateStatus, MotorSample, SafetyStatus, SensorHealth, TwinState, VlaStatus

PREFIX = "humanoid_twin_"
#: s; fine around 15 ms, the aim from sensor to robot command.
BUCKETS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
INFERENCE_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
#: A topic that is silent for longer has nothing to say.
KEEP_NS = 3 * NS


@dataclass(frozen=True)
class ProcessUse:
    """One node's process: processor time in s since its start, resident memory in bytes."""

    node: str
    cpu_s: float
    memory: int


class Exposition:
    """``hear`` what topics say, ``observe`` latencies; a scrape reads it in a thread of its own.

    ``clock``: monotonic nanoseconds, asked at a scrape. ``quantities`` and units: SI, degrees Celsius.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._clock, self._lock = clock, threading.Lock()
        self._heard: dict[str, tuple[int, Any]] = {}
        self._processes: tuple[ProcessUse, ...] = ()
        self._machine: dict[str, float] = {}
        self._chunks: int | None = None
        self._command = self._histogram("sensor_to_command_seconds",
                                        "capture of the newest measurement to the robot command that knew it")
        self._twin = self._histogram("twin_latency_seconds", "capture of a measurement to the twin's state, sampled")
        self._late = self._histogram("tick_lateness_seconds", "lateness of a node's tick, sampled", ("node",))
        self._inference = self._histogram("inference_seconds", "how long the policy's latest inference took", (),
                                          INFERENCE_BUCKETS)
        self.registry.register(self)  # type: ignore[arg-type]

    def _histogram(self, name: str, doc: str, labels: tuple[str, ...] = (),
                   buckets: tuple[float, ...] = BUCKETS) -> Histogram:
        return Histogram(PREFIX + name, doc, labels, registry=self.registry, buckets=buckets)

    def hear(self, topic: str, value: Any, at_ns: int) -> None:
        """The newest message of a topic, as a dataclass, heard at a monotonic time."""
        with self._lock:
            self._heard[topic] = (at_ns, value)
        if isinstance(value, TwinState):
            self._twin.observe(value.latency)
        elif isinstance(value, SafetyStatus):
            self._late.labels("safety_monitor").observe(value.tick_lateness)
        elif isinstance(value, GateStatus):
            self._late.labels("command_gate").observe(value.tick_lateness)
        elif isinstance(value, VlaStatus) and value.chunks != self._chunks:
            if value.chunks:
                self._inference.observe(value.inference_ms / 1e3)
            self._chunks = value.chunks

    def observe_command(self, seconds: float) -> None:
        """One latency from sensor to robot command."""
        self._command.observe(seconds)

    def tell_machine(self, shares: dict[str, float], processes: tuple[ProcessUse, ...]) -> None:
        """``shares`` by name (processor, memory, disk: 0..1; temperature: degrees), and what each node uses."""
        with self._lock:
            self._machine, self._processes = dict(shares), processes

    def collect(self) -> Iterator[Metric]:
        """For the registry: everything but the histograms."""
        with self._lock:
            heard, machine, processes = dict(self._heard), dict(self._machine), self._processes
        now_ns = self._clock()
        silence = GaugeMetricFamily(PREFIX + "topic_silence_seconds", "since the topic was heard last",
                                    labels=["topic"])
        fresh: dict[type, Any] = {}
        for topic, (at_ns, value) in heard.items():
            silence.add_metric([topic], max(now_ns - at_ns, 0) / NS)
            if now_ns - at_ns <= KEEP_NS:
                fresh[type(value)] = value
        yield silence
        yield from _safety(fresh)
        yield from _refusals(fresh)
        yield from _body(fresh)
        yield from _machine_families(machine, processes)


def _gauge(name: str, doc: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, doc, value=float(value))


def _labelled(kind: type, name: str, doc: str, label: str, rows: Iterable[tuple[str, float]]) -> Metric:
    family = kind(PREFIX + name, doc, labels=[label])
    for key, value in rows:
        family.add_metric([key], float(value))
    metric: Metric = family
    return metric


def _safety(fresh: dict[type, Any]) -> Iterator[Metric]:
    status: SafetyStatus | None = fresh.get(SafetyStatus)
    gate: GateStatus | None = fresh.get(GateStatus)
    overruns = []
    if status is not None:
        yield _gauge("safety_level", "0 SAFE, 1 CAUTION, 2 WARNING, 3 DANGER, 4 EMERGENCY", status.level)
        yield _gauge("estop_latched", "1: an emergency stop is latched", status.estop_latched)
        yield _labelled(GaugeMetricFamily, "violation_severity", "what a rule holds against the robot now, 0..1",
                        "code", _worst(status))
        overruns.append(("safety_monitor", status.overruns))
    if gate is not None:
        yield _labelled(CounterMetricFamily, "gate_commands", "commands to the robot: the policy's, or safe ones "
                        "in their place", "outcome", (("passed", gate.passed), ("held", gate.held)))
        if np.isfinite(gate.permit_age):
            yield _gauge("permit_age_seconds", "age of the permit that the gate goes by", gate.permit_age)
        overruns.append(("command_gate", gate.overruns))
    if overruns:
        yield _labelled(CounterMetricFamily, "overruns", "ticks that came later than one period", "node", overruns)


def _worst(status: SafetyStatus) -> list[tuple[str, float]]:
    worst: dict[str, float] = {}
    for violation in status.violations:
        worst[violation.code] = max(worst.get(violation.code, 0.0), violation.severity)
    return sorted(worst.items())


def _refusals(fresh: dict[type, Any]) -> Iterator[Metric]:
    family = CounterMetricFamily(PREFIX + "refusals", "what was refused, by whom and why",
                                 labels=["node", "source", "reason"])
    told = False
    for kind, node in ((GateStatus, "command_gate"), (VlaStatus, "vla_policy")):
        value = fresh.get(kind)
        for code, count in value.refusals if value is not None else ():
            family.add_metric([node, "", code], count)
        told |= value is not None
    health: SensorHealth | None = fresh.get(SensorHealth)
    for source in health.sources if health is not None else ():
        for code, count in source.refusals:
            family.add_metric(["sensor_ingest", source.topic, code], count)
    if told or health is not None:
        yield family
    if health is not None:
        yield _labelled(GaugeMetricFamily, "source_age_seconds", "age of a sensor's newest good sample", "topic",
                        [(s.topic, s.age_ms / 1e3) for s in health.sources if np.isfinite(s.age_ms)])
        yield _labelled(GaugeMetricFamily, "source_rate_hertz", "samples of a sensor per second", "topic",
                        [(s.topic, s.rate_hz) for s in health.sources if np.isfinite(s.rate_hz)])


def _body(fresh: dict[type, Any]) -> Iterator[Metric]:
    motors: MotorSample | None = fresh.get(MotorSample)
    if motors is not None:
        pairs = zip(motors.names, motors.temperature.tolist(), strict=True)
        yield _labelled(GaugeMetricFamily, "motor_temperature_celsius", "temperature of a joint's motor", "joint",
                        [(name, t) for name, t in pairs if np.isfinite(t)])
    battery: BatterySample | None = fresh.get(BatterySample)
    if battery is not None and np.isfinite(battery.voltage):
        yield _gauge("battery_volts", "voltage of the battery", battery.voltage)
    twin: TwinState | None = fresh.get(TwinState)
    if twin is not None:
        yield _gauge("twin_quality", "how well the twin is in step, 0..1", twin.sync_quality)
        if np.isfinite(twin.support_margin):
            yield _gauge("support_margin_metres", "capture point inside the support polygon by", twin.support_margin)
        if np.isfinite(twin.nis).any():
            yield _gauge("nis_worst", "greatest normalised innovation squared of a joint", float(np.nanmax(twin.nis)))


def _machine_families(machine: dict[str, float], processes: tuple[ProcessUse, ...]) -> Iterator[Metric]:
    rows = [(name, share) for name, share in machine.items() if name != "temperature"]
    if rows:
        yield _labelled(GaugeMetricFamily, "machine_used_ratio", "share in use, 0..1", "what", rows)
    if "temperature" in machine:
        yield _gauge("machine_temperature_celsius", "the hottest sensor of the computer", machine["temperature"])
    if processes:
        yield _labelled(CounterMetricFamily, "process_cpu_seconds", "processor time of a node", "node",
                        [(p.node, p.cpu_s) for p in processes])
        yield _labelled(GaugeMetricFamily, "process_memory_bytes", "resident memory of a node", "node",
                        [(p.node, float(p.memory)) for p in processes])
