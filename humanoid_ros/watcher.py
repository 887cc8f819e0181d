"""Sees every topic of a graph from another process, cheaply: raw bytes, taken in batches, decoded when asked for.

About two thousand messages arrive each second. An executor that wakes for each of them costs most of a core, so a
thread looks a few times a second and takes what waits; the middleware has noted when each message was published, and
its number, by which one that never came is counted.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import rclpy
from rclpy.context import Context
from rclpy.node import Node

from humanoid_core.graph import find_graph_file
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS, Topic
from humanoid_ros import qos
from humanoid_ros.convert import from_bytes
from humanoid_ros.realtime import calm_listeners, raise_listeners

NICE = 5
PERIOD = 0.04  # s between two looks
QUEUE = 2.0  # s of messages that may wait when this process is held up
#: A message that seems to have been under way for longer, ns, comes from a machine with another clock.
OTHER_CLOCK = 5 * NS


class Sink(Protocol):
    """Where recorded messages go."""

    def write(self, topic: str, message_type: str, stamp_ns: int, data: bytes) -> None: ...


@dataclass(frozen=True)
class Rate:
    """What arrived of one topic in a window. ``aim`` None: the topic has no fixed rate."""

    topic: str
    hz: float
    aim: float | None
    count: int
    longest_gap_ms: float

    @property
    def deviation(self) -> float:
        """(hz - aim) / aim; NaN without an aim."""
        return (self.hz - self.aim) / self.aim if self.aim else float("nan")


def arrival_rate(topic: Topic, arrivals_ns: Iterable[int], start_ns: int, end_ns: int) -> Rate:
    """Rate over the intervals between arrivals in [start, end]: (count - 1) / (last - first)."""
    inside = [t for t in arrivals_ns if start_ns <= t <= end_ns]
    if len(inside) < 2:
        return Rate(topic.name, 0.0, topic.rate_hz, len(inside), float("nan"))
    gaps = [b - a for a, b in pairwise(inside)]
    span = inside[-1] - inside[0]
    return Rate(topic.name, (len(inside) - 1) * NS / span if span > 0 else 0.0, topic.rate_hz, len(inside),
                max(gaps) / 1e6)


def active_rate(topic: Topic, arrivals_ns: Iterable[int], start_ns: int, end_ns: int, pause_ns: int) -> Rate:
    """As ``arrival_rate``, for a topic that is silent at times: gaps longer than ``pause_ns`` do not count."""
    inside = [t for t in arrivals_ns if start_ns <= t <= end_ns]
    gaps = [g for a, b in pairwise(inside) if (g := b - a) <= pause_ns]
    span = sum(gaps)
    return Rate(topic.name, len(gaps) * NS / span if span > 0 else 0.0, topic.rate_hz, len(inside),
                max(gaps) / 1e6 if gaps else float("nan"))


def published_ns(info: Mapping[str, Any]) -> int:
    """When a message was published, wall clock: what the nodes that listened for it acted by. Its arrival here tells
    how busy this process was; it stands in where publisher and listener have different clocks."""
    arrived = int(info["received_timestamp"])
    said = int(info["source_timestamp"])
    return said if 0 <= arrived - said <= OTHER_CLOCK else arrived


class _Seen:
    """One topic's subscription and what came over it."""

    def __init__(self, row: Topic, subscription: Any, kind: type, keep: int, every: int) -> None:
        self.row, self.subscription, self.kind = row, subscription, kind
        self.arrivals = array("q")
        self.kept: list[tuple[int, bytes]] = []
        self.keep, self.every = keep, every
        self.last: bytes | None = None
        self.numbers: dict[bytes, int] = {}  # the middleware's number of each publisher's newest message
        self.missed = 0


