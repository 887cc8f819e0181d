"""What tests share: a ROS domain of one's own, processes that end with the test, and bounded waits."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

#: `pytest --hypothesis-profile many`: so many cases of each property that counts its cases with `cases`; over a hundred
#: thousand of the monitor and the gate together.
settings.register_profile("many", max_examples=5_000, deadline=None)

DOMAINS = range(100, 221)
EXECUTABLES = Path(sys.prefix) / "lib" / "humanoid_twin"


def wait_for(predicate: Callable[[], Any], timeout: float = 20.0, what: str = "") -> Any:
    """Poll until `predicate()` is true and return its value; fail with `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"waited {timeout:g} s for {what or predicate}")
        time.sleep(0.02)


#: Joint samples and permits a second, of 200 and 100, below which a machine cannot run the graph in real time.
LEAST_JOINTS, LEAST_PERMITS = 190.0, 95.0


def _measure() -> str:
    """Run the simulated graph with nothing wrong and count; why nodes cannot keep their times here, '' when they do."""
    import rclpy

    from humanoid_ros.watcher import Watcher, own_context

    number = 221
    env = {**os.environ, "ROS_DOMAIN_ID": str(number), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    graph = subprocess.Popen([str(Path(sys.executable).parent / "humanoid-twin"), "up", "sim"], env=env,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    context = own_context(number)
    watcher = Watcher(context, topics=("joint_states", "safety/permit", "twin/state"))
    watcher.start()
    try:
        end = time.monotonic() + 25.0
        while watcher.count("twin/state") < 50 and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2.0)
        begin = time.time_ns()
        time.sleep(5.0)
        rates = {r.topic: r.hz for r in watcher.rates(begin, time.time_ns())}
    finally:
        watcher.stop()
        rclpy.shutdown(context=context)
        for signal_, patience in ((signal.SIGINT, 8.0), (signal.SIGKILL, 5.0)):
            os.killpg(graph.pid, signal_)
            try:
                graph.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
    if rates["joint_states"] >= LEAST_JOINTS and rates["safety/permit"] >= LEAST_PERMITS:
        return ""
    return (f"this machine does not run the simulated graph in real time: {rates['joint_states']:.0f} of 200 joint "
            f"samples and {rates['safety/permit']:.0f} of 100 permits a second with nothing wrong")


@functools.cache
def too_slow() -> str:
    """``_measure``, once for all processes of a test run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    note = Path(tempfile.gettempdir()) / f"humanoid_twin_speed_{run}"
    with open(f"{note}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(_measure())
    return note.read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start nodes are tried a second time, aloud: a machine that stands still for 40 ms stops the robot, as
    it should, and a test that watches it with it. What fails twice is wrong."""
    for item in items:
        if "domain" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=[".*"]))


@pytest.fixture(autouse=True)
def _in_real_time(request: pytest.FixtureRequest) -> None:
    """Tests that start nodes judge what they do within milliseconds; where that cannot be, they are left out, aloud.
    A machine can become slow: before the second try it is measured anew."""
    if "domain" not in request.fixturenames:
        return
    again = getattr(request.node, "execution_count", 1) > 1  # counted by pytest-rerunfailures
    why = _measure() if again else too_slow()
    if why:
        pytest.skip(f"it failed once, and {why}" if again else why)


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A ROS_DOMAIN_ID that no other test on this machine uses at the same time."""
    for number in DOMAINS:
        lock = open(Path(tempfile.gettempdir()) / f"humanoid_twin_domain_{number}.lock", "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("HUMANOID_TWIN_LOG", str(tmp_path / "events"))
        yield number
        lock.close()
        return
    pytest.fail("all test domains are taken")


def _die_with_parent() -> None:
    """In the child: end when the test's process ends, however that happens (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Process:
    """A child in a process group of its own, with its output in a file."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        self._out = log.open("w")
        self.popen = subprocess.Popen(command, stdout=self._out, stderr=subprocess.STDOUT, start_new_session=True,
                                      preexec_fn=_die_with_parent,
                                      env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})})

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        os.killpg(self.popen.pid, number)

    def wait(self, timeout: float = 10.0) -> int:
        """Exit code; fails when the process does not end by itself in time."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.popen.args} still runs after {timeout:g} s:\n{self.output[-2000:]}")

    def end(self) -> None:
        for number, patience in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
            if self.popen.poll() is None:
                self.signal(signal.SIGCONT)
                self.signal(number)
                try:
                    self.popen.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        self._out.close()


@pytest.fixture
def run_process(domain: int, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start any command; everything started ends with the test."""
    started: list[Process] = []

    def begin(command: list[str], env: dict[str, str] | None = None) -> Process:
        process = Process(command, tmp_path / f"process{len(started)}.log", env)
        started.append(process)
        return process

    yield begin
    for process in reversed(started):
        process.end()


@pytest.fixture
def start(run_process: Callable[..., Process]) -> Callable[..., Process]:
    """Start one of the package's executables: `start("sim_robot", seed=3, camera=False)`."""

    def begin(executable: str, *ros_args: str, **params: Any) -> Process:
        command = [str(EXECUTABLES / executable), "--ros-args", *ros_args]
        for key, value in params.items():
            command += ["-p", f"{key}:={str(value).lower() if isinstance(value, bool) else value}"]
        return run_process(command)

    return begin


@pytest.fixture
def watch(domain: int) -> Iterator[Any]:
    """A watcher in the test's domain."""
    import rclpy

    from humanoid_ros.watcher import Watcher, own_context

    context = own_context(domain)
    watcher = Watcher(context)
    watcher.start()
    yield watcher
    watcher.stop()
    rclpy.shutdown(context=context)
