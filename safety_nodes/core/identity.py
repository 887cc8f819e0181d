"""Who speaks on a topic that only one may speak on. Senders are told apart by the middleware's identity (GID)."""

from __future__ import annotations

from collections import OrderedDict


class SoleSender:
    """Binds a topic to the first sender; another is foreign until the bound one was silent for `silence_ns`.

    A process that died and came back has a new identity: it is taken over after the silence.
    """

    def __init__(self, silence_ns: int) -> None:
        self._silence_ns = silence_ns
        self._bound: bytes | None = None
        self._heard_ns = 0

    def accept(self, sender: bytes, mono_ns: int) -> tuple[bool, bool]:
        """(may be used, is new): new is True when the topic was just bound to this sender."""
        new = False
        if sender != self._bound:
            if self._bound is not None and mono_ns - self._heard_ns <= self._silence_ns:
                return False, False
            self._bound, new = sender, True
        self._heard_ns = mono_ns
        return True, new


class Succession:
    """Tells a restarted sender from an intruder: a sender heard again after another took over means two are alive.

    The graph alone cannot tell, because a killed process stays listed until its lease ends (20 s by default).
    """

    def __init__(self, hold_ns: int) -> None:
        self._hold_ns = hold_ns
        self._current: bytes | None = None
        self._retired: OrderedDict[bytes, None] = OrderedDict()
        self._until_ns: int | None = None

    def hear(self, sender: bytes, mono_ns: int) -> None:
        if sender == self._current:
            return
        if sender in self._retired:
            self._until_ns = mono_ns + self._hold_ns
        if self._current is not None:
            self._retired[self._current] = None
            while len(self._retired) > 16:
                self._retired.popitem(last=False)
        self._current = sender

    def disputed(self, now_ns: int) -> bool:
        """Two senders were alive within the last `hold_ns`."""
        return self._until_ns is not None and now_ns <= self._until_ns