class Watcher:
    """Subscribes to every topic of the table under ``namespace``.

    ``keep``: how many messages of a topic to keep in memory; ``thin``: keep only each n-th of them; ``period`` s
    between two looks. ``prompt``: times of arrival matter; else the middleware's threads may take several at once.
    """

    def __init__(self, context: Context, namespace: str = "", *, sink: Sink | None = None,
                 keep: Mapping[str, int] | None = None, thin: Mapping[str, int] | None = None,
                 topics: Iterable[str] = tuple(TOPICS), period: float = PERIOD, prompt: bool = True) -> None:
        self.node = Node(f"watcher_{time.monotonic_ns() % 1_000_000}", context=context, namespace=namespace,
                         enable_rosout=False, start_parameter_services=False)
        self.sink, self.errors, self.cpu_s, self._period = sink, list[str](), 0.0, period
        self._seen = {name: self._subscribe(TOPICS[name], (keep or {}).get(name, 0), (thin or {}).get(name, 1))
                      for name in topics}
        self._stop = threading.Event()
        self._prompt = prompt
        self._thread = threading.Thread(target=self._loop, name="watcher", daemon=True)

    def _subscribe(self, row: Topic, keep: int, every: int) -> _Seen:
        kind = qos.message_type(row.type)
        depth = max(10, int(QUEUE * (row.rate_hz or 50.0)))
        # Offered deadline and liveliness are for those who act on them; asking for neither matches any publisher.
        profile = qos.profile(replace(row, depth=depth, deadline_ms=None, liveliness_ms=None))
        subscription = self.node.create_subscription(kind, row.name, lambda _: None, profile, raw=True)
        return _Seen(row, subscription, kind, keep, every)

    def start(self) -> None:
        (raise_listeners if self._prompt else calm_listeners)()  # what is not allowed is left
        self._thread.start()

    def stop(self) -> None:
        """Take what still waits and end; the sink stays open."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self._take_all()
        self.node.destroy_node()

    def _loop(self) -> None:
        # Who is watched comes first (on Linux a thread has a niceness of its own).
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while not self._stop.wait(self._period):
            self._take_all()
            self.cpu_s = time.thread_time()

    def _take_all(self) -> None:
        for seen in self._seen.values():
            handle = seen.subscription.handle
            with handle:
                while (taken := handle.take_message(seen.kind, True)) is not None:
                    self._take(seen, *taken)

    def _take(self, seen: _Seen, data: bytes, info: Mapping[str, Any]) -> None:
        arrived = info["received_timestamp"]
        said, publisher = info["publication_sequence_number"], info["publisher_gid"]
        if said is not None and publisher:  # some middlewares do not number
            seen.missed += max(0, said - seen.numbers.get(publisher["data"], said) - 1)
            seen.numbers[publisher["data"]] = said
        number = len(seen.arrivals)
        seen.arrivals.append(arrived)
        seen.last = data
        if seen.keep and number % seen.every == 0:
            seen.kept.append((arrived, data))
            if len(seen.kept) > seen.keep:
                del seen.kept[: seen.keep // 10 + 1]
        if self.sink is not None:
            try:
                self.sink.write(seen.row.name, seen.row.type, published_ns(info), data)
            except Exception as error:  # a full disk must not end the watching
                self.errors.append(f"recording stopped: {error}")
                self.sink = None

    def count(self, topic: str) -> int:
        """How many messages came so far."""
        return len(self._seen[topic].arrivals)

    @property
    def missed(self) -> Counter[str]:
        """Messages that were published between two that came, and never came themselves, by topic."""
        return Counter({name: seen.missed for name, seen in self._seen.items() if seen.missed})

    def latest(self, topic: str) -> Any | None:
        """The newest message as a dataclass, or None."""
        seen = self._seen[topic]
        return None if seen.last is None else from_bytes(seen.last, seen.kind)

    def kept(self, topic: str) -> list[tuple[int, Any]]:
        """(arrival ns, dataclass) of what was kept, oldest first."""
        seen = self._seen[topic]
        return [(at, from_bytes(data, seen.kind)) for at, data in list(seen.kept)]

    def rates(self, start_ns: int, end_ns: int, now_and_then: Iterable[str] = ("vla/joint_command",)) -> list[Rate]:
        """The rate of every topic by arrival (wall clock, ns) in a window."""
        out = []
        for name, seen in self._seen.items():
            row = seen.row
            if row.publisher == "every node" and row.rate_hz is not None:
                row = replace(row, rate_hz=row.rate_hz * max(1, self.node.count_publishers(name)))
            if name in now_and_then:
                out.append(active_rate(row, seen.arrivals, start_ns, end_ns, NS // 10))
            else:
                out.append(arrival_rate(row, seen.arrivals, start_ns, end_ns))
        return out


def own_context(domain: int | None = None) -> Context:
    """An initialised context of one's own; `rclpy.shutdown(context=...)` ends it. As much may wait for it as for the
    nodes of a graph (config/middleware)."""
    roomy = find_graph_file("sim").parent.parent / "middleware" / "fastdds.xml"
    if roomy.is_file():
        os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(roomy))
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    return context
