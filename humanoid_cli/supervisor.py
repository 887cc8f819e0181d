"""Starts a graph's processes, brings their nodes up, restarts those that may be restarted, and ends all of them.

Managed nodes are activated in the graph's order and come to rest in reverse (humanoid_ros/bringup.py).

Nothing is left behind: each process leads its own session, is killed by the kernel when this one dies, and is
ended in three bounded steps (SIGINT, SIGTERM, SIGKILL). Used by `up` and by `demo`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

from humanoid_core.graph import Graph, GraphError, NodeSpec
from humanoid_core.robot_schema import nearest

if TYPE_CHECKING:
    from humanoid_ros.bringup import Bringup

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_LONGEST_LINE = 65536
#: s for all nodes together to come to rest, before the processes are ended.
REST = 1.5

Sink = Callable[[str, str], None]


@dataclass(frozen=True)
class Event:
    """What happened to a node: ``kind`` is started, active, refused (its configuration), ended, restarting or
    gave_up; ``at`` on CLOCK_MONOTONIC, s."""

    kind: str
    node: str
    at: float
    code: int | None = None  # as subprocess gives it: negative = signal
    delay: float = 0.0

    def __str__(self) -> str:
        if self.kind == "ended":
            return f"{self.node} {how_it_ended(self.code)}"
        if self.kind == "restarting":
            return f"{self.node} starts again in {self.delay:g} s"
        if self.kind == "gave_up":
            return f"{self.node} ended too often and is not started again"
        if self.kind == "refused":
            return f"{self.node} refused to be configured"
        if self.kind == "active":
            return f"{self.node} is active"
        return f"{self.node} {self.kind}"


def how_it_ended(code: int | None) -> str:
    """'died (SIGKILL)', 'ended with exit code 2' or 'ended'."""
    if code is None or code == 0:
        return "ended"
    if code < 0:
        try:
            return f"died ({signal.Signals(-code).name})"
        except ValueError:
            return f"died (signal {-code})"
    return f"ended with exit code {code}"


def executable_folders() -> list[Path]:
    """Where the node executables are looked for."""
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    return list(dict.fromkeys(Path(p) / "lib" / "humanoid_twin" for p in prefixes if p))


def find_executable(name: str) -> Path:
    """The file of a node executable; GraphError with the nearest name when there is none."""
    folders = executable_folders()
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return folder / name
    known = sorted({p.name for f in folders if f.is_dir() for p in f.iterdir()})
    looked = ", ".join(str(f) for f in folders)
    raise GraphError(name, "", None, f"no such executable in {looked}; "
                     + (nearest(name, known) if known else "build first: make env, or colcon build"))


def _in_child(parent: int, nice: int) -> Callable[[], None]:
    def prepare() -> None:
        os.nice(nice)
        if nice:
            # Linux desktops weigh sessions against one another (autogroups), and every node has its own.
            with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as file:
                file.write(str(nice))
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return prepare


class _Process:
    """One node's process and what its restarts need to know."""

    def __init__(self, spec: NodeSpec, command: list[str], environment: dict[str, str]) -> None:
        self.spec, self.command, self.environment = spec, command, environment
        self.popen: subprocess.Popen[bytes] | None = None
        self.restarts: list[float] = []  # when, within the window
        self.start_at: float | None = None
        self.last_error = ""

    def start(self) -> IO[bytes]:
        """Start it. The calling thread must live as long as the process: its end is the process's end too."""
        self.start_at = None
        self.popen = subprocess.Popen(
            self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_in_child(os.getpid(), self.spec.nice))
        assert self.popen.stdout is not None
        return self.popen.stdout

    @property
    def alive(self) -> bool:
        return self.popen is not None and self.popen.returncode is None

    def signal(self, number: int) -> None:
        """To the whole process group, so that nothing it started stays."""
        if self.popen is not None and self.popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)

    def sweep(self) -> None:
        """Kill what a process that ended has left in its group."""
        if self.popen is not None and self.popen.returncode is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)


