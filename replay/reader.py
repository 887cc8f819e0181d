"""Reads recordings: rosbag2 folders or single files (mcap, sqlite3) and ROS 1 bags, also those that end in the middle.

A recording whose recorder was killed is read as far as it goes, and ``remarks`` says what is missing. Whatever else is
wrong with a file ends in a BagError of one line; nothing else leaves this module.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.highlevel import AnyReader

from humanoid_core.timing import NS
from humanoid_replay.errors import BagError
from humanoid_replay.salvage import salvage
from humanoid_ros.cdr import decode
from humanoid_ros.definitions import typestore

__all__ = ["BagError", "BagReader", "BagTopic", "Record"]

STORAGE = (".mcap", ".db3", ".bag")
MCAP_MAGIC = b"\x89MCAP0\r\n"
MAGIC = {MCAP_MAGIC: ".mcap", b"SQLite format 3\0": ".db3", b"#ROSBAG V2.0": ".bag"}


@dataclass(frozen=True)
class Record:
    """One recorded message. ``stamp_ns``: when it arrived at the recorder. ``message``: attributes as in ROS,
    arrays are numpy's."""

    topic: str
    type: str
    stamp_ns: int
    message: Any


@dataclass(frozen=True)
class BagTopic:
    """One topic of a recording; ``type`` as package/msg/Type."""

    name: str
    type: str
    count: int


class BagReader:
    """Context manager. ``path``: a rosbag2 folder, its metadata.yaml, or one .mcap, .db3 or .bag file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader: Any = None
        self._lost: list[str] = []
        self._undecoded: Counter[str] = Counter()
        self._rescued: Path | None = None
        self._store: Any = None
        with _one_line(self.path):
            where = locate(self.path)
            broken = unfinished(where)
            if broken and broken[0].suffix == ".db3":
                self._reader = AnyReader(broken, default_typestore=typestore())
                self._lost = ["ends in the middle (was the recorder killed?): what it had committed is read"]
            elif broken:
                self._reader = self._rescue(broken)
            else:
                self._reader = AnyReader([where], default_typestore=typestore())

    def __enter__(self) -> BagReader:
        try:
            with _one_line(self.path):
                self._reader.open()
            self._store = self._reader.typestore  # it forgets them when it is closed
        except BagError:
            self._clean()
            raise
        return self

    def _rescue(self, files: list[Path]) -> Any:
        """A reader of what can be read of ``files``, copied into a folder that goes when this is closed."""
        self._rescued = Path(tempfile.mkdtemp(prefix="humanoid_twin_"))
        try:
            found = salvage(files, self._rescued / "bag")
            self._lost = [f"ends in the middle (was the recorder killed?): {found.messages} messages were read",
                          *found.lost]
            return AnyReader([self._rescued / "bag"], default_typestore=typestore())
        except Exception:
            self._clean()
            raise

    def _clean(self) -> None:
        if self._rescued is not None:
            shutil.rmtree(self._rescued, ignore_errors=True)
            self._rescued = None

    @property
    def remarks(self) -> list[str]:
        """What could not be read, as lines for a person."""
        return self._lost + [f"{topic}: {n} messages are damaged and were left out"
                             for topic, n in sorted(self._undecoded.items())]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with suppress(Exception):
            self._reader.close()
        self._clean()

    @property
    def topics(self) -> tuple[BagTopic, ...]:
        """Sorted by name; a topic recorded with two types stands here twice."""
        counts: dict[tuple[str, str], int] = {}
        for c in self._reader.connections:
            counts[c.topic, c.msgtype] = counts.get((c.topic, c.msgtype), 0) + int(c.msgcount)
        return tuple(BagTopic(name, kind, n) for (name, kind), n in sorted(counts.items()))

    @property
    def start_ns(self) -> int:
        return int(self._reader.start_time) if self._reader.message_count else 0

    @property
    def duration_s(self) -> float:
        return float(self._reader.duration) / NS if self._reader.message_count else 0.0

    @property
    def metadata(self) -> dict[str, str]:
        """What the recorder wrote beside the messages (rosbag2's custom_data)."""
        found: dict[str, str] = {}
        for reader in getattr(self._reader, "readers", ()):
            custom = getattr(getattr(getattr(reader, "storage", None), "metadata", None), "custom", None)
            found.update({str(k): str(v) for k, v in (custom or {}).items()})
        return found

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Record]:
        """In order of arrival; only ``topics`` when given, the others are not even decoded. A message that cannot be
        decoded is left out and counted in ``remarks``."""
        for connection, stamp_ns, data in self._raw(topics):
            try:
                message = self.decode(data, connection.msgtype)
            except Exception:
                self._undecoded[connection.topic] += 1
                continue
            yield Record(connection.topic, connection.msgtype, int(stamp_ns), message)

    def raw(self, topics: Collection[str] | None = None) -> Iterator[tuple[str, str, int, bytes]]:
        """(topic, type, arrival ns, serialized message) in order of arrival."""
        for connection, stamp_ns, data in self._raw(topics):
            yield connection.topic, connection.msgtype, int(stamp_ns), bytes(data)

    def decode(self, data: bytes, kind: str) -> Any:
        """By the definitions that the recording holds, where it does: those of this suite may have changed since. Works
        after the end of the context too."""
        return decode(data, kind, self._store) if self._reader.is2 else self._reader.deserialize(data, kind)

    def _raw(self, topics: Collection[str] | None) -> Iterator[tuple[Any, int, bytes]]:
        wanted = [c for c in self._reader.connections if topics is None or c.topic in topics]
        if not wanted:
            return
        with _one_line(self.path):  # what goes wrong where these are used does not come by here
            yield from self._reader.messages(connections=wanted)


