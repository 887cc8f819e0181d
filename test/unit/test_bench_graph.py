"""bench graph: what it makes of what it saw."""

from __future__ import annotations

from collections import Counter

import pytest
from humanoid_twin.msg import JointCommand, RobotState
from rclpy.serialization import serialize_message

from humanoid_bench.front import reached
from humanoid_bench.graph import AIM_LATENCY, BENCH, COMMANDS, STATES, Seen, Tap, figures, growth
from humanoid_core.timing import MS, NS
from humanoid_ros.watcher import Rate


def stamped(message: RobotState | JointCommand, at_ns: int) -> bytes:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(at_ns, NS)
    return bytes(serialize_message(message))


def test_a_tap_counts_only_while_it_is_open() -> None:
    tap = Tap()
    for k in range(1, 4):
        begin = k * NS
        tap.open = k > 1
        tap.write(STATES, "", begin + 2 * MS, stamped(RobotState(), begin))
        tap.write(COMMANDS, "", begin + 9 * MS, stamped(JointCommand(), begin + 8 * MS))
    assert tap.latencies == pytest.approx([9.0, 9.0])


def test_growth_is_the_slope_of_the_second_half() -> None:
    leak = [(60.0 * k, {"a": 100.0, "b": (50.0 if k < 5 else 0.0) + 1.0 * k}) for k in range(10)]
    assert growth(leak) == pytest.approx(60.0), "1 MiB a minute, whatever happened while it settled"
    assert growth([(60.0 * k, {"a": 7.0}) for k in range(10)]) == pytest.approx(0.0, abs=1e-9)
    short = [(5.0 * k, {"a": 7.0 + k}) for k in range(10)]
    assert growth(short) != growth(short), "what is seen for less than a minute says nothing of growth"


def test_figures_name_what_was_missed() -> None:
    seen = Seen(rates=[Rate("twin/state", 80.0, 100.0, 800, 30.0), Rate("ingest/robot_state", 199.0, 200.0, 1990, 9.0),
                       Rate("view/markers", 0.0, 10.0, 0, float("nan"))],
                cores={"twin_sync": 0.4, "sim_robot": 0.9}, own_cores=0.1, memory=[(0.0, {"twin_sync": 80.0})],
                levels=Counter(SAFE=30, CAUTION=10, WARNING=10), overruns={"command_gate": 3}, asked=2)
    rows = figures(seen, [6.0] * 95 + [40.0] * 5)
    assert rows["sensor_to_command_p50_ms"].value == 6.0
    judged = rows["sensor_to_command_p99_ms"]
    assert (judged.value, judged.aim, judged.n) == (40.0, AIM_LATENCY, 100)
    assert reached(BENCH, "sensor_to_command_p99_ms", judged) is False
    assert (rows["rates_off"].value, rows["rates_off"].n) == (1, 2), "what was not asked for is not missed"
    assert rows["graph_cores"].value == pytest.approx(1.3)
    assert rows["at_work_share"].value == 0.8
    assert rows["command_gate_overruns"].value == 3
