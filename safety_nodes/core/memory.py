"""What the monitor remembers from tick to tick, and nothing else does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from humanoid_core.timing import SteadyStamps
from humanoid_core.types import Level, Posture
from safety_nodes.core.clearance import Clearance, Contact
from safety_nodes.core.history import History
from safety_nodes.core.overrides import Overrides
from safety_nodes.core.recovery import RecoveryMemory
from safety_nodes.core.stops import StopSources
from safety_nodes.core.types import Finding

#: Nonces of resets that are remembered; at one in a second, 18 hours of them.
MAX_NONCES = 65536


class KOfN:
    """Counts a noisy finding only as strongly as it was seen in k of the last n ticks.

    The k-th largest severity of the window: a single spike gives nothing, and a worse input never gives less.
    """

    def __init__(self, k: int, n: int) -> None:
        self._k = k
        self._window: deque[float] = deque([0.0] * n, maxlen=n)
        self._found: list[Finding] = []

    def __call__(self, found: list[Finding]) -> list[Finding]:
        self._window.append(max((f.severity for f in found), default=0.0))
        severity = sorted(self._window)[-self._k]
        if severity <= 0.0:
            self._found = []
            return []
        if found:
            self._found = found
        worst = max(self._found, key=lambda f: f.severity)
        rest = [f for f in self._found if f is not worst and f.severity <= severity]
        return [Finding(worst.code, worst.subject, worst.value, worst.limit, severity), *rest]


@dataclass
class Memory:
    """Level, latch and histories. One per monitor; changed by `evaluate` and `reset` only."""

    level: Level = Level.DANGER
    raw_level: Level = Level.DANGER
    below_since_ns: int | None = None
    latched: bool = False
    latch_cause: str = ""
    reset_count: int = 0
    nonces: dict[int, None] = field(default_factory=dict)  # in the order in which they came
    last_reset_ns: int | None = None
    last_tick_ns: int | None = None
    stamps: SteadyStamps = field(default_factory=SteadyStamps)
    stops: StopSources = field(default_factory=StopSources)
    overrides: Overrides = field(default_factory=Overrides)
    filters: dict[str, KOfN] = field(default_factory=dict)
    since: dict[tuple[str, str], int] = field(default_factory=dict)
    recovery: RecoveryMemory = field(default_factory=RecoveryMemory)
    history: History = field(default_factory=History)
    clearance: Clearance | None = None  # made without an environment when nobody gives one
    near: list[Contact] = field(default_factory=list)  # under the cap at tick `near_ns`
    near_ns: int = -1
    posture: Posture = Posture.HOLD
