"""Message definitions: the standard ones of Kilted, and this package's own from its .msg files."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

PACKAGE = "humanoid_twin"


def message_folders() -> list[Path]:
    """Where this package's .msg files are looked for: the install, ament prefixes, this source tree."""
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    folders = [Path(p) / "share" / PACKAGE / "msg" for p in prefixes if p]
    folders.append(Path(__file__).resolve().parent.parent / "msg")
    return list(dict.fromkeys(folders))


@cache
def typestore() -> Any:
    """A rosbags typestore that knows every message of the suite."""
    store = get_typestore(Stores.ROS2_KILTED)
    folder = next((f for f in message_folders() if any(f.glob("*.msg"))), None)
    if folder is None:
        raise FileNotFoundError(f"no definitions of {PACKAGE} in {message_folders()}; run 'make env'")
    own: dict[str, Any] = {}
    for path in sorted(folder.glob("*.msg")):
        own.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"{PACKAGE}/msg/{path.stem}"))
    store.register(own)
    return store
