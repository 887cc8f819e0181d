"""Which parameter file a value came from: a message about a wrong value names the file to mend.

rclpy merges the files given with ``--params-file`` before a node sees them, and quietly passes over those whose
sections are for somebody else.
"""

from __future__ import annotations

import difflib
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FLAG, KEYS = "--params-file", "ros__parameters"
#: From this likeness on (difflib's ratio) another section's name is this node's, mistyped.
ALIKE = 0.8


@dataclass(frozen=True)
class ParamsFile:
    """``values``: of the sections for one node; ``sections``: the names of all."""

    path: str
    values: dict[str, Any]
    sections: tuple[str, ...]
    matches: bool


def params_files(arguments: Sequence[str], node: str) -> list[ParamsFile]:
    """Those on a command line, in its order, as ``node`` (its plain name) sees them. A file that cannot be read is
    left out: rclpy has refused it already."""
    found = []
    for flag, path in itertools.pairwise(arguments):
        if flag != FLAG:
            continue
        try:
            content = yaml.safe_load(Path(path).read_text())
        except (OSError, yaml.YAMLError):
            continue
        sections = dict(_sections("", content if isinstance(content, dict) else {}))
        mine = [name for name in sections if name.rsplit("/", 1)[-1] in (node, "*", "**")]
        found.append(ParamsFile(path, {k: v for name in mine for k, v in sections[name].items()}, tuple(sections),
                                bool(mine)))
    return found


def _sections(prefix: str, content: dict[Any, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """A namespace may be a level of its own."""
    for name, below in content.items():
        if isinstance(below, dict) and isinstance(below.get(KEYS), dict):
            yield f"{prefix}{name}", below[KEYS]
        elif isinstance(below, dict):
            yield from _sections(f"{prefix}{name}/", below)


def with_origin(text: str) -> str:
    """A refusal 'NODE: what is wrong', and the file of this process' command line that holds what it names."""
    return text + origin(params_files(sys.argv, text.split(":")[0]), text)


def origin(files: Sequence[ParamsFile], text: str) -> str:
    """' (FILE)' of the last file that gives a parameter which the text names, else ''."""
    words = set(text.replace("'", " ").replace(":", " ").replace(",", " ").split())
    holding = [f.path for f in files if words & f.values.keys()]
    return f" ({holding[-1]})" if holding else ""


def mistyped(files: Sequence[ParamsFile], node: str) -> str:
    """What is wrong when a file has no section for this node but one whose name is nearly the node's, else ''."""
    for file in files:
        if not file.matches:
            names = [name.rsplit("/", 1)[-1] for name in file.sections]
            near = difflib.get_close_matches(node, names, n=1, cutoff=ALIKE)
            if near:
                return f"{node}: {file.path}: section '{near[0]}': did you mean '{node}'?"
    return ""
