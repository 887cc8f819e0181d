"""What the gate heard from the monitor: the newest good permit, the latch, and how an emergency shall end."""

from __future__ import annotations

from collections.abc import Sequence

from humanoid_core.reasons import Refusals
from humanoid_core.timing import NS
from humanoid_core.types import Level, Permit, Posture
from safety_nodes.core.config import GateConfig
from safety_nodes.core.identity import SoleSender
from safety_nodes.core.types import Received


class PermitIntake:
    """Heeds one sender. A latch outlives the permit that set it, and the monitor; only a counted reset lifts it."""

    def __init__(self, config: GateConfig, refused: Refusals) -> None:
        self._longest = config.permit_validity + 1e-9
        self._refused = refused
        self._sender = SoleSender(int(config.sender_silence * NS))
        self._reset_count: int | None = None
        self.newest: Received[Permit] | None = None
        self.latched = False
        self.posture = Posture.HOLD  # the gravest that was asked for since the latch

    def take(self, permits: Sequence[Received[Permit]]) -> tuple[str, bool]:
        """(reason code that stops motion or '', a reset was accepted)."""
        hard, reset = "", False
        for permit in permits:
            value = permit.value
            fine, new = self._sender.accept(permit.sender, permit.mono_ns)
            if not fine:
                hard = self._refused.refuse("PUBLISHER", "safety/permit")
            elif value is None or not (0.0 <= value.scale <= 1.0 and 0.0 < value.validity <= self._longest):
                self.newest = None
                self._refused.refuse("OUT_OF_RANGE", "safety/permit")
            elif not new and self.newest is not None and self.newest.value is not None \
                    and value.seq <= self.newest.value.seq:
                self._refused.refuse("OLD_SEQUENCE", "safety/permit")
            else:
                reset = self._heed(permit, value, new) or reset
        return hard, reset

    def _heed(self, permit: Received[Permit], value: Permit, new_sender: bool) -> bool:
        """Take a good permit. A counted reset unlatches; a restarted monitor does not."""
        reset = self._reset_count is not None and not new_sender and value.reset_count != self._reset_count
        if reset:
            self.latched, self.posture = False, Posture.HOLD
        self._reset_count = value.reset_count
        if value.estop_latched or value.level >= Level.EMERGENCY:
            self.latched = True
            self.posture = max(self.posture, value.posture)
        self.newest = permit
        return reset

    def valid(self, mono_ns: int) -> Permit | None:
        """The permit that holds now."""
        newest = self.newest
        if newest is None or newest.value is None or mono_ns - newest.mono_ns > newest.value.validity * NS:
            return None
        return newest.value

    def age(self, mono_ns: int) -> float:
        """s since the newest permit, NaN: none."""
        return float("nan") if self.newest is None else (mono_ns - self.newest.mono_ns) / NS

    def forget(self) -> None:
        """What was heard is not believed any more; the latch stays."""
        self.newest = None