class Supervisor:
    """Context manager around a running graph. Call ``poll`` often, from the thread that called ``start``.

    ``respawn=False`` leaves every node that ended as it is, so that a test or a demo sees what its end does.
    """

    def __init__(
        self,
        graph: Graph,
        sink: Sink,
        *,
        namespace: str = "",
        environment: Mapping[str, str] | None = None,
        respawn: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.graph, self._sink, self._respawn, self._clock = graph, sink, respawn, clock
        self.failure: Event | None = None  # a required node ended, or refused its configuration
        self.restless: list[str] = []  # did not come to rest when asked, before the end
        self._processes: list[_Process] = []
        for spec in graph.nodes:
            merged = {"PYTHONUNBUFFERED": "1", **spec.environment, **os.environ, **(environment or {})}
            command = [str(find_executable(spec.executable)), *spec.ros_arguments(namespace)]
            self._processes.append(_Process(spec, command, merged))
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="node-output", daemon=True)
        self._closing = False
        self._namespace, self._domain = namespace, (environment or {}).get("ROS_DOMAIN_ID")
        self._bringup: Bringup | None = None
        self._told: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start all nodes in the graph's order."""
        self._reader.start()
        try:
            for process in self._processes:
                self._begin(process)
            if any(spec.managed for spec in self.graph.nodes):
                self._bring_up()
        except BaseException:
            self.stop()
            raise

    def _bring_up(self) -> None:
        from humanoid_ros.bringup import ACTIVE, Bringup  # ROS is imported while the nodes do the same

        def tell(node: str, text: str) -> None:
            self._told.put(Event("active" if text == ACTIVE else "refused", node, self._clock()))

        try:
            self._bringup = Bringup(self.graph, self._namespace, tell, int(self._domain) if self._domain else None)
        except RuntimeError as error:  # of rcl: a domain that is none, for example
            raise GraphError("ROS", "", None, " ".join(str(error).split(", at ")[0].split())) from None
        for process in self._processes:
            self._bringup.begin(process.spec.name)

    def waiting(self) -> list[str]:
        """What is not active yet, for people."""
        return self._bringup.waiting() if self._bringup is not None else []

    def pids(self) -> dict[str, int]:
        """Process ids of the nodes that run now."""
        return {p.spec.name: p.popen.pid for p in self._processes if p.popen is not None and p.alive}

    @property
    def idle(self) -> bool:
        """Whether no node runs and none will be started."""
        return not any(p.alive or p.start_at is not None for p in self._processes)

    def last_line(self, node: str) -> str:
        """The last line that this node wrote."""
        with self._lock:
            return next(p.last_error for p in self._processes if p.spec.name == node)

    def poll(self) -> list[Event]:
        """Look once at every process; returns what is new. Sets ``failure`` when a required node is gone."""
        events = self._news()
        now = self._clock()
        for process in self._processes:
            name = process.spec.name
            if process.alive and process.popen is not None and process.popen.poll() is not None:
                process.sweep()
                if self._bringup is not None:
                    self._bringup.ended(name)
                ended = Event("ended", name, now, code=process.popen.returncode)
                events += [ended, *self._after_end(process, ended)]
            elif process.start_at is not None and now >= process.start_at:
                process.restarts.append(now)
                self._begin(process)
                if self._bringup is not None:
                    self._bringup.begin(name)
                events.append(Event("started", name, now))
        return events

    def _news(self) -> list[Event]:
        """What the bring-up has told since the last look."""
        events: list[Event] = []
        while not self._told.empty():
            event = self._told.get()
            events.append(event)
            if event.kind == "refused" and self.graph.node(event.node).required and self.failure is None:
                self.failure = event
        return events

    def _after_end(self, process: _Process, ended: Event) -> list[Event]:
        policy, now = process.spec.respawn, ended.at
        # Exit code 2 is a refused configuration: the next start would be refused for the same reason.
        if self._respawn and policy is not None and ended.code != 2:
            process.restarts = [t for t in process.restarts if now - t < policy.window]
            if len(process.restarts) < policy.limit:
                delay = policy.wait(len(process.restarts))
                process.start_at = now + delay
                return [Event("restarting", process.spec.name, now, delay=delay)]
            gave_up = [Event("gave_up", process.spec.name, now)]
        else:
            gave_up = []
        if process.spec.required and self.failure is None:
            self.failure = ended
        return gave_up

    def stop(self, grace: tuple[float, float] = (5.0, 3.0)) -> list[str]:
        """End everything: nodes come to rest in reverse, then SIGINT, after ``grace[0]`` s SIGTERM, after ``grace[1]``
        s more SIGKILL.

        The last started ends first asked. Returns the names of the nodes that had to be killed.
        """
        for process in self._processes:
            process.start_at = None
        bringup, self._bringup = self._bringup, None
        if bringup is not None:
            self.restless = bringup.down(REST)
        for number, seconds in ((signal.SIGINT, grace[0]), (signal.SIGTERM, grace[1])):
            for process in reversed(self._processes):
                process.signal(number)
                process.signal(signal.SIGCONT)  # a stopped process takes its signal when it goes on
            if self._all_ended(time.monotonic() + seconds):
                break
        stubborn = [p for p in self._processes if p.alive]
        for process in stubborn:
            process.signal(signal.SIGKILL)
        self._all_ended(time.monotonic() + 5.0)
        for process in self._processes:
            process.sweep()
        self._end_reader()
        if bringup is not None:
            bringup.close()
        return [p.spec.name for p in stubborn]

    def _all_ended(self, deadline: float) -> bool:
        for process in self._processes:
            if process.popen is None:
                continue
            try:
                process.popen.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
        return True

    def _begin(self, process: _Process) -> None:
        stream = process.start()
        os.set_blocking(stream.fileno(), False)
        with self._lock:
            self._selector.register(stream, selectors.EVENT_READ, (process, bytearray()))
        os.write(self._wake_write, b"x")

    def _read(self) -> None:
        """Thread: lines of all processes to the sink."""
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    os.read(self._wake_read, 64)
                    continue
                self._take(key)
            if self._closing and len(self._selector.get_map()) == 1:
                return

    def _take(self, key: selectors.SelectorKey) -> None:
        process, pending = key.data
        chunk = os.read(key.fd, _LONGEST_LINE)
        pending += chunk
        *lines, rest = bytes(pending).split(b"\n")
        if not chunk or len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        pending[:] = rest
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text:
                with self._lock:
                    process.last_error = text
                self._sink(process.spec.name, text)
        if not chunk:
            with self._lock:
                self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]

    def _end_reader(self) -> None:
        self._closing = True
        if self._reader.is_alive():
            os.write(self._wake_write, b"x")
            self._reader.join(timeout=2.0)
