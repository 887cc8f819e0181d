"""Order comes from names: arrays that travel with joint names are brought into the robot's order or refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array

Order = NDArray[np.intp]


class NameOrder:
    """Finds the order of a list of names once and remembers it, because it hardly ever changes."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._index = {name: i for i, name in enumerate(names)}
        self._known: tuple[str, ...] = names
        self._order: Order | None = None

    def of(self, names: tuple[str, ...]) -> tuple[Order | None, str]:
        """(order, problem): ``values[order]`` is in the robot's order; None: it is already."""
        if names == self._known:
            return self._order, ""
        problem = self._problem(names)
        if problem:
            return None, problem
        place = {name: i for i, name in enumerate(names)}
        order = np.array([place[name] for name in self.names], dtype=np.intp)
        self._known, self._order = names, order
        return order, ""

    def _problem(self, names: tuple[str, ...]) -> str:
        given = set(names)
        parts = []
        if len(given) != len(names):
            parts.append("given twice: " + _some(sorted({n for n in names if names.count(n) > 1})))
        unknown = [n for n in names if n not in self._index]
        if unknown:
            parts.append("unknown: " + _some(unknown))
        missing = [n for n in self.names if n not in given]
        if missing:
            parts.append("missing: " + _some(missing))
        return "; ".join(parts)


def _some(names: list[str]) -> str:
    shown = ", ".join(f"'{n}'" for n in names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def ordered(values: Array, order: Order | None) -> Array:
    return values if order is None or values.size == 0 else values[order]


def worst(outside: NDArray[np.bool_], names: tuple[str, ...]) -> tuple[int, str]:
    """First index where ``outside`` is true, and that joint's name."""
    i = int(np.argmax(outside))
    return i, names[i]
