"""The life of one anomaly: listening -> ensuring -> gathering -> calibrating -> cooling -> listening.

ensuring     something was noticed; does it last?
gathering    it does: evidence is collected, until a cause can be named
calibrating  the cause is named and its size is followed; a person may have the model corrected for it, nobody else does
cooling      it is over; nothing is learned yet
"""

from __future__ import annotations

from dataclasses import dataclass

from humanoid_core.timing import NS

LISTENING, ENSURING, GATHERING, CALIBRATING, COOLING = STATES = (
    "listening", "ensuring", "gathering", "calibrating", "cooling")


@dataclass(frozen=True)
class Pace:
    """Times in s: how long something must last, how long evidence is collected, how long it must be over."""

    ensure: float = 0.1
    gather: float = 0.2
    cool: float = 1.0


@dataclass
class Anomaly:
    """One subject that is watched. ``reason``: what is said of it once the cause is known; ``confirmed``: it was named
    since it was noticed last."""

    subject: str
    pace: Pace
    state: str = LISTENING
    kind: str = ""
    reason: str = ""
    since_ns: int = 0
    seen_ns: int = 0
    confirmed: bool = False

    @property
    def open(self) -> bool:
        return self.state != LISTENING

    @property
    def named(self) -> bool:
        return self.state == CALIBRATING

    def step(self, now_ns: int, noticed: bool, over: bool) -> bool:
        """``noticed``: the alarm is up; ``over``: a named cause shows no more. Returns whether to name it."""
        if noticed:
            self.seen_ns = now_ns
        passed = (now_ns - self.since_ns) / NS
        if self.state == LISTENING and noticed:
            self._enter(ENSURING, now_ns)
        elif self.state in (ENSURING, GATHERING) and (now_ns - self.seen_ns) / NS > self.pace.ensure:
            self._enter(COOLING, now_ns)
        elif self.state == ENSURING and passed >= self.pace.ensure:
            self._enter(GATHERING, now_ns)
        elif self.state == GATHERING and passed >= self.pace.gather:
            self._enter(CALIBRATING, now_ns)
            return True
        elif self.state == CALIBRATING and over:
            self._enter(COOLING, now_ns)
        elif self.state == COOLING and noticed:
            self._enter(ENSURING, now_ns)
        elif self.state == COOLING and passed >= self.pace.cool:
            self._enter(LISTENING, now_ns)
        return False

    def close(self, now_ns: int) -> None:
        """The model was corrected for it."""
        self._enter(COOLING, now_ns)

    def _enter(self, state: str, now_ns: int) -> None:
        self.state, self.since_ns = state, now_ns
        self.confirmed = state == CALIBRATING or (self.confirmed and state != ENSURING)
        if state in (LISTENING, COOLING):
            self.kind = self.reason = ""


def overall(anomalies: list[Anomaly]) -> str:
    """The state of the one that is furthest, cooling last."""
    order = (CALIBRATING, GATHERING, ENSURING, COOLING, LISTENING)
    return min((a.state for a in anomalies), key=order.index, default=LISTENING)
