"""What was seen lately, kept in the stance frame: a thing stays known while an arm hides it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_nodes.core.body import Frame
from vla_nodes.core.clearance import World
from vla_nodes.core.perception import Sighting, View

#: A sighting with less than this share of the first one's pixels is half hidden and says nothing about place.
WHOLE = 0.8
#: Weight of a new sighting in the running mean.
GAIN = 0.4


class Memory:
    """The target, the other things and the table."""

    def __init__(self) -> None:
        self.target: Sighting | None = None
        self._area = 0
        self._others: tuple[Sighting, ...] = ()
        self._table = self._edge = float("nan")
        self._elsewhere: Sighting | None = None
        self._times_elsewhere = 0

    def look(self, view: View) -> None:
        """Take in a picture: the table, and the things while nothing is aimed at."""
        if np.isfinite(view.table) and not np.isfinite(self._table):
            self._table, self._edge = view.table, view.edge
        if self.target is None:
            self._others = view.things

    def aim(self, thing: Sighting) -> None:
        """Make a sighting the target."""
        self.target, self._area = thing, thing.area
        self._others = tuple(s for s in self._others if s is not thing)

    def follow(self, view: View) -> float:
        """Update the target from a picture; how far, in m, it was seen elsewhere twice in a row (else 0)."""
        assert self.target is not None
        seen = [s for s in view.things if s.colour == self.target.colour and s.area >= WHOLE * self._area]
        if not seen:
            return 0.0
        here = min(seen, key=lambda s: _far(s, self.target))
        far = _far(here, self.target)
        if far < 0.02:
            self._times_elsewhere = 0
            blend = GAIN * (here.top - self.target.top), GAIN * (here.centre - self.target.centre)
            self.target = replace(
                self.target, top=self.target.top + blend[0], centre=self.target.centre + blend[1]
            )
            return 0.0
        again = self._elsewhere is not None and _far(here, self._elsewhere) < 0.015
        self._times_elsewhere = self._times_elsewhere + 1 if again else 1
        self._elsewhere = here
        return far if self._times_elsewhere >= 2 else 0.0

    def settle(self) -> None:
        """Believe the new place."""
        assert self._elsewhere is not None
        self.target, self._times_elsewhere = self._elsewhere, 0

    def world(self, stance: Frame) -> World:
        """Table and things other than the target."""
        edge = self._edge - 0.04
        return World(stance, self._table, edge, tuple((s.top, s.radius) for s in self._others))


def _far(a: Sighting, b: Sighting | None) -> float:
    return float("inf") if b is None else float(np.linalg.norm(a.centre - b.centre))
