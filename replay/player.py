"""Plays a recording to a running graph: the recorded bytes, at the recorded distances, with the recorded QoS.

Publishing starts when everybody who shall listen is there. With a clock, /clock runs in the recording's time, so nodes
with use_sim_time judge ages as they were; a loop takes that clock back to the start, which they notice and begin anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from humanoid_core.timing import MS, NS
from humanoid_core.topics import TOPICS
from humanoid_replay.errors import BagError
from humanoid_replay.mapping import Mapping as Names
from humanoid_replay.reader import BagReader
from humanoid_replay.through import topic_names
from humanoid_ros import qos

CLOCK_PERIOD_NS = 10 * MS
#: What a robot's driver publishes: with these the graph runs as if the robot were there.
ROBOT = frozenset(name for name, row in TOPICS.items() if row.publisher == "robot")


@dataclass(frozen=True)
class PlayOptions:
    """``rate`` of time; ``start`` s into the recording; ``everything``: also what the nodes published, not the robot's
    topics alone; ``remap``: name in the table -> name to publish under; ``wait`` s for listeners at most."""

    rate: float = 1.0
    start: float = 0.0
    loop: bool = False
    clock: bool = True
    everything: bool = False
    wait: float = 10.0
    namespace: str | None = None
    remap: Mapping[str, str] = field(default_factory=dict)
    names: Names = field(default_factory=Names)


@dataclass
class Played:
    """``unheard``: topics that nobody listened to when it began; ``late_ms``: how late the worst message left."""

    counts: dict[str, int] = field(default_factory=dict)
    unheard: tuple[str, ...] = ()
    loops: int = 0
    late_ms: float = 0.0
    remarks: list[str] = field(default_factory=list)


class Player:
    """Publishes from the caller's thread; ``stop`` ends it."""

    def __init__(self, node: Node, path: Path, options: PlayOptions | None = None) -> None:
        self.node, self.path, self.options = node, path, options or PlayOptions()
        self.played = Played()
        self._publishers: dict[str, Any] = {}
        with BagReader(path) as bag:
            self._names = self._choose(bag)
            self.played.remarks = list(bag.remarks)
            self._begin_ns = bag.start_ns + round(self.options.start * NS)
            if self.options.start >= max(bag.duration_s, 1e-9):
                raise BagError(path, f"--start {self.options.start:g}: it is {bag.duration_s:.1f} s long")
        for name, kind in self._names.values():
            row = TOPICS.get(name)
            target = self.options.remap.get(name, name)
            self._publishers[name] = node.create_publisher(
                qos.message_type(kind), target, qos.profile(row) if row is not None else 10)
        self._clock = node.create_publisher(Clock, "/clock", 10) if self.options.clock else None

    def _choose(self, bag: BagReader) -> dict[str, tuple[str, str]]:
        """Recorded name -> (name to publish, type)."""
        known = self.options.names.topics(bag, topic_names(bag, self.options.namespace))
        chosen: dict[str, tuple[str, str]] = {}
        for topic in bag.topics:
            name = known.get(topic.name, "")
            if name and TOPICS[name].type == topic.type and (self.options.everything or name in ROBOT):
                chosen[topic.name] = (name, topic.type)
        if not chosen:
            raise BagError(self.path, "nothing in it that the graph listens to; 'humanoid-twin bag info' shows what it "
                           "holds, --map names topics of a foreign robot")
        return chosen

    def play(self, stop: threading.Event, say: Callable[[str], None] = print) -> Played:
        """Until the end, or until ``stop`` is set."""
        self._await_listeners(stop, say)
        while not stop.is_set():
            self._once(stop)
            if not self.options.loop:
                break
            self.played.loops += 1
        return self.played

    def _await_listeners(self, stop: threading.Event, say: Callable[[str], None]) -> None:
        deadline = time.monotonic() + self.options.wait
        silent = list(self._publishers)
        while silent and time.monotonic() < deadline and not stop.wait(0.05):
            silent = [name for name, p in self._publishers.items() if p.get_subscription_count() == 0]
            if len(silent) < len(self._publishers) and time.monotonic() > deadline - self.options.wait + 2.0:
                break  # somebody listens, and the others had their time
        if silent:
            say(f"nobody listens to {', '.join(silent)}")
        self.played.unheard = tuple(silent)

    def _once(self, stop: threading.Event) -> None:
        """The recording from start to end."""
        origin_ns, bag_ns = time.monotonic_ns(), self._begin_ns
        clock_ns = bag_ns
        with BagReader(self.path) as bag:
            for topic, _, stamp_ns, data in bag.raw(self._names):
                if stamp_ns < bag_ns:
                    continue
                while clock_ns <= stamp_ns and self._clock is not None:
                    if not self._sleep_until(origin_ns, clock_ns - bag_ns, stop):
                        return
                    self._tell(clock_ns)
                    clock_ns += CLOCK_PERIOD_NS
                if not self._sleep_until(origin_ns, stamp_ns - bag_ns, stop):
                    return
                name, kind = self._names[topic]
                self._publishers[name].publish(self.options.names.message(name, kind, data))
                self.played.counts[name] = self.played.counts.get(name, 0) + 1

    def _sleep_until(self, origin_ns: int, after_ns: int, stop: threading.Event) -> bool:
        """Wait for a moment of the recording; False when it was stopped."""
        due = origin_ns + round(after_ns / self.options.rate)
        wait = (due - time.monotonic_ns()) / NS
        if wait > 0.0005:
            return not stop.wait(wait)
        self.played.late_ms = max(self.played.late_ms, -wait * 1e3)
        return not stop.is_set()

    def _tell(self, clock_ns: int) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(clock_ns, NS)
        assert self._clock is not None
        self._clock.publish(message)


def parse_remap(texts: list[str]) -> dict[str, str]:
    """'name:=other' -> {name: other}; ValueError with what is wrong."""
    out = {}
    for text in texts:
        old, sign, new = text.partition(":=")
        if not (sign and old and new):
            raise ValueError(f"--remap {text}: must be of the form topic:=other")
        if old.lstrip("/") not in TOPICS:
            raise ValueError(f"--remap {text}: the suite has no topic '{old}'")
        out[old.lstrip("/")] = new
    return out
