"""What can still be read of a recording that ends in the middle or is damaged, as a sound recording.

An mcap file is a row of records, most of them compressed chunks with a checksum. A recorder that was killed leaves the
last chunk incomplete and no index: everything before is whole. A chunk whose checksum does not fit is left out, the
others are read.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.records import Channel, Chunk, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_types_from_msg

from humanoid_replay.errors import BagError
from humanoid_ros.definitions import typestore

#: A record longer than this is damage, not data, bytes.
LONGEST_RECORD = 1 << 30
#: What a damaged length, chunk or definition may raise in the decoders below.
DAMAGE = (McapError, ValueError, KeyError, EOFError, struct.error, OSError, MemoryError, OverflowError, IndexError,
          RuntimeError, UnicodeDecodeError)


@dataclass
class Salvaged:
    """``messages`` that were read; ``lost`` says in words what was not."""

    messages: int = 0
    lost: list[str] = field(default_factory=list)


@dataclass
class _Found:
    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)


def salvage(files: list[Path], target: Path) -> Salvaged:
    """Write every readable message of mcap ``files`` into the new rosbag2 folder ``target``; BagError when there is
    none."""
    result = Salvaged()
    store = typestore()
    writer = Writer(target, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    writer.open()
    connections: dict[tuple[str, str], Any] = {}
    try:
        for file in files:
            for schema, channel, message in _messages(file, result):
                key = channel.topic, schema.name
                if key not in connections:
                    known = store
                    if schema.name not in store.types:
                        store = _with(store, schema)
                        known = store
                    connections[key] = writer.add_connection(*key, typestore=known)
                writer.write(connections[key], message.log_time, message.data)
                result.messages += 1
    finally:
        writer.close()
    if not result.messages:
        what = f": {result.lost[0]}" if result.lost else ""
        raise BagError(files[0], f"damaged or truncated, and no message of it can be read{what}")
    return result


def _messages(file: Path, result: Salvaged) -> Iterator[tuple[Schema, Channel, Message]]:
    found = _Found()
    with file.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        records = StreamReader(stream, emit_chunks=True, record_size_limit=LONGEST_RECORD).records
        while True:
            at = stream.tell()
            try:
                record = next(records, None)
            except DAMAGE as error:
                result.lost.append(f"{file.name}: nothing after byte {at} of {size} ({_brief(error)})")
                return
            if record is None:
                return
            yield from _of(record, found, f"{file.name}: a chunk before byte {stream.tell()}", result)


def _of(record: Any, found: _Found, where: str, result: Salvaged) -> Iterator[tuple[Schema, Channel, Message]]:
    """Messages in a record: none, itself, or those of a chunk that is whole."""
    if isinstance(record, Schema):
        found.schemas[record.id] = record
    elif isinstance(record, Channel):
        found.channels[record.id] = record
    elif isinstance(record, Message):
        channel = found.channels.get(record.channel_id)
        schema = None if channel is None else found.schemas.get(channel.schema_id)
        if channel is None or schema is None:
            result.lost.append(f"{where}: a message of a topic that is not described")
        else:
            yield schema, channel, record
    elif isinstance(record, Chunk):
        try:
            inside = breakup_chunk(record, validate_crc=True)
        except DAMAGE as error:
            result.lost.append(f"{where} ({_brief(error)})")
            return
        for each in inside:
            yield from _of(each, found, where, result)


def _with(store: Any, schema: Schema) -> Any:
    """The typestore with a foreign type."""
    try:
        types = get_types_from_msg(schema.data.decode("utf-8"), schema.name)
        store.register({name: definition for name, definition in types.items() if name not in store.types})
    except Exception as error:
        raise BagError(schema.name, f"its definition in the recording is damaged: {_brief(error)}") from None
    return store


def _brief(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:120]
