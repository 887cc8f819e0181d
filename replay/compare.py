"""Two recordings side by side: per topic and field, exact or within a tolerance.

Messages are paired by capture stamp (those of one stamp in order), topics without stamps by order. Tolerances are
absolute and hold for floating point fields alone; NaN equals NaN. What is equal in bytes is not even decoded.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_core.timing import NS
from humanoid_core.types import Level, Mode, TwinStatus
from humanoid_replay.errors import BagError
from humanoid_replay.reader import BagReader
from humanoid_replay.samples import capture_ns

PICTURES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
#: Topics whose changes are events of their own.
LEVELS = "safety/status"


class CompareError(ValueError):
    """A comparison that cannot be asked for so; one line."""


@dataclass(frozen=True)
class Tolerance:
    """``everywhere``, or what stands under 'topic.field', 'topic' (most particular first); absolute, in the field's
    unit."""

    everywhere: float = 0.0
    special: Mapping[str, float] = field(default_factory=dict)

    def of(self, topic: str, path: str) -> float:
        bare = topic.lstrip("/")
        for key in (f"{bare}.{path}", f"{bare}.{path.split('.')[0]}", bare):
            if key in self.special:
                return self.special[key]
        return self.everywhere


@dataclass(frozen=True)
class Difference:
    """The first difference of one field. ``time_s`` after the start of the expected recording."""

    topic: str
    field: str
    time_s: float
    message: int
    expected: str
    actual: str
    count: int = 1
    largest: float = 0.0


@dataclass
class TopicResult:
    """``missed``: pairs not found in the actual recording; ``new``: not found in the expected one."""

    topic: str
    expected: int = 0
    actual: int = 0
    differing: int = 0
    missed: int = 0
    new: int = 0
    note: str = ""
    differences: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return not (self.differing or self.missed or self.new or self.note)


@dataclass
class Comparison:
    """Events as 'time s topic: what'; ``levels``: the changes of safety level of both, when they differ."""

    topics: list[TopicResult]
    levels: tuple[list[str], list[str]] | None
    missed_events: list[str]
    new_events: list[str]
    remarks: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return all(t.same for t in self.topics)

    @property
    def first(self) -> Difference | None:
        return min((d for t in self.topics for d in t.differences), key=lambda d: d.time_s, default=None)


def parse_tolerances(texts: Collection[str]) -> Tolerance:
    """'1e-6' for every field, 'twin/state.position=1e-3' or 'twin/state=1e-3' for one."""
    everywhere, special = 0.0, {}
    for text in texts:
        key, equals, raw = text.rpartition("=")
        try:
            value = float(raw)
        except ValueError:
            value = float("nan")
        if not 0.0 <= value < float("inf") or (equals and not key):
            raise CompareError(f"--tolerance {text}: must be NUMBER or TOPIC[.FIELD]=NUMBER, and not below 0")
        if equals:
            special[key.lstrip("/")] = value
        else:
            everywhere = value
    return Tolerance(everywhere, special)


Rows = dict[tuple[str, str], list[tuple[int, bytes]]]
#: What happened -> when, s.
Events = dict[str, list[float]]


def compare(expected: Path, actual: Path, tolerance: Tolerance | None = None,
            topics: Collection[str] = ()) -> Comparison:
    """Compare two recordings; BagError when one cannot be read or there is nothing to compare."""
    wanted = {t.lstrip("/") for t in topics}
    remarks: list[str] = []
    sides = _load(expected, wanted, remarks), _load(actual, wanted, remarks)
    start, (left, right) = sides[0].start_ns, (side.rows for side in sides)
    if not left and not right:
        raise BagError(expected, "nothing to compare in either recording")
    unknown = wanted - {topic.lstrip("/") for topic, _ in (*left, *right)}
    if unknown:
        raise CompareError(f"--topic {', '.join(sorted(unknown))}: in neither recording")
    results: list[TopicResult] = []
    events: tuple[Events, Events] = ({}, {})
    levels: tuple[list[str], list[str]] = ([], [])
    for key in sorted({*left, *right}):
        rows = (left.get(key, []), right.get(key, []))
        result = TopicResult(key[0], len(rows[0]), len(rows[1]))
        results.append(result)
        if rows[0] == rows[1]:
            continue
        if key[1] in PICTURES:
            _compare_opaque(rows, result)
            continue
        try:
            decoded = [[(stamp, side.decode(data, key[1])) for stamp, data in side.rows.get(key, [])] for side in sides]
        except Exception as error:
            raise BagError(expected, f"'{key[0]}' here or in {actual}: {error or type(error).__name__}") from None
        _compare_topic(decoded[0], decoded[1], start, tolerance or Tolerance(), result)
        for side in (0, 1):
            for stamp, text in events_of(key[0], decoded[side]):
                events[side].setdefault(text, []).append((stamp - start) / NS)
                if key[0].lstrip("/") == LEVELS and text.startswith(f"{LEVELS}: level"):
                    levels[side].append(f"{(stamp - start) / NS:.3f} s {text.rpartition(' ')[2]}")
    differ = [x.split(" ")[-1] for x in levels[0]] != [x.split(" ")[-1] for x in levels[1]]
    return Comparison(results, levels if differ else None, _only(events[0], events[1]), _only(events[1], events[0]),
                      remarks)


def _only(here: Events, there: Events) -> list[str]:
    """Events that happened more often here, in lines; those that happened at about the same times in both are taken
    for the same ones."""
    rows = []
    for text, times in here.items():
        left = list(times)
        for at in there.get(text, [])[:len(times)]:
            left.remove(min(left, key=lambda t, at=at: abs(t - at)))
        if left:
            rows.append((left[0], text, len(left)))
    return [f"{at:.3f} s {text}{f' ({n} times)' if n > 1 else ''}" for at, text, n in sorted(rows)]


@dataclass(frozen=True)
class _Side:
    """Arrival of the first message, (topic, type) -> (arrival, bytes), pictures as digests, and what decodes them."""

    start_ns: int
    rows: Rows
    decode: Callable[[bytes, str], Any]


def _load(path: Path, wanted: Collection[str], remarks: list[str]) -> _Side:
    rows: Rows = {}
    with BagReader(path) as bag:
        names = [t.name for t in bag.topics if not wanted or t.name.lstrip("/") in wanted]
        for topic, kind, stamp, data in bag.raw(names):
            kept = hashlib.sha256(data).digest() if kind in PICTURES else data
            rows.setdefault((topic, kind), []).append((stamp, kept))
        remarks += [f"{path}: {line}" for line in bag.remarks]
    return _Side(min((row[0][0] for row in rows.values()), default=0), rows, bag.decode)


def _compare_opaque(rows: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]], result: TopicResult) -> None:
    """Pictures: which bytes are there, not where they differ."""
    left, right = (Counter(data for _, data in side) for side in rows)
    result.missed, result.new = sum((left - right).values()), sum((right - left).values())
    if result.same and [d for _, d in rows[0]] != [d for _, d in rows[1]]:
        result.note = "the same pictures in another order"


def _keyed(rows: list[tuple[int, Any]]) -> dict[tuple[int, int], tuple[int, Any]]:
    """By (capture stamp, how many of that stamp came before)."""
    seen: Counter[int] = Counter()
    out = {}
    for arrival, message in rows:
        stamp = capture_ns(message)
        out[stamp, seen[stamp]] = (arrival, message)
        seen[stamp] += 1
    return out


def _compare_topic(expected: list[tuple[int, Any]], actual: list[tuple[int, Any]], start_ns: int,
                   tolerance: Tolerance, result: TopicResult) -> None:
    left, right = _keyed(expected), _keyed(actual)
    result.missed, result.new = len(left.keys() - right.keys()), len(right.keys() - left.keys())
    found: dict[str, Difference] = {}
    for number, (key, (arrival, message)) in enumerate(left.items()):
        if key not in right:
            continue
        differs = False
        for path, a, b, size in unequal(message, right[key][1], result.topic, tolerance):
            differs = True
            first = found.get(path)
            if first is None:
                found[path] = Difference(result.topic, path, (arrival - start_ns) / NS, number, a, b, 1, size)
            else:
                found[path] = dataclasses.replace(first, count=first.count + 1, largest=max(first.largest, size))
        result.differing += differs
    result.differences = sorted(found.values(), key=lambda d: (d.message, d.field))


def unequal(a: Any, b: Any, topic: str, tolerance: Tolerance, path: str = "") -> Iterator[tuple[str, str, str, float]]:
    """(field, expected, actual, largest absolute difference) of each field that differs beyond its tolerance."""
    if dataclasses.is_dataclass(a):
        for name in dict.fromkeys(f.name for f in (*dataclasses.fields(a), *dataclasses.fields(b))):
            if name.startswith("__"):
                continue
            below = f"{path}.{name}" if path else name
            if hasattr(a, name) and hasattr(b, name):
                yield from unequal(getattr(a, name), getattr(b, name), topic, tolerance, below)
            else:  # the definition of the message has changed
                yield below, *(_brief(getattr(x, name)) if hasattr(x, name) else "no such field" for x in (a, b)), \
                    float("inf")
        return
    if isinstance(a, (list, tuple)) and not (a and isinstance(a[0], (int, float))):
        if len(a) != len(b):
            yield path, _brief(a), _brief(b), float("inf")
            return
        for x, y in zip(a, b, strict=True):
            yield from unequal(x, y, topic, tolerance, path)
        return
    if isinstance(a, (str, bytes, bool, int)):
        if a != b:
            size = float(abs(a - b)) if isinstance(a, int) and isinstance(b, int) else float("inf")
            yield path, _brief(a), _brief(b), size
        return
    yield from _unequal_numbers(np.asarray(a), np.asarray(b), tolerance.of(topic, path), path)


def _unequal_numbers(a: np.ndarray, b: np.ndarray, allowed: float, path: str) -> Iterator[tuple[str, str, str, float]]:
    if a.shape != b.shape:
        yield path, f"{a.size} values", f"{b.size} values", float("inf")
        return
    with np.errstate(invalid="ignore"):
        fine = a == b
        if a.dtype.kind == "f":
            fine |= (np.abs(a - b) <= allowed) | (np.isnan(a) & np.isnan(b))
    if bool(np.all(fine)):
        return
    where = np.flatnonzero(~np.atleast_1d(fine))
    x, y = np.atleast_1d(a)[where], np.atleast_1d(b)[where]
    size = np.abs(x.astype(np.float64) - y.astype(np.float64))
    index = f"[{where[0]}] " if a.ndim else ""
    largest = float(np.max(np.where(np.isnan(size), np.inf, size)))
    yield path, f"{index}{x[0].item()!r}", f"{index}{y[0].item()!r}", largest


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def events_of(topic: str, rows: list[tuple[int, Any]]) -> Iterator[tuple[int, str]]:
    """(arrival, 'topic: what') whenever what a topic says in words changes."""
    name = topic.lstrip("/")
    before: frozenset[str] = frozenset()
    for stamp, message in rows:
        now = frozenset(_words(message))
        for text in sorted(now - before):
            yield stamp, f"{name}: {text}"
        before = now


def _words(message: Any) -> Iterator[str]:
    kind = type(message).__name__.rpartition("__")[2]
    if kind == "SafetyStatus":
        yield f"level {_word(Level, message.level)}"
        for v in message.violations:
            yield f"{v.code} {v.subject}"
    elif kind == "GateStatus":
        yield f"{message.state} {message.reason}".strip()
    elif kind == "RobotMode":
        yield f"mode {_word(Mode, message.mode)}"
    elif kind == "TwinState":
        yield f"status {_word(TwinStatus, message.status)}"
        yield from message.anomalies
    elif kind == "SensorHealth":
        for s in message.sources:
            if s.state != "ok":
                yield f"{s.topic} {s.state}"


def _word(kind: Any, value: int) -> str:
    try:
        return str(kind(int(value)).name)
    except ValueError:
        return str(int(value))
