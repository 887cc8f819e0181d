"""What Prometheus and diagnostics are told of a graph and its computer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from humanoid_core.latency import SensorToCommand
from humanoid_core.timing import MS, NS
from humanoid_core.types import GateStatus, Level, MotorSample, SafetyStatus, SensorHealth, SourceHealth, Violation
from humanoid_ros.head import stamp_ns
from view_nodes.core.exposition import Exposition, ProcessUse
from view_nodes.core.machine import ERROR, OK, WARN, Limits, Machine, Reading
from view_nodes.machine_reader import named, read

GATE = GateStatus(0, "passing", "", 40, 2, (("STALE", 3),), 100, 5, 0.004, 0.01)


class Scraped:
    """An exposition, and what a scrape says: (name, labels) -> value."""

    def __init__(self) -> None:
        self.now_ns = 10 * NS
        self.exposition = Exposition(lambda: self.now_ns)

    def values(self) -> dict[tuple[str, str], float]:
        text = generate_latest(self.exposition.registry).decode()
        return {(s.name.removeprefix("humanoid_twin_"), ",".join(s.labels.values())): s.value
                for family in text_string_to_metric_families(text) for s in family.samples}


def status(level: Level = Level.WARNING) -> SafetyStatus:
    rows = (Violation("TILT", "base", 0.5, 0.4, 0.3, 0), Violation("TILT", "base", 0.5, 0.4, 0.7, 0))
    return SafetyStatus(0, level, False, "TILT", rows, 1, 7, 0.0002)


def test_a_scrape_says_level_overruns_refusals_and_temperatures() -> None:
    scraped = Scraped()
    source = SourceHealth("imu/pelvis", "ok", True, "", 9, 2.0, 200.0, 200.0, 0.1, 6.0, 0, (("FROZEN", 4),))
    for topic, value in (("safety/status", status()), ("safety/gate", GATE),
                         ("ingest/sensor_health", SensorHealth(0, (source,), True)),
                         ("motor_status", MotorSample(0, ("knee", "hip"), np.array([41.5, np.nan]), np.zeros(2),
                                                      np.zeros(2), (0, 0)))):
        scraped.exposition.hear(topic, value, scraped.now_ns)
    values = scraped.values()
    assert values["safety_level", ""] == 2
    assert values["violation_severity", "TILT"] == 0.7
    assert (values["overruns_total", "safety_monitor"], values["overruns_total", "command_gate"]) == (7, 5)
    assert values["refusals_total", "command_gate,STALE,"] == 3
    assert values["refusals_total", "sensor_ingest,FROZEN,imu/pelvis"] == 4
    assert values["gate_commands_total", "passed"] == 40
    assert values["motor_temperature_celsius", "knee"] == 41.5
    assert ("motor_temperature_celsius", "hip") not in values, "an unknown temperature is not a number"


def test_a_silent_monitor_has_no_level_and_its_silence_is_told() -> None:
    scraped = Scraped()
    scraped.exposition.hear("safety/status", status(Level.SAFE), scraped.now_ns)
    assert scraped.values()["safety_level", ""] == 0
    scraped.now_ns += 4 * NS
    values = scraped.values()
    assert ("safety_level", "") not in values
    assert values["topic_silence_seconds", "safety/status"] == 4.0


def test_latencies_go_into_buckets() -> None:
    scraped = Scraped()
    for seconds in (0.004, 0.012, 0.014, 0.4):
        scraped.exposition.observe_command(seconds)
    values = scraped.values()
    assert values["sensor_to_command_seconds_count", ""] == 4
    assert values["sensor_to_command_seconds_bucket", "0.015"] == 3
    assert values["sensor_to_command_seconds_sum", ""] == pytest.approx(0.43)


def test_what_the_machine_and_the_nodes_use_is_told() -> None:
    scraped = Scraped()
    scraped.exposition.tell_machine({"processor": 0.5, "temperature": 61.0}, (ProcessUse("twin_sync", 12.5, 1 << 26),))
    values = scraped.values()
    assert values["machine_used_ratio", "processor"] == 0.5
    assert values["machine_temperature_celsius", ""] == 61.0
    assert values["process_cpu_seconds_total", "twin_sync"] == 12.5
    assert values["process_memory_bytes", "twin_sync"] == 1 << 26


def test_the_newest_state_that_the_gate_can_have_known_counts() -> None:
    latency = SensorToCommand()
    assert latency.command(5 * MS, 4 * MS) is None
    latency.state(published_ns=10 * MS, stamp_ns=8 * MS)
    latency.state(published_ns=15 * MS, stamp_ns=13 * MS)
    assert latency.command(published_ns=16 * MS, stamp_ns=14 * MS) == pytest.approx(0.008)
    assert latency.command(published_ns=17 * MS, stamp_ns=15 * MS) == pytest.approx(0.004)
    assert latency.command(published_ns=10 * NS, stamp_ns=10 * NS) is None
    assert latency.left_out == 1


def test_a_stamp_is_read_from_the_bytes() -> None:
    from humanoid_twin.msg import JointCommand
    from rclpy.serialization import serialize_message

    message = JointCommand(joint_names=["a"], position=[1.0])
    message.header.stamp.sec, message.header.stamp.nanosec = 1_700_000_000, 987_654_321
    assert stamp_ns(serialize_message(message)) == 1_700_000_000_987_654_321


def reading(**changes: object) -> Reading:
    well = Reading(0.4, 0.5, 0.5, 2 << 30, 0.0, 0.5, 9 << 30, "/", (("cpu 0", 50.0), ("cpu 1", 61.0)))
    return dataclasses.replace(well, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "changes", "level", "words"), [
    ("memory", {}, OK, "50 % used"),
    ("memory", {"memory_share": 0.9}, WARN, "90 % used"),
    ("memory", {"memory_share": 0.96}, ERROR, "96 % used"),
    ("disk", {"disk_share": 0.99, "disk_free": 5 << 20}, ERROR, "5 MiB free at /"),
    ("temperature", {}, OK, "61 degC at cpu 1"),
    ("temperature", {"temperatures": (("cpu", 97.0),)}, ERROR, "97 degC"),
    ("temperature", {"temperatures": ()}, OK, "tells no temperature"),
])
def test_the_machine_is_judged(name: str, changes: dict[str, object], level: int, words: str) -> None:
    health = {h.name: h for h in Machine(Limits()).judge(reading(**changes))}[name]
    assert (health.level, words in health.message) == (level, True), health


def test_a_second_of_full_load_is_no_warning_and_ten_are() -> None:
    machine = Machine(Limits())
    levels = [machine.judge(reading(cpu_share=1.0))[0].level for _ in range(10)]
    assert levels == [OK] * 9 + [WARN]


def test_this_machine_can_be_read() -> None:
    now = read("/")
    assert 0.0 <= now.memory_share <= 1.0
    assert now.disk_free > 0
    with pytest.raises(OSError, match="No such file"):
        read("/no/such/folder")


def test_a_node_is_named_by_its_command_line() -> None:
    words = ["/usr/bin/python3", "/opt/x/lib/humanoid_twin/twin_sync", "--ros-args", "-r", "__node:=twin", "-r",
             "__ns:=/left"]
    assert named(words) == ("twin", "left")
    assert named(words[:2]) == ("twin_sync", "")
