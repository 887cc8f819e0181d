"""One row of the fault matrix: what is done, what must be seen, and where it can be played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from humanoid_core.types import JointCommand, Level

#: Who a row calls itself when it speaks where only one may: source of its commands, reason of its modes.
STRANGER = "stranger"


@dataclass(frozen=True)
class Heard:
    """A dataclass and the monotonic time at which it came, ns."""

    mono_ns: int
    value: Any


class World(Protocol):
    """Where a row is played: a running graph, or the house in lockstep. Nodes go by their names in the graph."""

    heard: dict[str, list[Heard]]
    codes: set[str]  # reason codes that a row heard by other ways than a topic, such as the answer to a reset

    def now_ns(self) -> int: ...

    def ros_ns(self) -> int: ...

    def wait(self, seconds: float, until: Callable[[], bool] | None = None) -> bool: ...

    def last(self, topic: str) -> Any: ...

    def fault(self, name: str, target: str, value: float, seconds: float) -> None: ...

    def push(self, link: str, impulse: tuple[float, float, float]) -> None: ...

    def kill(self, node: str) -> None: ...

    def freeze(self, node: str, seconds: float) -> None: ...

    def say(self, topic: str, value: Any, sender: str = "inject") -> None: ...

    def as_policy(self, change: Callable[[JointCommand], list[JointCommand]] | None) -> None: ...

    def reset(self, operator: str = "inject", nonce: int | None = None) -> tuple[bool, str]: ...


Deed = Callable[[Any], None]
#: What a row looks at beyond the common judgement: (world, monotonic ns of the injection) -> what is wrong, or ''.
Look = Callable[[Any, int], str]


class Wrong(Exception):
    """What a deed saw that must not be; the text says it in one line."""


class NotPossible(Exception):
    """This row cannot be played here; the text says why."""


@dataclass(frozen=True)
class Row:
    """``expect``: reason codes of which monitor, gate, ingest or twin must name one; empty: nothing need be named.

    ``stops``: True: the arms stand at the end and do not go on by themselves; False: the work goes on; None: either.
    ``level``, ``most``: bounds of the highest level seen. ``within_ms``: aim for the time to safe, None: no aim.
    ``where``: 'both', 'graph' or 'lockstep'. ``graph``: which graph it is played on (humanoid_cli/inject_graphs.py).
    ``after``: how the graph comes back: 'wait', 'reset', or 'restart' with a graph of its own.
    """

    id: str
    doc: str
    do: Deed
    expect: tuple[str, ...] = ()
    stops: bool | None = True
    level: Level = Level.SAFE
    most: Level = Level.EMERGENCY
    within_ms: float | None = None
    where: str = "both"
    graph: str = "arms"
    after: str = "wait"
    watch: float = 0.8
    look: Look | None = None

    @property
    def family(self) -> str:
        """The letter of the matrix."""
        return self.id[0]
