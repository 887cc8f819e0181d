"""The event log on the disk: append-only JSON lines, each holding the one before it (core/chain.py).

One file for each start of a node; the chain goes on from file to file, so that a file that is taken away shows. A
line is with the operating system as soon as `append` returns, which `kill -9` cannot undo; after LATCH and RESET it is
also forced to the disk. `EventWriter` does both in a thread of its own: a slow disk must not hold up the loop that
keeps the robot safe. An event is published after it was written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from humanoid_core.types import SafetyEvent
from safety_nodes.core import chain
from safety_nodes.core.events import SYNCED

if TYPE_CHECKING:
    from humanoid_ros.node import HumanoidNode

ENVIRONMENT = "HUMANOID_TWIN_LOG"
#: Processes of the same name that log into one folder at the same time, each a chain of its own.
_SIBLINGS = 64
_WAITING = 4096  # events that may wait for a slow disk
_RETRY = 1.0  # s between two attempts to force lines to the disk
_FILE = re.compile(r"(?P<chain>.+)-(?P<number>\d{6})_\d{8}T\d{6}\.jsonl")


def log_folder(parameter: str = "") -> Path:
    """Where logs go: the parameter, else $HUMANOID_TWIN_LOG, else ~/.humanoid_twin/log."""
    return Path(parameter or os.environ.get(ENVIRONMENT, "") or "~/.humanoid_twin/log").expanduser()


def chains(folder: Path) -> dict[str, list[Path]]:
    """Name of each chain in a folder -> its files, oldest first."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        name = _FILE.fullmatch(path.name)
        if name is not None:
            found.setdefault(name["chain"], []).append(path)
    return found


class EventLog:
    """One process's log. Raises OSError while the folder cannot be written; nothing is lost uncounted.

    Not for two threads at once.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock, self.name = _claim(folder, name)
        self.lost = 0  # events that could not be written since the last line that could
        self._seq, self._prev = 0, chain.GENESIS
        self._torn: dict[str, object] | None = None
        files = chains(folder).get(self.name, [])
        name_of_last = _FILE.fullmatch(files[-1].name) if files else None
        number = int(name_of_last["number"]) + 1 if name_of_last is not None else 0
        if files:
            self._go_on(files[-1])
        self.path = folder / f"{self.name}-{number:06d}_{_utc():%Y%m%dT%H%M%S}.jsonl"
        self._fd = self._create(files[-1].name if files else "")

    def append(self, event: SafetyEvent) -> SafetyEvent:
        """Write one line; returns the event with its number. After an OSError the event counts as lost."""
        seq = self._seq
        line, digest = chain.render(self._body(event))
        try:
            self._write(line)
        except OSError:
            self.lost += 1
            raise
        self._took(digest)
        return replace(event, seq=seq)

    def sync(self) -> None:
        """Force what was written to the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.fsync(self._fd)
        os.close(self._fd)
        os.close(self._lock)

    def _body(self, event: SafetyEvent) -> dict[str, object]:
        body: dict[str, object] = {
            "seq": self._seq, "utc": _utc().isoformat(timespec="milliseconds"), "stamp_ns": event.stamp_ns,
            "source": event.source, "kind": event.kind, "level": event.level.name, "code": event.code,
            "subject": event.subject, "text": event.text}
        if self.lost:
            body["lost"] = self.lost
        return body | {"prev": self._prev}

    def _took(self, digest: str) -> None:
        self._seq, self._prev, self.lost = self._seq + 1, digest, 0

    def _write(self, line: bytes) -> None:
        """All of it or nothing: a full disk may take half a line."""
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise OSError(28, f"the disk took {written} of {len(line)} bytes", str(self.path))

    def _go_on(self, last: Path) -> None:
        """From the newest whole line; a torn one behind it stays where it is, and is spoken of."""
        lines, rest = chain.split(last.read_bytes())
        for damaged, line in enumerate(reversed(lines)):
            body, digest, _ = chain.read(line)
            if body is not None:
                # A damaged line behind it is counted, and stays for `verify` to find; the log goes on.
                self._seq, self._prev = body["seq"] + 1 + damaged, chain.GENESIS if damaged else digest
                break
        if rest:
            self._torn = chain.fragment(rest)

    def _create(self, before: str) -> int:
        """A file appears under its name with its first line in it, so none is ever without."""
        first = {"seq": self._seq, "utc": _utc().isoformat(timespec="milliseconds"), "source": self.name,
                 "kind": "START", "level": "", "code": "", "subject": "",
                 "text": f"process {os.getpid()}" + (f", after {before}" if before else "")}
        if self._torn:
            first["torn"] = self._torn
        line, digest = chain.render(first | {"prev": self._prev})
        new = self.path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            if os.write(fd, line) != len(line):
                raise OSError(28, "the disk is full", str(new))
            os.fsync(fd)
            new.rename(self.path)
        except OSError:
            os.close(fd)
            raise
        self._took(digest)
        return fd


