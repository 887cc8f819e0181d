"""A recording of a house in lockstep: the same seed gives the same bag."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from humanoid_bench.lockstep import Lockstep
from humanoid_core.topics import TOPICS
from humanoid_replay.recorder import PICTURES
from humanoid_replay.writer import BagWriter
from humanoid_ros.cdr import canonical
from humanoid_ros.convert import to_msg

#: Not worth their room in a recording that is kept: pictures, and what nobody reads again.
WITHOUT_PICTURES = tuple(name for name, row in TOPICS.items() if row.type not in PICTURES and name != "diagnostics")


class BagOf:
    """Context manager: everything that is published on ``topics`` meanwhile goes into a new bag."""

    def __init__(self, house: Lockstep, path: Path, topics: Iterable[str] = WITHOUT_PICTURES) -> None:
        self._house, self._on = house, False
        self._writer = BagWriter(path, {"robot": house.robot.name, "model_hash": house.robot.hash})
        for topic in topics:
            house.listen(topic, self._listener(topic))

    def _listener(self, topic: str) -> Any:
        kind = TOPICS[topic].type

        def write(value: Any, now_ns: int) -> None:
            if self._on:
                message = value if hasattr(value, "get_fields_and_field_types") else to_msg(value)
                self._writer.write(topic, kind, now_ns, canonical(message, kind))

        return write

    def __enter__(self) -> BagOf:
        self._writer.open()
        self._on = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._on = False
        self._writer.close()