def locate(path: Path) -> Path:
    """What rosbags can open for ``path``, or could if it were whole; BagError when there is nothing of the kind."""
    if not path.exists():
        raise BagError(path, "no such file or folder")
    if path.name == "metadata.yaml":
        path = path.parent
    if not path.is_dir():
        _check_file(path)
        return path
    files = sorted(p for p in path.iterdir() if p.suffix in STORAGE and p.is_file())
    if (path / "metadata.yaml").is_file() or growing(path):
        for file in files:
            _check_file(file)
        return path
    if len(files) == 1:
        _check_file(files[0])
        return files[0]
    if not files:
        raise BagError(path, "not a recording: no metadata.yaml and no .mcap, .db3 or .bag file in this folder")
    raise BagError(path, f"no metadata.yaml, and several recordings ({', '.join(f.name for f in files)}); name one")


def growing(folder: Path) -> list[Path]:
    """Parts that a recorder did not finish (humanoid_replay.recording)."""
    return sorted(p for p in folder.glob("part_*.growing/*") if p.suffix in (".mcap", ".db3"))


def mcap_files(path: Path) -> list[Path]:
    """All mcap files of a recording in order, those that a recorder did not finish last."""
    return _parts(path, ".mcap")


def _parts(path: Path, suffix: str) -> list[Path]:
    if not path.is_dir():
        return [path] if path.suffix == suffix else []
    finished = sorted((p for p in path.iterdir() if p.suffix == suffix), key=_number)
    return finished + [p for p in growing(path) if p.suffix == suffix]


def unfinished(path: Path) -> list[Path]:
    """All files of a recording when one of them has no end; [] when rosbags can open it as it is."""
    late = growing(path) if path.is_dir() else []
    if late:
        return _parts(path, late[0].suffix)
    files = mcap_files(path)
    return files if any(not _has_end(file) for file in files) else []


def _number(file: Path) -> tuple[int, str]:
    last = file.stem.rpartition("_")[2]
    return int(last) if last.isdigit() else 0, file.name


def _has_end(file: Path) -> bool:
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - len(MCAP_MAGIC)))
        return stream.read() == MCAP_MAGIC


def _check_file(path: Path) -> None:
    """Refuse what is no recording before anybody tries to decode it."""
    with _one_line(path), path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise BagError(path, "an empty file")
    kind = next((suffix for magic, suffix in MAGIC.items() if head.startswith(magic)), None)
    if kind is None:
        raise BagError(path, "not a recording: it begins like neither mcap nor sqlite3 nor a ROS 1 bag")
    if path.suffix != kind:
        raise BagError(path, f"is a {kind[1:]} recording with another name; rename it to '{path.stem}{kind}'")


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Damage shows itself as nearly any error in a decoder; here it becomes one line."""
    try:
        yield
    except BagError:
        raise
    except PermissionError as error:
        raise BagError(path, f"may not be read: {error.strerror}") from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise BagError(path, f"unreadable, damaged or truncated: {reason}"[:300]
                       + ("; 'humanoid-twin bag salvage' reads what is left" if mcap_files(path) else "")) from None
