"""Heartbeats of the emergency-stop sources: who is pressed, who fell silent, and who takes whose place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from humanoid_core.types import ESTOP_SIGN_OFF, ESTOP_TOO_MANY, EStopState
from safety_nodes.core.types import Received

MAX_SOURCES = 64
#: Processes that are told apart at all: the surplus is watched too, so that it can be named and leave.
MAX_TOLD_APART = 1024
UNREADABLE = "an unreadable message"
UNCOUNTED = "more stop sources than can be told apart: restart safety_monitor"


@dataclass
class _Process:
    """One process that beats under a source's name. Times are monotonic [ns]."""

    first_ns: int
    last_ns: int
    seq: int
    pressed: bool


class StopSources:
    """Every process that beats, by source and sender. Seen once and silent counts as pressed.

    Two processes of one name are two buttons: neither speaks for the other. A process leaves by signing off: a last
    heartbeat, released, with the number ESTOP_SIGN_OFF, while nothing is latched (or while there are too many). One
    that died has stopped the robot; then a process of its name that began after its last heartbeat takes its place,
    and may sign off after the reset. What cannot be read counts as a press, for as long as silence is waited for.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[bytes, _Process]] = {}  # by source, then by sender; no source without a process
        self._count = 0  # of processes
        self._tapped: dict[str, float] = {}  # pressed in the newest batch, however it ended
        self._unreadable_ns: int | None = None
        self._uncounted = False

    def hear(self, beats: Iterable[Received[EStopState]], timeout_ns: int, latched: bool) -> None:
        """Take the heartbeats since the last call, oldest first."""
        self._tapped = {}
        for beat in beats:
            state = beat.value
            if state is None:
                self._cannot_read(beat)
            elif state.seq == ESTOP_SIGN_OFF and not state.pressed:
                self._sign_off(state.source, beat.sender, latched)
            else:
                self._take(beat, state, timeout_ns, latched)

    def pressed(self, now_ns: int, timeout_ns: int) -> list[tuple[str, float]]:
        """(source, seconds since its last heartbeat) of every source that is pressed or silent at ``now_ns``."""
        held = {UNCOUNTED: 0.0} if self._uncounted else {}
        if self.too_many:
            held[f"{ESTOP_TOO_MANY}: {self._count}, at most {MAX_SOURCES}"] = 0.0
        if self._unreadable_ns is not None and now_ns - self._unreadable_ns <= timeout_ns:
            held[UNREADABLE] = (now_ns - self._unreadable_ns) * 1e-9
        for source, processes in self._known.items():
            silent = [now_ns - process.last_ns for process in processes.values()
                      if process.pressed or now_ns - process.last_ns > timeout_ns]
            if silent:
                held[self._label(source)] = max(silent) * 1e-9
        return list(held.items())

    def tapped(self) -> list[tuple[str, float]]:
        """As ``pressed``, of what was pressed since the last tick, also when it was let go of by now."""
        return [(self._label(source), silence) for source, silence in self._tapped.items()]

    def missing(self, required: Iterable[str]) -> list[str]:
        """Of the names of sources that must be there, those that were never heard, or have signed off."""
        return [name for name in required if name and name not in self._known]

    @property
    def too_many(self) -> bool:
        return self._count > MAX_SOURCES

    def _take(self, beat: Received[EStopState], state: EStopState, timeout_ns: int, latched: bool) -> None:
        """A release with an old sequence number is a replay and does not count; a press always does."""
        if state.pressed:
            self._tapped[state.source] = 0.0
        mine = self._known.get(state.source, {}).get(beat.sender)
        if mine is not None and not state.pressed and state.seq <= mine.seq:
            return
        first_ns = mine.first_ns if mine is not None else beat.mono_ns
        if latched:  # by the death of whoever is replaced, which is seen before anybody takes its place
            self._take_over(state.source, beat.sender, min(first_ns, beat.mono_ns - timeout_ns))
        if mine is None:
            if self._count >= MAX_TOLD_APART:
                self._uncounted = True
                return
            self._count += 1
        self._known.setdefault(state.source, {})[beat.sender] = _Process(first_ns, beat.mono_ns, state.seq,
                                                                         state.pressed)

    def _take_over(self, source: str, sender: bytes, since_ns: int) -> None:
        """Whoever else had this name, and was last heard before ``since_ns``, is gone."""
        for other, process in list(self._known.get(source, {}).items()):
            if other != sender and process.last_ns < since_ns:
                self._forget(source, other)

    def _sign_off(self, source: str, sender: bytes, latched: bool) -> None:
        mine = self._known.get(source, {}).get(sender)
        may = not (latched or self._tapped) or self.too_many
        if may and mine is not None and not mine.pressed:
            self._forget(source, sender)

    def _forget(self, source: str, sender: bytes) -> None:
        self._count -= 1
        del self._known[source][sender]
        if not self._known[source]:
            del self._known[source]

    def _cannot_read(self, beat: Received[EStopState]) -> None:
        """It may have been a press, of whatever its sender speaks for."""
        self._tapped[UNREADABLE] = 0.0
        self._unreadable_ns = beat.mono_ns
        for processes in self._known.values():
            if beat.sender in processes:
                processes[beat.sender].pressed = True

    def _label(self, source: str) -> str:
        count = len(self._known.get(source, {}))
        return source if count <= 1 else f"{source} (one of {count} processes of that name)"
