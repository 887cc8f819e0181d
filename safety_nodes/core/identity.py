"""Who speaks on a topic that only one may speak on. Senders are told apart by the middleware's identity (GID)."""

from __future__ import annotations

from collections import OrderedDict

from humanoid_core.sender import participant


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


#: A participant that was heard this short a while ago is alive: nothing is started anew in that time, ns.
_ALIVE_NS = 500_000_000


class Succession:
    """Tells a restarted sender from an intruder: a sender heard again after another took over means two are alive. So
    does one that is heard while another participant, whose topic it is, shows on a topic of its own that it is alive
    (``present``): an owner that has nothing to say just now is not replaced by the first who does.

    The graph alone cannot tell, because a killed process stays listed until its lease ends (20 s by default).
    """

    def __init__(self, hold_ns: int) -> None:
        self._hold_ns = hold_ns
        self._present: OrderedDict[bytes, int] = OrderedDict()  # participant -> when it was heard
        self._current: bytes | None = None
        self._retired: OrderedDict[bytes, None] = OrderedDict()
        self._until_ns: int | None = None

    def present(self, sender: bytes, mono_ns: int) -> None:
        """An owner of the topic speaks elsewhere."""
        self._present[participant(sender)] = mono_ns
        while len(self._present) > 16:
            self._present.popitem(last=False)

    def hear(self, sender: bytes, mono_ns: int) -> None:
        who = participant(sender)
        if any(owner != who and mono_ns - at < _ALIVE_NS for owner, at in self._present.items()):
            self._until_ns = mono_ns + self._hold_ns
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
