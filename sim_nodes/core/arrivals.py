"""Commands by when they came: none acts on physics from before its arrival.

A tick works out the time that just went by, after the fact. A command that came in the middle of it must not act from
its beginning: a robot that obeys before it is told is one that no model of a robot follows.
"""

from __future__ import annotations

from bisect import insort
from operator import itemgetter

from humanoid_core.types import JointCommand
from sim_nodes.core.plant import Plant

#: A reader that is not served for so many commands has lost the robot's time anyway; the newest ones count.
MOST = 64


class Arrivals:
    """Commands that came and have not acted yet."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, JointCommand]] = []

    def add(self, arrival_ns: int, command: JointCommand) -> None:
        """A command that came at ``arrival_ns``; those of one moment keep their order."""
        insort(self._waiting, (arrival_ns, command), key=itemgetter(0))
        del self._waiting[:-MOST]

    def until(self, time_ns: int) -> list[JointCommand]:
        """Those that came up to this time, oldest first; each is given once."""
        ready = 0
        while ready < len(self._waiting) and self._waiting[ready][0] <= time_ns:
            ready += 1
        given = [command for _, command in self._waiting[:ready]]
        del self._waiting[:ready]
        return given

    def run(self, plant: Plant, steps: int, begun_ns: int, step_ns: int) -> None:
        """Steps of the physics, the first of which began at ``begun_ns``; each with what had come when it began."""
        for k in range(steps):
            for command in self.until(begun_ns + k * step_ns):
                plant.command(command)
            plant.step()
