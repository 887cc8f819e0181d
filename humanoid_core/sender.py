"""Whom a robot obeys: the one participant that speaks as the gate, on robot/joint_command and on robot/mode.

The middleware gives each publisher an identity (GID) whose beginning names its participant, the process that it lives
in: so the sender of a mode can be held against the sender of the commands.

- Believed is whoever commands. Another is refused until the believed one was silent for ``SILENCE_NS``: a gate that
  was started anew is obeyed again.
- A mode counts from who is believed alone. Before anybody commands there is nothing to stop, and no mode counts; what
  was asked meanwhile counts as soon as its sender is believed.
- The gate speaks on both topics. Who speaks on one of them alone gives way to it at once, even if it came first.
- Two that both speak on both: nobody can tell which is the gate, and the robot holds until one of them is silent. So a
  stranger that came first cannot keep the gate from stopping the robot, nor one that comes later lower it or take its
  torque.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from humanoid_core.timing import NS
from humanoid_core.types import Mode, RobotMode

#: After so much silence another may take over (the gate was restarted by a person).
SILENCE_NS = NS
#: Senders that are remembered; of more the one that was heard first is forgotten.
MOST = 16
#: Bytes of a GID that name the participant: the guidPrefix of RTPS. The rest names the publisher in it.
_PREFIX = 12


def participant(sender: bytes) -> bytes:
    """Who a publisher belongs to; publishers of one process have the same."""
    return sender[:_PREFIX]


@dataclass
class _Heard:
    """When a participant spoke last on each topic, monotonic ns, and what it asked for."""

    command_ns: int | None = None
    mode_ns: int | None = None
    order: RobotMode | None = None

    def commands(self, now_ns: int) -> bool:
        return self.command_ns is not None and now_ns - self.command_ns < SILENCE_NS

    def whole(self, now_ns: int) -> bool:
        """Speaks as a gate does, on both topics."""
        return self.commands(now_ns) and self.mode_ns is not None and now_ns - self.mode_ns < SILENCE_NS


class OneGate:
    """Give it every message of both topics, commands first; ``order`` is what the robot shall do."""

    def __init__(self) -> None:
        self._heard: OrderedDict[bytes, _Heard] = OrderedDict()
        self._who: bytes | None = None

    def command(self, sender: bytes, arrival_ns: int) -> str:
        """Reason code why a command does not count, '' when it does."""
        who = participant(sender)
        self._of(who).command_ns = arrival_ns
        self._believe(who, arrival_ns)
        return "" if who == self._who and not self.disputed(arrival_ns) else "PUBLISHER"

    def mode(self, sender: bytes, arrival_ns: int, order: RobotMode) -> str:
        """The same for a mode. NO_COMMAND: it counts once its sender commands."""
        who = participant(sender)
        heard = self._of(who)
        heard.mode_ns, heard.order = arrival_ns, order
        if heard.command_ns is not None:
            self._believe(who, arrival_ns)
        if who == self._who:
            return "PUBLISHER" if self.disputed(arrival_ns) else ""
        believed = None if self._who is None else self._heard.get(self._who)
        return "PUBLISHER" if believed is not None and believed.commands(arrival_ns) else "NO_COMMAND"

    def order(self, now_ns: int) -> tuple[RobotMode, int] | None:
        """(what is asked of the robot, when it was said), None: nothing yet."""
        if self.disputed(now_ns):
            return RobotMode(0, Mode.HOLD, "PUBLISHER", 0), now_ns
        heard = None if self._who is None else self._heard.get(self._who)
        if heard is None or heard.order is None or heard.mode_ns is None:
            return None
        return heard.order, heard.mode_ns

    def disputed(self, now_ns: int) -> bool:
        """Two speak as a gate does."""
        return len(self._heard) > 1 and sum(heard.whole(now_ns) for heard in self._heard.values()) > 1

    def _believe(self, who: bytes, now_ns: int) -> None:
        """Whether ``who``, which has just spoken, takes over."""
        if who == self._who:
            return
        heard, old = self._heard[who], None if self._who is None else self._heard.get(self._who)
        if not heard.commands(now_ns):
            return
        if old is None or not old.commands(now_ns) or (heard.whole(now_ns) and not old.whole(now_ns)):
            self._who = who

    def _of(self, who: bytes) -> _Heard:
        heard = self._heard.setdefault(who, _Heard())
        while len(self._heard) > MOST:
            self._heard.pop(next(w for w in self._heard if w not in (who, self._who)))
        return heard
