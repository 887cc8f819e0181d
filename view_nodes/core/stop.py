"""The page as a stop source: silent until somebody presses, then watched until it has signed off."""

from __future__ import annotations

from humanoid_core.types import ESTOP_SIGN_OFF, EStopState

#: Heartbeats of farewell: the monitor must not miss it.
FAREWELLS = 3


class StopButton:
    """Call ``beat`` ten times a second. The monitor takes silence of a source that it heard once as pressed, so a page
    that dies while pressed, or before it signed off, stops the robot."""

    def __init__(self, source: str) -> None:
        self._source, self._seq = source, 0
        self._pressed = self._speaks = False
        self._farewells = 0

    @property
    def pressed(self) -> bool:
        return self._pressed

    @property
    def speaks(self) -> bool:
        """Whether the monitor watches this source."""
        return self._speaks

    def press(self) -> None:
        self._pressed = self._speaks = True
        self._farewells = 0

    def release(self) -> None:
        """Let go; the latch stays until somebody resets it."""
        self._pressed = False

    def sign_off(self) -> bool:
        """Leave; refused while pressed. Only after the latch is gone, or the monitor would find a source missing."""
        if self._pressed or not self._speaks:
            return False
        self._farewells = FAREWELLS
        return True

    def beat(self, now_ns: int) -> EStopState | None:
        """The heartbeat to publish now, if any."""
        if not self._speaks:
            return None
        if self._farewells:
            self._farewells -= 1
            self._speaks = self._farewells > 0
            return EStopState(now_ns, self._source, False, ESTOP_SIGN_OFF)
        self._seq += 1
        return EStopState(now_ns, self._source, self._pressed, self._seq)
