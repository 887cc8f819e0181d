"""The recorder: everything that a graph says into a recording, by priority, without ever holding the graph up.

Messages wait in memory while the disk is busy. When too many wait, or the disk runs full, pictures are left out first
and counted; joints, commands and what the safety nodes say are kept as long as there is any room at all. A disk that
is nearly full ends the recording cleanly, before a write fails in the middle of one.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from humanoid_replay.errors import BagError
from humanoid_replay.recording import Limits, Recording

#: What may be left out when there is no room.
PICTURES = frozenset({"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"})
MIB = 1 << 20


@dataclass(frozen=True)
class Room:
    """Bytes. ``waiting``: messages in memory above which pictures are left out, and four times as much above which
    nothing more is taken; ``reserve``: free disk below which pictures are left out; ``least``: below which the
    recording is finished."""

    waiting: int = 64 * MIB
    reserve: int = 512 * MIB
    least: int = 64 * MIB


@dataclass
class Account:
    """What became of the messages. ``lost``: by topic, of anything but pictures; ``why``: why recording stopped."""

    written: int = 0
    pictures_left_out: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    most_waiting: int = 0
    why: str = ""

    @property
    def complete(self) -> bool:
        return not (self.pictures_left_out or self.lost or self.why)


class Recorder:
    """A `Sink` for a watcher: ``write`` only puts into a queue, a thread of its own writes. Nobody else touches the
    files: what sqlite opened in one thread cannot be closed in another.

    ``free``: bytes that the disk has left, for tests.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str] | None = None, limits: Limits | None = None,
                 storage: str = "mcap", room: Room | None = None, free: Callable[[], int] | None = None) -> None:
        self.room, self.account = room or Room(), Account()
        self.recording = Recording(path, metadata, limits, storage)
        self._free = free or (lambda: shutil.disk_usage(path).free)
        self._queue: deque[tuple[str, str, int, bytes]] = deque()
        self._waiting = 0
        self._wake = threading.Condition()
        self._saves: deque[tuple[Path, int, Future[Path]]] = deque()
        self._busy = threading.Lock()  # held while the disk is written to
        self._tight = self._end = False
        self._looked = 0.0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def write(self, topic: str, message_type: str, stamp_ns: int, data: bytes) -> None:
        """Take a message; returns at once."""
        room, account = self.room, self.account
        with self._wake:
            if account.why or self._waiting > 4 * room.waiting:
                account.lost[topic] += 1
                return
            if message_type in PICTURES and (self._tight or self._waiting > room.waiting):
                account.pictures_left_out += 1
                return
            self._queue.append((topic, message_type, stamp_ns, data))
            self._waiting += len(data)
            account.most_waiting = max(account.most_waiting, self._waiting)

    def save(self, path: Path, since_ns: int) -> Path:
        """Keep what was recorded since then for good (humanoid_replay.recording)."""
        asked: Future[Path] = Future()
        with self._wake:
            if self._end:
                raise BagError(path, "not saved: the recording has ended")
            self._saves.append((path, since_ns, asked))
            self._wake.notify()
        return asked.result()

    def close(self, missed: Mapping[str, int] | None = None) -> None:
        """Write what waits and finish. ``missed``: messages by topic that were published and never came here; the
        recording's metadata says so."""
        if missed:
            self.recording.note("missed", json.dumps(missed, sort_keys=True))
        with self._wake:
            self._end = True
            self._wake.notify()
        self._thread.join()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the writing thread

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._end or self._saves, timeout=0.05)
                batch, self._queue = self._queue, deque()
                saves, self._saves = self._saves, deque()
                ended = self._end
            with self._busy:
                self._write_all(sorted(batch, key=lambda m: m[2]))
                if time.monotonic() - self._looked > 0.5:
                    self._looked = time.monotonic()
                    self._look_at_disk()
                for path, since_ns, asked in saves:
                    try:
                        asked.set_result(self.recording.save(path, since_ns))
                    except Exception as error:
                        asked.set_exception(error)
                if ended:
                    self._finish()
                    return

    def _finish(self) -> None:
        try:
            self.recording.close()
        except BagError as error:
            self.account.why = self.account.why or str(error)

    def _write_all(self, batch: list[tuple[str, str, int, bytes]]) -> None:
        account, done = self.account, 0
        for topic, message_type, stamp_ns, data in batch:
            if account.why:
                account.lost[topic] += 1
            else:
                try:
                    self.recording.write(topic, message_type, stamp_ns, data)
                    account.written += 1
                except BagError as error:
                    account.why = str(error)
                    account.lost[topic] += 1
            done += len(data)
            if done > MIB:
                self._release(done)
                done = 0
        self._release(done)

    def _release(self, size: int) -> None:
        with self._wake:
            self._waiting -= size

    def _look_at_disk(self) -> None:
        if self.account.why:
            return
        try:
            self.recording.flush()
            free = self._free()
        except (OSError, BagError) as error:
            self.account.why = str(error)
            return
        self._tight = free < self.room.reserve
        if free < self.room.least:
            self.account.why = f"{self.recording.path}: the disk is full ({free // MIB} MiB left); recording ended"
            self.recording.roll()
