"""What the monitor remembers from tick to tick, and nothing else does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from humanoid_core.timing import SteadyStamps
from humanoid_core.types import ESTOP_SIGN_OFF, EStopState, Level, Posture
from safety_nodes.core.clearance import Clearance, Contact
from safety_nodes.core.history import History
from safety_nodes.core.overrides import Overrides
from safety_nodes.core.recovery import RecoveryMemory
from safety_nodes.core.types import Finding, Received

MAX_SOURCES = 64


class StopSources:
    """Heartbeats of the emergency-stop sources, by name. Seen once and silent counts as pressed.

    A source leaves by signing off: a last heartbeat, released, with the number ESTOP_SIGN_OFF, from the process that
    was heard last, while nothing is latched. One that died takes its place again as a new process of the same name,
    which may then sign off.
    """

    def __init__(self) -> None:
        self._last: dict[str, Received[EStopState]] = {}
        self.overflow = False

    def hear(self, beat: Received[EStopState], latched: bool = False) -> None:
        """Take a heartbeat. A release with an old sequence number is a replay and does not count; a press
        always does."""
        state = beat.value
        if state is None:
            return
        if state.seq == ESTOP_SIGN_OFF and not state.pressed:
            known = self._last.get(state.source)
            if not latched and known is not None and known.sender == beat.sender and known.value is not None \
                    and not known.value.pressed:
                del self._last[state.source]
            return
        if state.source not in self._last and len(self._last) >= MAX_SOURCES:
            self.overflow = True  # too many to watch: stays pressed
            return
        last = self._last.get(state.source)
        if last is not None and last.value is not None and not state.pressed:
            replay = beat.sender == last.sender and state.seq <= last.value.seq
            if replay:
                return
        self._last[state.source] = beat

    def pressed(self, now_ns: int, timeout_ns: int) -> list[tuple[str, float]]:
        """(source, seconds since its last heartbeat) of every source that is pressed or silent."""
        held = [(name, (now_ns - beat.mono_ns) * 1e-9) for name, beat in self._last.items()
                if beat.value is None or beat.value.pressed or now_ns - beat.mono_ns > timeout_ns]
        return [*held, ("too many stop sources", 0.0)] if self.overflow else held


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
    nonces: set[int] = field(default_factory=set)
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
