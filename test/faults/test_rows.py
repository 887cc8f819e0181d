"""Every row of the fault matrix in lockstep: no middleware, no waiting, the same run each time; so aims are bounds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

import pytest

from humanoid_bench.faults import ROWS
from humanoid_bench.faults.house import House, play, stop_and_reset
from humanoid_bench.faults.judge import Answer
from humanoid_core.robot import load_robot

PLAYED = [id for id, row in ROWS.items() if row.where != "graph"]
#: E5: everything is armed again after a reset. A robot that never worked has nothing to be stopped.
AGAIN = [id for id in PLAYED if ROWS[id].graph != "deaf"]


def answer(id: str, reset_before: bool) -> Answer:
    """Levels come down four times as fast as by default, so that the arm moves sooner."""
    robot, row = load_robot("g1"), ROWS[id]
    with House(robot, seed=1, table=row.graph == "table", deaf=row.graph == "deaf",
               settings=(("safety_monitor", "dwell", 0.1),)) as house:
        if reset_before:
            assert house.wait(12.0, house.working)
            stop_and_reset(house)
            house.wait(1.0)  # resets that follow faster are refused
        return play(house, row, robot)


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, bool], Future[Answer]]]:
    """The rows that were asked for, played on all processors."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        asked = [(item.callspec.params["id"], "after_a_stop" in item.name) for item in request.session.items
                 if item.path == request.path]
        yield {(id, reset): pool.submit(answer, id, reset) for id, reset in asked}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("id", PLAYED)
def test_a_fault_is_answered_as_the_matrix_demands(answers: dict[tuple[str, bool], Future[Answer]], id: str) -> None:
    found = answers[id, False].result()
    assert found.verdict == "ok", found.why


@pytest.mark.timeout(600)
@pytest.mark.parametrize("id", AGAIN)
def test_after_a_stop_and_a_reset_it_is_answered_as_before(answers: dict[tuple[str, bool], Future[Answer]],
                                                           id: str) -> None:
    """E5."""
    found = answers[id, True].result()
    assert found.verdict == "ok", found.why