def _claim(folder: Path, name: str) -> tuple[int, str]:
    """An open lock file and the chain's name: a second process of the same name gets a chain of its own."""
    for i in range(1, _SIBLINGS + 1):
        mine = name if i == 1 else f"{name}.{i}"
        fd = os.open(folder / f"{mine}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            continue
        return fd, mine
    raise OSError(11, f"{_SIBLINGS} processes named {name} log here already", str(folder))


def _utc() -> datetime:
    return datetime.now(timezone.utc)


class EventWriter:
    """The log's thread. `put` never waits for the disk; `problem` says why something is not written, or not forced to
    the disk, '' when all is well. ``lost``: events that were not written; the chain is told with its next line."""

    def __init__(self, folder: Path, name: str, written: Callable[[SafetyEvent], None]) -> None:
        """``written(event)`` is called in the writer's thread, for each event with its number."""
        self._folder, self._name, self._written = folder, name, written
        self._queue: queue.SimpleQueue[SafetyEvent | None] = queue.SimpleQueue()
        self._log: EventLog | None = None
        self.problem = ""
        self.count = self.lost = 0
        self._untold = 0  # of those that were lost: the chain does not know yet
        self._unsynced = False  # a line is written that must be on the disk, and is not yet
        self._losing = threading.Lock()
        self._open()
        self._thread = threading.Thread(target=self._run, name=f"{name}-events", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, node: HumanoidNode, log_dir: str) -> EventWriter:
        """A node's log; what is written goes out on `safety/events`."""
        name = node.get_fully_qualified_name().strip("/").replace("/", ".")
        return cls(log_folder(log_dir), name, lambda event: node.send("safety/events", event))

    def report(self) -> dict[str, object]:
        """For the node's diagnostics."""
        where = self._log.path if self._log is not None else self._folder
        return {"event log": self.problem or str(where), "events": self.count, "events lost": self.lost}

    def put(self, events: Iterable[SafetyEvent]) -> None:
        """Hand over events; what does not fit any more is counted."""
        for event in events:
            if self._queue.qsize() >= _WAITING:
                self._lose()
                self.problem = "the disk is too slow"
            else:
                self._queue.put(event)

    def close(self) -> None:
        """Write what waits, 1 s at most, and end."""
        self._queue.put(None)
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while True:
            try:
                event = self._queue.get(timeout=_RETRY if self._unsynced else None)
            except queue.Empty:
                self._sync()
                continue
            if event is None:
                break
            self._take(event)
        if self._log is not None:
            self._log.close()

    def _take(self, event: SafetyEvent) -> None:
        """Write one event. It is published in any case: who listens shall not go without because a disk is full."""
        if self._log is None:
            self._open()
        if self._log is None:
            self._lose()
        else:
            event = self._append(self._log, event)
        self._written(event)

    def _append(self, log: EventLog, event: SafetyEvent) -> SafetyEvent:
        with self._losing:
            log.lost, self._untold = log.lost + self._untold, 0
        try:
            event = log.append(event)
        except OSError as error:
            with self._losing:
                self.lost += 1  # and so did the log
            self.problem = _why(error, self._folder)
            return event
        self.count += 1
        self._unsynced = self._unsynced or event.kind in SYNCED
        if self._unsynced:
            self._sync()
        else:
            self.problem = ""
        return event

    def _sync(self) -> None:
        """Force what must be on the disk there. What fails is said, and tried again until it succeeds."""
        try:
            if self._log is not None:
                self._log.sync()
        except OSError as error:
            self.problem = _why(error, self._folder, "written, but not forced to the disk: ")
        else:
            self.problem, self._unsynced = "", False

    def _lose(self) -> None:
        """From any thread."""
        with self._losing:
            self.lost += 1
            self._untold += 1

    def _open(self) -> None:
        try:
            self._log, self.problem = EventLog(self._folder, self._name), ""
        except (OSError, ValueError) as error:
            self.problem = _why(error, self._folder)


def _why(error: Exception, folder: Path, state: str = "") -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return f"event log in {folder}: {state}{text}; free or name another folder with log_dir or ${ENVIRONMENT}"
