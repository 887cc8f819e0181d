"""The page as a stop source: silent until somebody presses, then watched until it has signed off."""

from __future__ import annotations

from humanoid_core.types import ESTOP_SIGN_OFF, EStopState

#: Heartbeats of farewell: the monitor must not miss it.
FAREWELLS = 3
#: Looks between letting go and asking for the reset, so that the monitor has heard of it, and before signing off.
UNTIL_RESET, UNTIL_SIGN_OFF = 3, 6


class StopButton:
    """Call ``look`` ten times a second. The monitor takes silence of a source that it heard once as pressed, so a page
    that dies while pressed, or before it signed off, stops the robot.

    press -> heartbeats, pressed; release -> heartbeats, released -> a reset is asked for -> once nothing is latched any
    more, the source signs off and is silent again.
    """

    def __init__(self, source: str) -> None:
        self._source, self._seq = source, 0
        self._pressed = self._speaks = False
        self._farewells = self._since_release = 0
        self._operator = ""

    @property
    def pressed(self) -> bool:
        return self._pressed

    @property
    def speaks(self) -> bool:
        """Whether the monitor watches this source."""
        return self._speaks

    def press(self) -> None:
        self._pressed = self._speaks = True
        self._farewells, self._operator = 0, ""

    def release(self, operator: str) -> None:
        """Let go, and have ``operator`` ask for a reset. A page that was started anew lets go of what the one before
        it left: a source of the same name that is silent counts as pressed."""
        self._pressed, self._speaks, self._operator = False, True, operator
        self._farewells = self._since_release = 0

    def look(self, now_ns: int, latched: bool | None) -> tuple[EStopState | None, str]:
        """(heartbeat to publish, who asks for a reset now or ''). ``latched``: what the monitor says, None: silent."""
        if not self._speaks:
            return None, ""
        asker = ""
        if not self._pressed and not self._farewells:
            self._since_release += 1
            if self._since_release == UNTIL_RESET:
                asker = self._operator
            if self._since_release >= UNTIL_SIGN_OFF and latched is False:
                self._farewells = FAREWELLS
        if self._farewells:
            self._farewells -= 1
            self._speaks = self._farewells > 0
            return EStopState(now_ns, self._source, False, ESTOP_SIGN_OFF), asker
        self._seq += 1
        return EStopState(now_ns, self._source, self._pressed, self._seq), asker
