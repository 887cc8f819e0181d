"""The monitor and the gate as real processes beside a rig that plays everybody else."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from humanoid_bench.rig import ELBOW, UPPER, Rig
from humanoid_cli.session import own_domain
from humanoid_cli.supervisor import Supervisor
from humanoid_core.graph import load_graph
from humanoid_core.timing import MS
from humanoid_core.types import Level
from humanoid_ros.realtime import for_a_while, raise_priority

SAFETY = ("safety_monitor", "command_gate")
START, AGAIN = 60.0, 10.0


class SafetyWorld:
    """Ready for a fault after each ``move``."""

    def __init__(self, rig: Rig, supervisor: Supervisor) -> None:
        self.rig, self.supervisor = rig, supervisor
        self._epochs = itertools.count(1)
        self._start = self._elbow()

    def _elbow(self) -> float:
        return float(self.rig.q[UPPER][ELBOW])

    def wait(self, seconds: float, until: Callable[[], bool]) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.supervisor.poll()
            if until():
                return True
            time.sleep(0.001)
        return False

    def move(self, seconds: float = AGAIN) -> bool:
        """A motion is under way at level SAFE and the arm is fast."""
        rig = self.rig
        rig.state_changes, rig.shown_ns, rig.command = {}, 0, None
        rig.silent.clear()
        if not self.wait(seconds, lambda: rig.level() == Level.SAFE and rig.gate("holding")):
            return False
        # To and fro: each fault stops it on the way, and one way alone ends at the table.
        amplitude = 0.4 if self._elbow() >= self._start else -0.4
        rig.act(next(self._epochs), amplitude, omega=2.0)

        def fast() -> bool:
            status = rig.last("safety/gate")
            if status.state != "passing" and status.reason == "OLD_EPOCH":
                rig.act(next(self._epochs), amplitude, omega=2.0)
            return rig.gate("passing") and rig.elbow_speed() > 0.2 and rig.level() == Level.SAFE

        return self.wait(seconds, fast)

    def safe_after_ms(self, since_ns: int, patience: float = 2.0) -> float | None:
        """Until the first command of the gate that belongs to no motion of the policy any more was heard."""
        rig, found = self.rig, list[int]()

        def seen() -> bool:
            found[:] = [h.mono_ns for h in rig.since("robot/joint_command", since_ns) if h.value.epoch == 0][:1]
            return bool(found)

        return (found[0] - since_ns) / MS if self.wait(patience, seen) else None


@contextmanager
def safety_world() -> Iterator[SafetyWorld]:
    """Starts both nodes in a ROS domain of their own; the monitor comes back when it was killed."""
    graph = load_graph("sim")
    respawn = next(n.respawn for n in graph.nodes if n.respawn is not None)
    nodes = tuple(replace(n, respawn=respawn if n.name == "safety_monitor" else None) for n in graph.nodes
                  if n.name in SAFETY)
    with own_domain() as domain:
        rig, switch = Rig(domain), sys.getswitchinterval()
        try:
            with Supervisor(replace(graph, nodes=nodes), lambda node, line: None,
                            environment={"ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"]}) as supervisor:
                # It plays robot, ingest and twin in one process: what it sends late is no fault of the nodes, which run
                # already and have their own priority.
                sys.setswitchinterval(0.0005)
                with for_a_while(raise_priority):
                    world = SafetyWorld(rig, supervisor)
                    if not world.move(START):
                        raise RuntimeError(f"the safety nodes did not come to work: {rig.last('safety/status')}")
                    yield world
        finally:
            sys.setswitchinterval(switch)
            rig.close()
