"""The last moments as (event, state after it), so that an event that comes late takes its place and the rest follows.

States are never changed in place, so keeping them costs a reference each, and a replay gives the very bytes that the
events would have given in order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Stamped(Protocol):
    @property
    def stamp_ns(self) -> int: ...


Event = TypeVar("Event", bound=Stamped)
State = TypeVar("State")


class Ring(Generic[Event, State]):
    """``step(before, event)``: the state after an event; ``before`` is None for the first one."""

    def __init__(self, step: Callable[[State | None, Event], State], horizon_ns: int) -> None:
        self._step, self._horizon_ns = step, horizon_ns
        self.clear()

    def clear(self) -> None:
        self._stamps: list[int] = []
        self._events: list[Event] = []
        self._states: list[State] = []

    def __len__(self) -> int:
        return len(self._stamps)

    @property
    def newest(self) -> State | None:
        return self._states[-1] if self._states else None

    @property
    def newest_event(self) -> Event | None:
        return self._events[-1] if self._events else None

    def add(self, event: Event) -> str:
        """Take an event wherever it belongs; the reason code when it has no place: DUPLICATE or TOO_LATE."""
        at = bisect_left(self._stamps, event.stamp_ns)
        if at < len(self._stamps):
            if self._stamps[at] == event.stamp_ns:
                return "DUPLICATE"
            # Nothing is known of the time before the oldest one kept.
            if at == 0 or event.stamp_ns < self._stamps[-1] - self._horizon_ns:
                return "TOO_LATE"
        self._stamps.insert(at, event.stamp_ns)
        self._events.insert(at, event)
        self._states = self._states[:at]
        self._again(at)
        self._trim()
        return ""

    def again(self, stamp_ns: int) -> None:
        """What lies behind ``stamp_ns`` is worked out anew: an input that acts from then on came late."""
        at = max(bisect_right(self._stamps, stamp_ns), 1)
        if at < len(self._stamps):
            self._states = self._states[:at]
            self._again(at)

    def _again(self, at: int) -> None:
        for k in range(at, len(self._events)):
            self._states.append(self._step(self._states[k - 1] if k else None, self._events[k]))

    def _trim(self) -> None:
        """One state from before the horizon stays: what comes latest starts from there."""
        keep = bisect_left(self._stamps, self._stamps[-1] - self._horizon_ns) - 1
        if keep > 0:
            del self._stamps[:keep], self._events[:keep], self._states[:keep]
