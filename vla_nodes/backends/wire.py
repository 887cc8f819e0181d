"""One way to a policy that may fail: what a protocol offers, and the thread that keeps it connected.

Whoever asks waits no longer than the deadline, whatever the other side does: connecting, sending and waiting are done
in the link's own thread. An answer that comes later is dropped, and a connection that missed its deadline is closed,
because the late answer would be taken for the next one's.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nodes.core.contract import ContractError, Loaded
from vla_nodes.core.instruction import Refusal

#: Pause before the first and at most between two attempts to connect, s; doubled each time.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


@dataclass(frozen=True)
class Request:
    """One question. ``inputs`` by key as the contract's streams say; ``first`` of a task; ``prefix`` rows by action key
    and how many of them are executed anyway, when real-time chunking is possible; ``stamp_ns`` of the observation."""

    inputs: Mapping[str, NDArray]
    instruction: str
    first: bool = False
    prefix: tuple[Mapping[str, NDArray], int] | None = None
    stamp_ns: int = 0


class WireError(Exception):
    """A failure with its reason code; ``lost``: the connection is of no use any more."""

    def __init__(self, code: str, detail: str, lost: bool = True) -> None:
        super().__init__(detail)
        self.code, self.detail, self.lost = code, detail, lost


class Wire(ABC):
    """One connection. ``open``, ``ask`` and ``close`` come from the link's thread, ``abort`` from any other."""

    #: Whether it can be used on after a deadline was missed.
    outlives_deadline = False

    @classmethod  # noqa: B027 - most have nothing to compare before they connect
    def check(cls, loaded: Loaded, where: str) -> None:
        """Compare contract and address before anything connects. Raises ContractError."""

    @abstractmethod
    def open(self) -> None:
        """Connect and compare what the other side says with the contract. Raises WireError or ContractError."""

    @abstractmethod
    def ask(self, request: Request) -> Mapping[str, Any]:
        """Action rows by key. Raises WireError."""

    @abstractmethod
    def abort(self) -> None:
        """Make a call that is blocked in another thread fail soon, where that is possible."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; never blocks for long."""


@dataclass
class _Job:
    request: Request
    answer: Mapping[str, Any] | Refusal | None = None
    late: bool = False
    done: threading.Event = field(default_factory=threading.Event)


class Link:
    """Keeps one ``Wire`` open in a thread of its own, with back-off, and asks through it; one question at a time."""

    def __init__(self, make: Callable[[], Wire], where: str) -> None:
        self._make, self._where = make, where
        self._wake = threading.Condition()
        self._wire: Wire | None = None
        self._job: _Job | None = None
        self._ready = self._end = False
        self._why = Refusal("NO_SERVER", f"connecting to {where}")
        self._thread = threading.Thread(target=self._run, name="vla_policy-link", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def why(self) -> Refusal:
        """Why it is not ready, as long as it is not."""
        return self._why

    def ask(self, request: Request, timeout: float) -> Mapping[str, Any] | Refusal:
        """The answer, or why there is none after at most ``timeout`` s."""
        with self._wake:
            if not self._ready:
                return self._why
            if self._job is not None:
                return Refusal("NO_REPLY", f"{self._where} still works on an earlier observation")
            job = self._job = _Job(request)
            self._wake.notify_all()
        if job.done.wait(max(timeout, 0.0)):
            assert job.answer is not None
            return job.answer
        return self._give_up(job, timeout)

    def _give_up(self, job: _Job, timeout: float) -> Mapping[str, Any] | Refusal:
        with self._wake:
            if job.done.is_set() and job.answer is not None:
                return job.answer
            job.late = True
            why = Refusal("NO_REPLY", f"no answer from {self._where} within {timeout:.2f} s")
            wire = self._wire
            if wire is not None and not wire.outlives_deadline:
                self._ready, self._why = False, why
        if wire is not None:
            wire.abort()
        return why

    def close(self) -> None:
        with self._wake:
            self._end, wire = True, self._wire
            self._wake.notify_all()
        if wire is not None:
            wire.abort()
        self._thread.join(timeout=1.0)

    # --- the link's thread

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._end:
            wire = self._make()
            with self._wake:
                self._wire = wire
            try:
                if not self._end:
                    wire.open()
                    with self._wake:
                        self._ready = True
                    if self._serve(wire):
                        pause = FIRST_PAUSE
            except Exception as error:
                self._lose(_refusal(error, self._where))
            finally:
                with self._wake:
                    self._ready, self._wire = False, None
                wire.close()
            with self._wake:
                self._wake.wait_for(lambda: self._end, pause)
            pause = min(2.0 * pause, LONGEST_PAUSE)

    def _lose(self, why: Refusal) -> None:
        with self._wake:
            self._ready, self._why = False, why

    def _serve(self, wire: Wire) -> bool:
        """Answer until the connection is of no use any more; whether anything went well."""
        good = False
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._end or self._job is not None)
                job = self._job
                if self._end or job is None:
                    return good
            lost: Refusal | None = None
            try:
                answer: Mapping[str, Any] | Refusal = wire.ask(job.request)
                good = good or not job.late
            except WireError as error:
                answer = Refusal(error.code, error.detail)
                lost = answer if error.lost else None
            except Exception as error:
                answer = lost = _refusal(error, self._where)
            with self._wake:
                self._job = None
                if lost is not None and not job.late:
                    self._ready, self._why = False, lost
                job.answer = answer
                job.done.set()
                if lost is not None or (job.late and not wire.outlives_deadline):
                    return good


def _refusal(error: Exception, where: str) -> Refusal:
    if isinstance(error, WireError):
        return Refusal(error.code, error.detail)
    if isinstance(error, ContractError):
        return Refusal("CONTRACT", str(error))
    return Refusal("NO_SERVER", f"{where}: {type(error).__name__}: {error}")


def seconds_left(end: float) -> float:
    """Until ``end`` on the monotonic clock, never negative."""
    return max(end - time.monotonic(), 0.0)


def number_array(data: bytes, dtype: str, shape: tuple[int, ...]) -> NDArray:
    """An array of plain numbers from bytes of a foreign process. Raises ValueError."""
    kind = np.dtype(dtype)
    if kind.kind not in "biuf" or any(n < 0 for n in shape):
        raise ValueError(f"an array of {dtype} {shape} is no array of numbers")
    return np.frombuffer(data, dtype=kind).reshape(shape)
