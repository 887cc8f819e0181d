"""What the gate heard from a person who took over: hold, or joint speeds to jog at.

An active override holds until the same sender says that it is not active; a link that is lost goes on holding. Speeds
count while what was said is fresh, by its arrival and by its stamp; what is not still holds, or releases. Another
sender is heeded once the first has been silent for `sender_silence`: the way to release a lost one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array
from humanoid_core.timing import NS, SteadyStamps
from humanoid_core.types import OverrideState
from safety_nodes.core.config import GateConfig
from safety_nodes.core.identity import SoleSender
from safety_nodes.core.types import Received

HOLD, JOG = 0, 1
Indices = npt.NDArray[np.intp]


class OverrideIntake:
    """``active`` from the first active heartbeat to the one that releases."""

    def __init__(self, names: tuple[str, ...], config: GateConfig, refused: Refusals) -> None:
        self._place = {name: k for k, name in enumerate(names)}
        self._timeout_ns = int(config.override_timeout * NS)
        self._refused = refused
        self._sender = SoleSender(int(config.sender_silence * NS))
        self._newest: Received[OverrideState] | None = None
        self._jog: tuple[Indices, Array] | None = None
        self._said_ns = 0  # when the speeds were asked for, monotonic
        self.active = False

    def take(self, overrides: Sequence[Received[OverrideState]], stamps: SteadyStamps, obey: bool = True) -> None:
        """``obey`` False: the gate was suspended, and nobody knows when this came; speeds in it are no orders."""
        for received in overrides:
            value = received.value
            fine, new = self._sender.accept(received.sender, received.mono_ns)
            if not fine:
                self._refused.refuse("PUBLISHER", "safety/override")
            elif value is None:
                self._refused.refuse("OUT_OF_RANGE", "safety/override")
                self.active, self._jog = True, None  # somebody wants something: hold
            elif not new and self._newest is not None and self._newest.value is not None \
                    and value.seq <= self._newest.value.seq:
                self._refused.refuse("OLD_SEQUENCE", "safety/override")
            else:
                self._newest, self.active = received, value.active
                self._jog = self._asked(received, value, stamps, obey) if value.active and value.mode != HOLD else None

    def jog(self, mono_ns: int) -> tuple[Indices, Array] | None:
        """(joints of the controlled group, rad/s) while a fresh heartbeat asks for it."""
        if not self.active or mono_ns - self._said_ns > self._timeout_ns:
            return None
        return self._jog

    def forget(self) -> None:
        """Nobody says any more how to move; who took over has still taken over."""
        self._jog = None

    def _asked(self, received: Received[OverrideState], value: OverrideState, stamps: SteadyStamps,
               obey: bool) -> tuple[Indices, Array] | None:
        """The speeds of a heartbeat that is of now, else None, which holds."""
        code = stamps.age_reason(value.stamp_ns, self._timeout_ns, self._timeout_ns) or ("" if obey else "STALE")
        if code:
            self._refused.refuse(code, "safety/override")
            return None
        self._said_ns = min(stamps.mono_of(value.stamp_ns), received.mono_ns)
        return self._speeds(value)

    def _speeds(self, value: OverrideState) -> tuple[Indices, Array] | None:
        """None, which holds, when what is asked for is not a speed for each of some controlled joints."""
        names = value.joint_names
        if value.mode != JOG:
            self._refused.refuse("OUT_OF_RANGE", f"safety/override mode {value.mode}")
        elif len(set(names)) != len(names) or not names:
            self._refused.refuse("WRONG_NAMES", "safety/override")
        elif any(n not in self._place for n in names):
            self._refused.refuse("NOT_CONTROLLED", "safety/override")
        elif len(value.velocity) != len(names):
            self._refused.refuse("WRONG_LENGTH", "safety/override")
        elif not bool(np.isfinite(value.velocity).all()):
            self._refused.refuse("NON_FINITE", "safety/override")
        else:
            return np.array([self._place[n] for n in names], dtype=np.intp), np.asarray(value.velocity, dtype=float)
        return None
