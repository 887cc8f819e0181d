"""Accepting a change: the expected recording becomes the actual one, and a note beside it says why and what changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from humanoid_replay.compare import Comparison
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.writer import BagWriter

NOTES = "accepted.md"


def accept_change(expected: Path, actual: Path, why: str, result: Comparison) -> Path:
    """Replace ``expected`` by what ``actual`` holds of the same topics; returns the file with the notes.

    The old recording goes only when the new one is whole.
    """
    if not expected.is_dir():
        raise BagError(expected, "only a rosbag2 folder can be replaced")
    kept = {t.topic for t in result.topics if t.expected}
    fresh = expected.with_name(f"{expected.name}.accepting")
    shutil.rmtree(fresh, ignore_errors=True)
    copy(actual, fresh / expected.name, kept)
    shutil.rmtree(expected)
    (fresh / expected.name).rename(expected)
    fresh.rmdir()
    notes = expected.parent / NOTES
    first = result.first
    what = "" if first is None else f" First difference: {first.topic} {first.field} at {first.time_s:.3f} s."
    events = [*(f"no longer: {e}" for e in result.missed_events[:3]), *(f"new: {e}" for e in result.new_events[:3])]
    lines = [f"- **{expected.name}**: {why.strip()}{what}", *(f"  - {e}" for e in events)]
    with notes.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return notes


def copy(source: Path, target: Path, topics: set[str] | None = None) -> None:
    """The recording at ``source`` as a new one, of ``topics`` only when given (names as recorded)."""
    with BagReader(source) as bag:
        metadata = bag.metadata
        names = [t.name for t in bag.topics if topics is None or t.name in topics]
        with BagWriter(target, metadata) as writer:
            for topic, kind, stamp, data in bag.raw(names):
                writer.write(topic, kind, stamp, data)
