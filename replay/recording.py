"""A recording that grows: parts by size and time, a ring of the last minutes, and a copy of them when it matters.

While a part grows it is a folder of its own inside the recording; what is finished stands beside it as a file that
metadata.yaml names. So at every moment, also after `kill -9`, the recording is a valid rosbag2 folder of the finished
parts, and `humanoid_replay.salvage` reads the unfinished one up to its last flush.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from humanoid_core.timing import NS
from humanoid_replay.errors import BagError
from humanoid_replay.writer import BagWriter

#: Folder of the part that grows.
GROWING = "part_{:04d}.growing"
METADATA = "metadata.yaml"
KEY = "rosbag2_bagfile_information"
#: Parts come and go while messages wait, so YAML is left to libyaml where PyYAML was built with it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
#: How hard zstd tries, 1 to 22: beside a robot its time costs more than a tenth of the room.
LEVEL = 1
#: A part of a ring is this share of it, so that at most so much too much is kept.
RING_SHARE = 6


@dataclass(frozen=True)
class Limits:
    """When a new part begins (0: never by this) and what is kept: only the last ``ring`` s (0: everything).
    ``flush`` s: what a kill may cost."""

    split_seconds: float = 0.0
    split_bytes: int = 0
    ring: float = 0.0
    flush: float = 0.5

    @property
    def part_seconds(self) -> float:
        ring = self.ring / RING_SHARE
        return min((s for s in (self.split_seconds, ring) if s > 0.0), default=0.0)


@dataclass(frozen=True)
class Part:
    """A finished file and what its metadata says of it."""

    path: Path
    begin_ns: int
    end_ns: int
    metadata: dict[str, Any]


class Recording:
    """A new rosbag2 folder. Not for two threads at once. The times of a `Recorder`'s messages are those at which they
    were published."""

    def __init__(self, path: str | Path, metadata: Mapping[str, str] | None = None, limits: Limits | None = None,
                 storage: str = "mcap") -> None:
        self.path, self.limits = Path(path), limits or Limits()
        self.counts: dict[str, int] = {}
        self._custom, self._storage = dict(metadata or {}), storage
        self._parts: list[Part] = []
        self._number = 0
        self._writer: BagWriter | None = None
        self._begin_ns = self._last_ns = self._flushed_ns = 0
        if self.path.exists():
            raise BagError(self.path, "exists already; choose another folder or remove it")
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise BagError(self.path, f"cannot be written: {error.strerror}") from None

    def write(self, topic: str, message_type: str, stamp_ns: int, data: bytes | memoryview) -> None:
        """One message as CDR bytes; ``stamp_ns``: its arrival."""
        if self._writer is None:
            self._begin(stamp_ns)
        assert self._writer is not None
        self._writer.write(topic, message_type, stamp_ns, data)
        self._last_ns = max(self._last_ns, stamp_ns)
        self.counts[topic] = self.counts.get(topic, 0) + 1
        if self._last_ns - self._flushed_ns >= self.limits.flush * NS:
            self._flushed_ns = self._last_ns
            self.flush()
            if self._full():
                self.roll()

    def flush(self) -> None:
        """Hand what was written to the operating system: it survives the end of this process."""
        if self._writer is not None:
            self._writer.flush()

    def note(self, key: str, value: str) -> None:
        """One more row of metadata, of the part that grows and of the whole."""
        self._custom[key] = value
        if self._writer is not None:
            self._writer.note(key, value)

    def roll(self) -> None:
        """Finish the part that grows; the next message begins another."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.close()
        self._adopt(writer.path)
        if self.limits.ring > 0.0:
            self._forget(self._last_ns - round(self.limits.ring * NS))
        self._write_metadata(self.path, self._parts)

    def save(self, path: Path, since_ns: int = 0) -> Path:
        """Keep the finished parts that end after ``since_ns`` as a recording of their own, for good (hard links where
        the file system has them). What grows is finished first."""
        self.roll()
        kept = [p for p in self._parts if p.end_ns >= since_ns]
        if not kept:
            raise BagError(path, "nothing was recorded yet")
        try:
            path.mkdir(parents=True)
            linked = [Part(_link(p.path, path), p.begin_ns, p.end_ns, p.metadata) for p in kept]
        except OSError as error:
            raise BagError(path, f"cannot be written: {error.strerror}") from None
        self._write_metadata(path, linked)
        return path

    def close(self) -> None:
        """Finish; may be called twice."""
        self.roll()
        if not self._parts and self.path.exists() and not (self.path / METADATA).exists():
            self._begin(0)  # a recording without a message is a recording as well
            self.roll()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    # --- parts

    def _begin(self, stamp_ns: int) -> None:
        folder = self.path / GROWING.format(self._number)
        self._writer = BagWriter(folder, self._custom, level=LEVEL, storage=self._storage).open()
        self._begin_ns = self._last_ns = self._flushed_ns = stamp_ns

    def _full(self) -> bool:
        limits, writer = self.limits, self._writer
        long = 0.0 < limits.part_seconds * NS <= self._last_ns - self._begin_ns
        return long or (writer is not None and 0 < limits.split_bytes <= writer.size)

    def _adopt(self, folder: Path) -> None:
        """The finished file moves up; its folder goes."""
        metadata = yaml.load((folder / METADATA).read_text(encoding="utf-8"), Loader=LOADER)[KEY]
        file = folder / metadata["relative_file_paths"][0]
        target = self.path / f"{self.path.name}_{self._number}{file.suffix}"
        os.replace(file, target)
        shutil.rmtree(folder)
        self._number += 1
        begin = int(metadata["starting_time"]["nanoseconds_since_epoch"])
        self._parts.append(Part(target, begin, begin + int(metadata["duration"]["nanoseconds"]), metadata))

    def _forget(self, before_ns: int) -> None:
        """Let go of parts that end before a time; metadata.yaml first, so that it never names a file that is gone."""
        gone = [p for p in self._parts if p.end_ns < before_ns]
        self._parts = [p for p in self._parts if p.end_ns >= before_ns]
        if gone:
            self._write_metadata(self.path, self._parts)
        for part in gone:
            part.path.unlink(missing_ok=True)

    def _write_metadata(self, folder: Path, parts: list[Part]) -> None:
        """metadata.yaml of all ``parts``, replaced as a whole."""
        if not parts:
            return
        begin = min(p.begin_ns for p in parts)
        topics: dict[str, dict[str, Any]] = {}
        for part in parts:
            for row in part.metadata["topics_with_message_count"]:
                known = topics.setdefault(row["topic_metadata"]["name"], {**row, "message_count": 0})
                known["message_count"] += row["message_count"]
        files = [{"path": p.path.name, "starting_time": {"nanoseconds_since_epoch": p.begin_ns},
                  "duration": {"nanoseconds": p.end_ns - p.begin_ns}, "message_count": p.metadata["message_count"]}
                 for p in parts]
        whole = {**parts[0].metadata, "relative_file_paths": [p.path.name for p in parts], "files": files,
                 "duration": {"nanoseconds": max(p.end_ns for p in parts) - begin},
                 "starting_time": {"nanoseconds_since_epoch": begin},
                 "message_count": sum(p.metadata["message_count"] for p in parts),
                 "custom_data": self._custom or None, "topics_with_message_count": list(topics.values())}
        fresh = folder / f"{METADATA}.new"
        fresh.write_text(yaml.dump({KEY: whole}, Dumper=DUMPER, sort_keys=False), encoding="utf-8")
        os.replace(fresh, folder / METADATA)


def _link(file: Path, folder: Path) -> Path:
    target = folder / file.name
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)
    return target
