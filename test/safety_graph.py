"""The two safety nodes beside a rig, ready to move."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from conftest import Process, wait_for

from humanoid_bench.rig import NAMES, ROBOT, UPPER, Heard, Rig, Speaker
from humanoid_core.types import Level
from safety_nodes.params import GateParams

SUSPEND_GAP = GateParams().suspend_gap

SPEED, ACCELERATION = ROBOT.command_velocity[UPPER], ROBOT.command_acceleration[UPPER]


@dataclass
class Graph:
    rig: Rig
    monitor: Process
    gate: Process
    domain: int
    others: list[Speaker] = field(default_factory=list)

    def speaker(self, name: str) -> Speaker:
        self.others.append(Speaker(self.domain, name))
        return self.others[-1]

    def wait_safe(self) -> None:
        wait_for(lambda: self.rig.level() == Level.SAFE and self.rig.gate("holding"), 40,
                 "SAFE and a holding gate")

    def move(self, epoch: int = 1) -> None:
        """A motion is under way and the arm is fast."""
        wait_for(self.mover(epoch), 20, "the arm in motion")

    def mover(self, epoch: int) -> Callable[[], bool]:
        """Begin a motion; the answer says whether the arm is fast. Like a policy should, it starts anew when it
        was held."""
        self.rig.act(epoch)
        epochs = itertools.count(1000 * (epoch + 1))

        def fast() -> bool:
            status = self.rig.last("safety/gate")
            if status.reason == "OLD_EPOCH":  # a pause of this machine may have interrupted it
                self.rig.act(next(epochs))
            return self.rig.gate("passing") and self.rig.elbow_speed() > 0.2

        return fast


@pytest.fixture(name="graph")
def graph_fixture(domain: int, start: Callable[..., Process]) -> Iterator[Graph]:
    rig = Rig(domain)
    made = Graph(rig, start("safety_monitor"), start("command_gate"), domain)
    try:
        made.wait_safe()
        yield made
    finally:
        for other in made.others:
            other.close()
        rig.close()


def check_commands(heard: list[Heard]) -> None:
    """By the commands' own counters, so that a delayed callback of the test changes nothing."""
    assert heard
    for a, b in itertools.pairwise(heard):
        q, v = b.value.position, b.value.velocity
        assert b.value.joint_names == NAMES
        assert np.isfinite(q).all()
        assert (q >= ROBOT.lower[UPPER]).all()
        assert (q <= ROBOT.upper[UPPER]).all()
        ticks = b.value.seq - a.value.seq
        assert ticks >= 1
        assert (np.abs(q - a.value.position) <= SPEED * 0.01 * ticks + 1e-9).all()
        if (b.value.stamp_ns - a.value.stamp_ns) * 1e-9 > SUSPEND_GAP and not v.any():
            continue  # the gate itself was held up for so long that the robot has stopped by itself meanwhile
        assert (np.abs(v - a.value.velocity) <= ACCELERATION * 0.01 * ticks + 1e-6).all()


def wait_still(graph: Graph) -> None:
    wait_for(lambda: graph.rig.elbow_speed() == 0.0 and graph.rig.gate("holding"), 10, "a held set-point")
