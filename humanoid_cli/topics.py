"""`humanoid-twin topics`: docs/topics.md from the one table."""

from __future__ import annotations

from pathlib import Path

from humanoid_cli.errors import BadInput
from humanoid_core.topics import as_markdown


def topics(write: Path | None) -> int:
    """Print the table, or write it to a file."""
    if write is None:
        print(as_markdown(), end="")
        return 0
    try:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(as_markdown(), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {write}: {error.strerror}") from None
    return 0
