"""What the gate heard from the policy: the newest good command, and which motions may go on.

A motion is an epoch. What interrupts one burns it: its commands are refused from then on, and the policy starts again
from the measured pose under a new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from humanoid_core.reasons import Refusals
from humanoid_core.timing import NS, SteadyStamps
from humanoid_core.types import JointCommand
from safety_nodes.core.command_check import SOFT, Accepted, CommandCheck
from safety_nodes.core.config import GateConfig
from safety_nodes.core.identity import SoleSender
from safety_nodes.core.types import Received

_REMEMBER = NS // 5  # how long a refusal stands as the reason for holding


class CommandIntake:
    """Heeds one sender. ``last`` is the command to follow, ``epoch`` the motion it belongs to."""

    def __init__(self, check: CommandCheck, config: GateConfig, refused: Refusals) -> None:
        self._check, self._config, self._refused = check, config, refused
        self._sender = SoleSender(int(config.sender_silence * NS))
        self.last: Accepted | None = None
        self.epoch: int | None = None
        self._seen: int | None = None  # sequence number of the last good command of this epoch
        self._burned: deque[int] = deque(maxlen=256)
        self._refusal = ("", 0)
        self._took_ns: int | None = None
        self._share = 1.0  # of the command speed, by which commands are judged

    def take(self, commands: Sequence[Received[JointCommand]], block: str, scale: float, accept_new: bool,
             mono_ns: int, stamps: SteadyStamps) -> str:
        """Judge every command; the newest good one is followed. Returns the last refusal that stops motion.

        ``scale`` is the permit's: commands are judged by it too, but a policy is given `scale_grace` s to slow down.
        """
        since, self._took_ns = mono_ns - (self._took_ns or mono_ns), mono_ns
        self._share = max(scale, self._share - since / (self._config.scale_grace * NS))
        hard = ""
        for received in commands:
            code = self._judge(received, block, accept_new, stamps)
            if not code:
                continue
            self._refusal = (code, mono_ns)
            if code not in SOFT:
                hard = code
                self.interrupt()
        return hard

    def idle(self, mono_ns: int) -> str:
        """Reason code when no command is fresh enough to follow, else ''."""
        last, limit = self.last, self._config.command_max_age * NS
        if last is None or mono_ns - last.mono_ns > limit or mono_ns - last.made_ns > limit:
            self.last = None
            code, at_ns = self._refusal
            return code if code and mono_ns - at_ns <= _REMEMBER else "NO_COMMAND"
        return ""

    def interrupt(self) -> None:
        """The running motion may not go on by itself."""
        self._burn(self.epoch)
        self.epoch, self.last = None, None

    def _judge(self, received: Received[JointCommand], block: str, accept_new: bool, stamps: SteadyStamps) -> str:
        """Keep a good command as the last one and return '', or the reason code of its refusal."""
        refuse, c = self._refused.refuse, received.value
        fine, new_sender = self._sender.accept(received.sender, received.mono_ns)
        if not fine:
            return refuse("PUBLISHER", "vla/joint_command")
        if c is None:
            return refuse("OUT_OF_RANGE", "vla/joint_command")
        if new_sender:
            self._burned.clear()
            self.epoch, self.last = None, None
        fit = self._check.fit(c, stamps, received.mono_ns, self._share)
        if isinstance(fit, str):
            self._burn(c.epoch if fit not in SOFT else None)
            return refuse(fit, c.source)
        if c.epoch in self._burned:
            return refuse("OLD_EPOCH", c.source)
        if block:
            self._burn(c.epoch)
            return refuse(block if block in ("NO_STATE", "OVERRIDE") else "NO_PERMIT", c.source)
        return self._follows(fit, c, accept_new)

    def _follows(self, fit: Accepted, c: JointCommand, accept_new: bool) -> str:
        """A command that is good in itself, against the ones before it."""
        if c.epoch != self.epoch:
            if not accept_new:
                self._burn(c.epoch)
                return self._refused.refuse("NO_PERMIT", "no new motion at this level")
            self._burn(self.epoch)
            self.epoch, self.last, self._seen = c.epoch, None, None
        if self._seen is not None and c.seq <= self._seen:
            return self._refused.refuse("OLD_SEQUENCE", c.source)
        if self.last is not None:
            code = self._check.follows(fit, self.last, self._share)
            if code:
                return self._refused.refuse(code, c.source)
        self.last, self._seen = fit, c.seq
        return ""

    def _burn(self, epoch: int | None) -> None:
        if epoch is not None and epoch not in self._burned:
            self._burned.append(epoch)
