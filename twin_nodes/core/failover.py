"""A source and its backup: who speaks now, and when the primary may speak again."""

from __future__ import annotations

from twin_nodes.core.source import Source


class Failover:
    """The backup takes over at once and hands back after the primary has been good for the dwell time."""

    def __init__(self, primary: Source, backup: Source | None, dwell_ns: int) -> None:
        self.primary, self.backup, self._dwell_ns = primary, backup, dwell_ns
        self.on_backup = False
        self._bad_ns = 0  # when the primary was last not fit to speak

    def clear(self) -> None:
        """Times are another clock's from now on."""
        self.on_backup, self._bad_ns = False, 0

    def move(self, step_ns: int) -> None:
        """The clock was set ahead by ``step_ns``."""
        self._bad_ns += step_ns

    @property
    def active(self) -> Source:
        return self.backup if self.on_backup and self.backup is not None else self.primary

    def choose(self, now_ns: int, moment_ns: int) -> str:
        """Update who is active for that instant; returns what to say of a change, else ''. With both unusable nobody
        moves."""
        if self.backup is None:
            return ""
        if not self.on_backup:
            # A primary that never came is missing, not failing: the robot was not started as its file says.
            if not self.primary.seen or self.primary.usable(now_ns, moment_ns) \
                    or not self.backup.usable(now_ns, moment_ns):
                return ""
            self.on_backup, self._bad_ns = True, now_ns
            return (f"BACKUP_ACTIVE: '{self.backup.topic}' stands in for '{self.primary.topic}' "
                    f"({self.primary.state(now_ns)})")
        fit = self.primary.usable(now_ns, moment_ns)
        if not fit:
            self._bad_ns = now_ns
        good = min(self.primary.good_for_ns(now_ns), now_ns - self._bad_ns)
        alone = fit and not self.backup.usable(now_ns, moment_ns)
        if good < self._dwell_ns and not alone:
            return ""
        self.on_backup = False
        return f"'{self.primary.topic}' is good again and speaks for itself"
