"""Lines of an event log that hold one another: each carries the digest of the line before it and its own.

A line is one JSON object, written without spaces, that ends with ``"sha256":"..."}``: the SHA-256 (FIPS 180-4) of
everything before that member, closed with a brace. ``prev`` is the digest of the line before, and ``seq`` counts up
by one, so that a line that is missing, changed, moved or added shows. What such a chain cannot show by itself: lines
cut off at its end, and a chain that somebody who may write the files computed anew. Against both helps the digest of
the newest line ("head") kept elsewhere: a chain that holds it has everything up to it, unchanged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: ``prev`` of the very first line.
GENESIS = "0" * 64
_TAIL = re.compile(rb',"sha256":"([0-9a-f]{64})"\}$')


def render(body: dict[str, Any]) -> tuple[bytes, str]:
    """A line with its newline, and its digest. ``body`` holds at least 'seq' and 'prev'."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    digest = hashlib.sha256(text).hexdigest()
    return text[:-1] + b',"sha256":"' + digest.encode() + b'"}\n', digest


def read(line: bytes) -> tuple[dict[str, Any] | None, str, str]:
    """(content, digest, '') of a line without its newline, or (None, '', what is wrong with it)."""
    tail = _TAIL.search(line)
    if tail is None:
        return None, "", "does not end with its digest"
    text, digest = line[:tail.start()] + b"}", tail.group(1).decode()
    if hashlib.sha256(text).hexdigest() != digest:
        return None, "", "does not fit its digest: it was changed"
    try:
        body = json.loads(text)
        fine = isinstance(body["seq"], int) and isinstance(body["prev"], str) and isinstance(body.get("lost", 0), int)
    except (ValueError, KeyError, TypeError):
        fine = False
    return (body, digest, "") if fine else (None, "", "has no 'seq' and 'prev'")


def torn(rest: bytes) -> bool:
    """Whether bytes without a newline at the end of a file are what an interrupted write leaves: the beginning of a
    line. Bytes after a whole line are not."""
    ended = re.search(rb',"sha256":"[0-9a-f]{64}"\}', rest)
    return b"\n" not in rest and (ended is None or ended.end() == len(rest)) and rest[:1] in (b"", b"{")


def fragment(rest: bytes) -> dict[str, Any]:
    """How the next file's first line speaks of a torn line, so that the fragment cannot be changed either."""
    return {"bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}


@dataclass(frozen=True)
class Fault:
    """Something wrong in a log. ``line`` counts from 1; 0: the file as a whole."""

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Report:
    """What one chain holds. ``head``: digest of its newest line, or ''; ``torn``: files whose last line is torn;
    ``lost``: events that the writer could not write and counted."""

    events: tuple[dict[str, Any], ...]
    digests: tuple[str, ...]
    faults: tuple[Fault, ...]
    torn: tuple[str, ...]
    lost: int

    @property
    def head(self) -> str:
        return self.digests[-1] if self.digests else ""


def split(content: bytes) -> tuple[list[bytes], bytes]:
    """Whole lines without their newlines, and what follows the last newline."""
    *lines, rest = content.split(b"\n")
    return lines, rest


def check(files: list[tuple[str, bytes]], whole: bool = True) -> Report:
    """Check one chain, its files in order. ``whole``: it must start at its beginning."""
    checker = _Checker(whole)
    for name, content in files:
        checker.file(name, content)
    last = checker.fragment
    if last is not None and not torn(last[1]):
        checker.faults.append(Fault(last[0], last[2], "ends with what is no line of the log"))
    return Report(tuple(checker.events), tuple(checker.digests), tuple(checker.faults), tuple(checker.torn),
                  checker.lost)


class _Checker:
    def __init__(self, whole: bool) -> None:
        self.events: list[dict[str, Any]] = []
        self.digests: list[str] = []
        self.faults: list[Fault] = []
        self.torn: list[str] = []
        self.fragment: tuple[str, bytes, int] | None = None  # file, bytes after its last newline, line number
        self.lost = 0
        self._seq, self._prev = (0, GENESIS) if whole else (-1, "")

    def file(self, name: str, content: bytes) -> None:
        lines, rest = split(content)
        for number, line in enumerate(lines, 1):
            body, digest, problem = read(line)
            if body is None:
                self.faults.append(Fault(name, number, f"this line {problem}"))
                self._seq, self._prev = (self._seq + 1 if self._seq >= 0 else -1), ""
                continue
            self.faults += [Fault(name, number, text) for text in self._links(body)]
            if number == 1:
                self._account(name, body)
            self._seq, self._prev = body["seq"] + 1, digest
            self.events.append(body)
            self.digests.append(digest)
            self.lost += body.get("lost", 0)
        if not lines:
            self.faults.append(Fault(name, 0, "holds no whole line"))
        self.fragment = (name, rest, len(lines) + 1) if rest else None
        if rest and torn(rest):
            self.torn.append(name)

    def _links(self, body: dict[str, Any]) -> Iterator[str]:
        """What does not fit the line before. After a damaged line only the number can be compared."""
        if self._seq >= 0 and body["seq"] != self._seq:
            missing = body["seq"] - self._seq
            yield (f"number {body['seq']} where {self._seq} belongs: "
                   + (f"{missing} lines are missing" if missing > 0 else "a line was moved or added"))
        if self._prev and body["prev"] != self._prev:
            yield "does not follow on the line before it"

    def _account(self, name: str, body: dict[str, Any]) -> None:
        """A torn line at the end of the file before must be the one that this file speaks of."""
        told, self.fragment, last = body.get("torn"), None, self.fragment
        if (fragment(last[1]) if last is not None else None) != told and self.events:
            where = last if last is not None else (name, b"", 1)
            self.faults.append(Fault(where[0], where[2], "the torn line at the file's end is not the one that the next "
                                                         "start found"))

