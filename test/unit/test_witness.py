"""A machine that stands still is told from a program that is late."""

from __future__ import annotations

import os
import signal
import time

import pytest

from humanoid_bench.faults.judge import Answer
from humanoid_cli.inject_all import PLAYS, counts, explained
from humanoid_cli.inject_graphs import make_graph
from humanoid_cli.witness import STOOD_MS, witness

LATE, GOOD = (Answer("D1", "joint sensor stops", verdict, "level DANGER") for verdict in ("LATE", "ok"))


def test_a_pause_of_a_processor_is_seen_and_told_with_its_length() -> None:
    with witness() as seen:
        if not seen.trusted:
            pytest.skip("no right to real-time priority here")
        begin_ns = time.monotonic_ns()
        child = seen.processes[0].pid
        os.kill(child, signal.SIGSTOP)
        os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOWAIT)
        stopped_ns = time.monotonic_ns()
        while time.monotonic_ns() - stopped_ns < 60_000_000:
            pass
        os.kill(child, signal.SIGCONT)
        end = time.monotonic() + 10.0
        while not seen.longest_ms(begin_ns) and time.monotonic() < end:
            time.sleep(0.001)
        assert seen.longest_ms(begin_ns) >= 60.0 > STOOD_MS
        assert seen.longest_ms(time.monotonic_ns() + 10**12) == 0.0, "what was before says nothing of what comes"
    assert not any(process.is_alive() for process in seen.processes)


def test_only_what_failed_while_the_machine_stood_still_is_played_again_and_not_for_ever() -> None:
    assert counts(LATE, 0.0, 1)
    assert counts(GOOD, 46.0, 1)
    assert not counts(LATE, 46.0, 1)
    assert counts(LATE, 46.0, PLAYS)
    assert explained(GOOD, []).why == "level DANGER"
    assert explained(GOOD, [46.2, 31.0]).why == (
        "level DANGER (played 3 times: the machine stood still for 46, 31 ms)")


def test_where_nothing_stands_around_nobody_looks_for_it() -> None:
    for kind, objects, around in (("arms", "", ""), ("clock", "", ""), ("table", None, "table")):
        nodes = {node.name: node.parameters for node in make_graph(kind).nodes}
        assert nodes["sim_robot"].get("objects") == objects
        assert {nodes[name]["environment"] for name in ("safety_monitor", "command_gate", "twin_sync")} == {around}
