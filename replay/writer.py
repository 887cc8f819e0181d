"""Writes rosbag2 recordings (mcap or sqlite3) from serialized messages, with definitions and QoS inside."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from humanoid_core.topics import TOPICS, Topic
from humanoid_replay.errors import BagError
from humanoid_ros.definitions import typestore

STORAGE = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
#: What a disk that is full or gone raises.
DISK = (OSError, sqlite3.Error)
FOREVER = QosTime(0x7FFFFFFF, 0xFFFFFFFF)


class BagWriter:
    """A new rosbag2 folder. Topics appear with their first message; the suite's own get the QoS of its table.

    ``metadata`` (model hash, configuration, ...) is kept as rosbag2's custom data. The index and metadata.yaml
    are written when it closes. ``storage``: mcap (in zstd chunks of ``level``, 0: as it is) or sqlite3.
    """

    def __init__(self, path: str | Path, metadata: Mapping[str, str] | None = None, level: int = 3,
                 storage: str = "mcap") -> None:
        self.path = Path(path)
        self.size = 0  # bytes of messages so far, before compression
        self.counts: dict[str, int] = {}
        self._connections: dict[tuple[str, str], Any] = {}
        if self.path.exists():
            raise BagError(self.path, "exists already; choose another folder or remove it")
        if storage not in STORAGE:
            raise BagError(self.path, f"storage '{storage}': must be {' or '.join(STORAGE)}")
        self._writer = Writer(self.path, version=9, storage_plugin=STORAGE[storage])
        self._level = level
        if level and storage == "mcap":
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        for key, value in (metadata or {}).items():
            self._writer.set_custom_data(key, value)
        self._open = False

    def open(self) -> BagWriter:
        try:
            self._writer.open()
        except Exception as error:
            raise BagError(self.path, f"cannot be written: {error}") from None
        self._open = True
        storage: Any = self._writer.storage
        if self._level and hasattr(storage, "compressor"):
            storage.compressor = partial(storage.compressor, level=self._level)
        return self

    def note(self, key: str, value: str) -> None:
        """One more row of metadata, before it closes."""
        self._writer.set_custom_data(key, value)

    def write(self, topic: str, message_type: str, stamp_ns: int, data: bytes | memoryview) -> None:
        """One message as CDR bytes. A relative topic name is recorded under '/'; ``stamp_ns``: its arrival."""
        key = (topic, message_type)
        connection = self._connections.get(key)
        if connection is None:
            connection = self._connections[key] = self._add(topic, message_type)
        try:
            self._writer.write(connection, stamp_ns, data)
        except DISK as error:
            raise BagError(self.path, f"cannot be written: {error}") from None
        self.counts[connection.topic] = self.counts.get(connection.topic, 0) + 1
        self.size += len(data)

    def flush(self) -> None:
        """Hand everything written so far to the operating system, so that it survives the end of this process."""
        storage: Any = self._writer.storage
        try:
            if hasattr(storage, "close_chunk"):
                if storage.chunk.msgs:
                    storage.close_chunk()
                storage.bio.flush()
            elif storage is not None:
                storage.conn.commit()
        except DISK as error:
            raise BagError(self.path, f"cannot be written: {error}") from None

    def close(self) -> None:
        """Write the index; may be called twice."""
        if not self._open:
            return
        self._open = False
        try:
            self._writer.close()
        except Exception as error:
            raise BagError(self.path, f"cannot be closed: {error}") from None

    def __enter__(self) -> BagWriter:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _add(self, topic: str, message_type: str) -> Any:
        if not self._open:
            raise BagError(self.path, "not open; use it in a with statement")
        name = topic if topic.startswith("/") else f"/{topic}"
        row = TOPICS.get(name[1:])
        try:
            return self._writer.add_connection(name, message_type, typestore=typestore(),
                                               offered_qos_profiles=[qos_of(row)] if row is not None else [])
        except Exception as error:
            raise BagError(self.path, f"cannot record '{name}' ({message_type}): {error}") from None


def qos_of(row: Topic) -> Qos:
    """The table's QoS in rosbag2's words."""
    return Qos(
        QosHistory.KEEP_LAST, row.depth,
        QosReliability.RELIABLE if row.reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if row.latched else QosDurability.VOLATILE,
        _time(row.deadline_ms), FOREVER, QosLiveliness.AUTOMATIC, _time(row.liveliness_ms), False)


def _time(ms: float | None) -> QosTime:
    if ms is None:
        return FOREVER
    sec, nsec = divmod(round(ms * 1e6), 1_000_000_000)
    return QosTime(sec, nsec)
