"""What the gate heard from the monitor: the newest good permit, the latch, and how an emergency shall end."""

from __future__ import annotations

from collections.abc import Sequence

from humanoid_core.reasons import Refusals
from humanoid_core.timing import NS, SteadyStamps
from humanoid_core.types import Level, Permit, Posture
from safety_nodes.core.config import GateConfig
from safety_nodes.core.identity import SoleSender
from safety_nodes.core.types import Received


class PermitIntake:
    """Heeds one sender. A latch outlives the permit that set it, and the monitor; only a counted reset lifts it.

    A permit holds for its validity from its arrival, and no longer than ``permit_max_age`` from its stamp: one that was
    long under way gives no fresh leave. A step of the ROS clock lengthens neither (see SteadyStamps).
    """

    def __init__(self, config: GateConfig, refused: Refusals) -> None:
        self._longest = config.permit_validity + 1e-9
        self._max_age_ns = int(config.permit_max_age * NS)
        self._refused = refused
        self._sender = SoleSender(int(config.sender_silence * NS))
        self._reset_count: int | None = None
        self._seq: int | None = None  # of the sender's newest permit, good or not
        self._until_ns = 0  # the newest permit's end by its stamp, on the monotonic clock
        self.newest: Received[Permit] | None = None
        self.latched = False
        self.posture = Posture.HOLD  # the gravest that was asked for since the latch

    def take(self, permits: Sequence[Received[Permit]], stamps: SteadyStamps) -> tuple[str, bool]:
        """(reason code that stops motion or '', a reset was accepted)."""
        hard, reset = "", False
        for permit in permits:
            value = permit.value
            fine, new = self._sender.accept(permit.sender, permit.mono_ns)
            if not fine:
                hard = self._refused.refuse("PUBLISHER", "safety/permit")
                continue
            if new:
                self._seq = None
            if value is None:
                self.newest = None
                self._refused.refuse("OUT_OF_RANGE", "safety/permit")
            elif self._seq is not None and value.seq <= self._seq:
                self._refused.refuse("OLD_SEQUENCE", "safety/permit")
            else:
                self._seq = value.seq
                reset = self._heed(permit, value, new, stamps) or reset
        return hard, reset

    def _heed(self, permit: Received[Permit], value: Permit, new_sender: bool, stamps: SteadyStamps) -> bool:
        """Take the next permit of the monitor. One with a bad field gives no leave and lifts nothing, but a latch in it
        counts, whatever else is wrong."""
        code = self._fault(value, stamps)
        reset = not code and self._reset_count is not None and not new_sender and value.reset_count != self._reset_count
        if reset:
            self.latched, self.posture = False, Posture.HOLD
        if value.estop_latched or value.level >= Level.EMERGENCY:
            self.latched = True
            self.posture = max(self.posture, value.posture)
        if code:
            self.newest = None
            self._refused.refuse(code, "safety/permit")
            return False
        self._reset_count = value.reset_count
        self.newest = permit
        self._until_ns = min(stamps.mono_of(value.stamp_ns), permit.mono_ns) + self._max_age_ns
        return reset

    def _fault(self, value: Permit, stamps: SteadyStamps) -> str:
        """Reason code for what makes a permit no leave, ''."""
        if not (0.0 <= value.scale <= 1.0 and 0.0 < value.validity <= self._longest):
            return "OUT_OF_RANGE"
        return stamps.age_reason(value.stamp_ns, self._max_age_ns, self._max_age_ns)

    def valid(self, mono_ns: int) -> Permit | None:
        """The permit that holds now."""
        newest = self.newest
        if newest is None or newest.value is None or mono_ns > self._until_ns \
                or mono_ns - newest.mono_ns > newest.value.validity * NS:
            return None
        return newest.value

    def age(self, mono_ns: int) -> float:
        """s since the newest permit, NaN: none."""
        return float("nan") if self.newest is None else (mono_ns - self.newest.mono_ns) / NS

    def forget(self) -> None:
        """What was heard is not believed any more; the latch stays."""
        self.newest = None
