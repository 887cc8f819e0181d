"""A bag of everything a `Watcher` sees: its sink."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from humanoid_replay.writer import BagWriter


class Recorder:
    """Context manager around `humanoid_replay.writer.BagWriter`, fed with raw messages."""

    def __init__(self, folder: Path) -> None:
        self._writer: Any = BagWriter(folder)

    def write(self, topic: str, message_type: str, stamp_ns: int, data: bytes) -> None:
        self._writer.write(topic, message_type, stamp_ns, data)

    def __enter__(self) -> Recorder:
        self._writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._writer.__exit__(kind, error, trace)
