"""What a measurement hands over: figures for the table, distributions and definitions for the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_cli.figures import Figure


@dataclass
class Measured:
    """``note``: how it was measured, exactly, in a sentence or two."""

    figures: dict[str, Figure] = field(default_factory=dict)
    distributions: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Options:
    """``only``: names of measurements, separated by commas. ``log``: what long measurements did, one JSON line each;
    a second run goes on where the first one ended. ``bag``: a recording to measure with, instead of a new one;
    ``keep``: where a new one stays. ``samples``: faults of each kind given to real processes."""

    quick: bool = False
    only: str = ""
    minutes: float | None = None
    seeds: int | None = None
    pushes: int | None = None
    log: Path | None = None
    bag: Path | None = None
    keep: Path | None = None
    samples: int | None = None


#: Called with the share of a measurement that is done, 0 to 1.
Progress = Callable[[float], None]


def percentiles(name: str, values: Sequence[float], unit: str = "ms", aim: float | None = None,
                judged: str = "p99") -> dict[str, Figure]:
    """p50, p99, p99.9 and the greatest of a distribution; the aim stands beside the judged one. ``name`` with %s."""
    if not values:
        return {name % judged: Figure(float("nan"), unit, aim, 0)}
    shares = {"p50": 50.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
    return {name % key: Figure(round(float(np.percentile(values, share)), 3), unit, aim if key == judged else None,
                               len(values)) for key, share in shares.items()}


class Log:
    """Results by key, one JSON line each, so that a long measurement can be interrupted, split and continued."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.known: dict[str, Any] = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                for line in path.read_text().splitlines():
                    row = json.loads(line)
                    self.known[row["key"]] = row["value"]

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """The known value, or what ``make`` gives, which is written down."""
        if key not in self.known:
            self.known[key] = make()
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps({"key": key, "value": self.known[key]}) + "\n")
        return self.known[key]
