"""The last minute as curves: tracking, innovations, latency, processor."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from humanoid_core.latency import SensorToCommand
from humanoid_core.timing import NS
from humanoid_core.types import Array, TwinState

SPAN = 60.0  # s
MOST = 600  # points


@dataclass(frozen=True)
class Plot:
    """What one plot shows: ``labels`` of its curves, ``unit``."""

    name: str
    title: str
    labels: tuple[str, ...]


TRACKING = Plot("tracking", "tracking error, mrad", ("worst joint", "RMS"))
INNOVATION = Plot("nis", "NIS of the twin", ("worst joint", "mean"))
LATENCY = Plot("latency", "latency, ms", ("sensor to command, p50", "p99", "twin"))
PROCESSOR = Plot("cpu", "processor, cores", ("nodes", "all"))
PLOTS = (TRACKING, INNOVATION, LATENCY, PROCESSOR)


class Curves:
    """One plot's points; what is not known at an instant is NaN."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self._rows: deque[tuple[int, tuple[float, ...]]] = deque(maxlen=MOST)

    def add(self, now_ns: int, *values: float) -> None:
        """One value for each label."""
        if len(values) != len(self.plot.labels):
            raise ValueError(f"{self.plot.name}: {len(values)} values for {len(self.plot.labels)} curves")
        self._rows.append((now_ns, values))

    def arrays(self, now_ns: int) -> tuple[Array, ...]:
        """Seconds before now (negative) and each curve, oldest first; a point of NaN where nothing came yet."""
        rows = [(t, v) for t, v in self._rows if now_ns - t <= SPAN * NS]
        if not rows:
            return np.array([-SPAN, 0.0]), *(np.full(2, np.nan) for _ in self.plot.labels)
        t = np.array([(at - now_ns) / NS for at, _ in rows])
        return t, *np.array([values for _, values in rows]).T.copy()


class Minute:
    """All plots. Monotonic nanoseconds; latencies are told one by one and summed up at each ``sample``."""

    def __init__(self) -> None:
        self.curves = {plot.name: Curves(plot) for plot in PLOTS}
        self.latency = SensorToCommand()
        self._latencies: deque[float] = deque(maxlen=1000)

    def command(self, published_ns: int, stamp_ns: int) -> None:
        """A robot command, see ``SensorToCommand``."""
        seconds = self.latency.command(published_ns, stamp_ns)
        if seconds is not None:
            self._latencies.append(seconds)

    def sample(self, twin: TwinState | None, now_ns: int) -> None:
        """One point of tracking, innovations and latency; None: the twin is silent."""
        if twin is None:
            self.curves["tracking"].add(now_ns, np.nan, np.nan)
            self.curves["nis"].add(now_ns, np.nan, np.nan)
        else:
            error = tracking_error(twin)
            self.curves["tracking"].add(now_ns, 1e3 * _worst(np.abs(error)), 1e3 * float(np.sqrt(_mean(error**2))))
            self.curves["nis"].add(now_ns, _worst(twin.nis), _mean(twin.nis))
        p50, p99 = np.percentile(self._latencies, (50, 99)) if self._latencies else (np.nan, np.nan)
        self._latencies.clear()
        self.curves["latency"].add(now_ns, 1e3 * float(p50), 1e3 * float(p99),
                                   1e3 * twin.latency if twin is not None else np.nan)

    def processor(self, nodes: float, everything: float, now_ns: int) -> None:
        """Cores that the nodes, and all programs together, use."""
        self.curves["cpu"].add(now_ns, nodes, everything)


def tracking_error(twin: TwinState) -> Array:
    """Commanded minus estimated position, rad; NaN for a joint that nobody commands, empty before any command."""
    if len(twin.desired_position) != len(twin.position):
        return np.zeros(0)
    return np.asarray(twin.desired_position - twin.position)


def _worst(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else float("nan")


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
