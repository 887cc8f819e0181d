"""What every node shares: topics from the table, dataclasses in and out, a steady loop, and a clean end."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from humanoid_core.reasons import Refusals
from humanoid_core.robot import RobotError
from humanoid_core.timing import NS, Metronome
from humanoid_ros import qos
from humanoid_ros.convert import from_bytes, to_msg
from humanoid_ros.params import ParameterError
from humanoid_ros.realtime import REAL_TIME, prefer, raise_priority

OK, WARN, ERROR = 0, 1, 2
_LEVELS = {OK: DiagnosticStatus.OK, WARN: DiagnosticStatus.WARN, ERROR: DiagnosticStatus.ERROR}
_stop = threading.Event()
_failure: list[str] = []


class HumanoidNode(Node):
    """A node that speaks dataclasses; a subclass adds a core and says which topics feed it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.unreadable = Refusals()
        #: Ask for it at the start, '' for none: `REAL_TIME`, `PREFERRED` (humanoid_ros/realtime.py).
        self.priority = ""
        self._no_priority = ""
        self._publishers_by_topic: dict[str, Any] = {}
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._loops: list[threading.Thread] = []
        self._diagnose: Callable[[], tuple[int, str, Mapping[str, object]]] | None = None

    def now_ns(self) -> int:
        """ROS time in nanoseconds (the simulator's clock with use_sim_time)."""
        clock = self.get_clock()
        # Without a simulator's clock ROS time is the system's, and rclpy takes twenty times as long to say so.
        return int(clock.now().nanoseconds) if clock.ros_time_is_active else time.time_ns()

    def subscribe(self, name: str, callback: Callable[[Any], None]) -> Any:
        """Call `callback` with the dataclass of each message on the table's topic `name`.

        A message with a value that its type has no word for (a safety level of 9) is refused, counted in
        `unreadable` and reported; it never reaches the callback.
        """
        row = qos.topic(name)

        kind = qos.message_type(row.type)

        def read(data: bytes) -> None:
            try:
                value = from_bytes(data, kind)
            except ValueError as error:
                self.unreadable.refuse("OUT_OF_RANGE", f"{name}: {error}")
                self.get_logger().warning(f"refused {self.unreadable.last}", throttle_duration_sec=2.0)
                return
            callback(value)

        return self.create_subscription(kind, name, read, qos.profile(row), raw=True)

    def advertise(self, *names: str) -> None:
        """Create the publishers of the table's topics `names` before the first message."""
        for name in names:
            row = qos.topic(name)
            publisher = self.create_publisher(qos.message_type(row.type), name, qos.profile(row))
            self._publishers_by_topic[name] = publisher

    def send(self, name: str, value: Any) -> None:
        """Publish a dataclass on an advertised topic. May be called from the node's own loop threads."""
        self._publishers_by_topic[name].publish(to_msg(value))

    def publisher(self, name: str) -> Any:
        """The rclpy publisher of an advertised topic, for messages that have no dataclass."""
        return self._publishers_by_topic[name]

    def steady_timer(self, period_s: float, callback: Callable[[], None]) -> Any:
        """A timer on the monotonic clock: a jump of ROS time does not stall it."""
        return self.create_timer(period_s, callback, clock=self._steady)

    def steady_loop(self, rate_hz: float, tick: Callable[[int, Metronome], None]) -> Metronome:
        """Call `tick(monotonic_ns, metronome)` at `rate_hz` in a thread of its own, with absolute wake-ups."""
        metronome = Metronome(round(NS / rate_hz), time.monotonic_ns())

        def loop() -> None:
            while not _stop.is_set():
                wait_ns = metronome.next_ns - time.monotonic_ns()
                if wait_ns > 0:
                    time.sleep(wait_ns / NS)
                now_ns = time.monotonic_ns()
                metronome.tick(now_ns)
                tick(now_ns, metronome)

        thread = threading.Thread(target=_guarded(loop), name=f"{self.get_name()}-loop", daemon=True)
        self._loops.append(thread)
        return metronome

    def own_loop(self, step: Callable[[], None]) -> None:
        """Call `step()` again and again, in a thread of its own, until the node ends. A step waits 0.1 s at most."""

        def loop() -> None:
            while not _stop.is_set():
                step()

        self._loops.append(threading.Thread(target=_guarded(loop), name=f"{self.get_name()}-own", daemon=True))

    def diagnostics(self, report: Callable[[], tuple[int, str, Mapping[str, object]]]) -> None:
        """Publish `report() -> (level, message, values)` on `diagnostics` once a second."""
        self.advertise("diagnostics")
        self._diagnose = report
        self.steady_timer(1.0, self._send_diagnostics)

    def _send_diagnostics(self) -> None:
        assert self._diagnose is not None
        level, message, values = self._diagnose()
        if self.priority:
            values = {**values, f"{self.priority} priority": self._no_priority or "yes"}
        values = {**values, **{f"unreadable {code}": count for code, count in self.unreadable.items()}}
        status = DiagnosticStatus(level=_LEVELS[level], name=self.get_name(), message=message,
                                  hardware_id=self.get_namespace())
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self.publisher("diagnostics").publish(array)

    def start_loops(self) -> None:
        """Start the node's own loops; called once, when everything is built."""
        if self.priority:
            self._no_priority = raise_priority() if self.priority == REAL_TIME else prefer()
            if self._no_priority:
                self.get_logger().warning(f"no {self.priority} priority: {self._no_priority}")
        # What exists now lives as long as the node: the collector need not look at it in every pass.
        gc.collect()
        gc.freeze()
        for thread in self._loops:
            thread.start()

    def close(self) -> None:
        """Let go of what the node holds besides ROS; called once, after the last callback."""


def _guarded(function: Callable[[], None]) -> Callable[[], None]:
    """An error in a loop ends the process: half-alive is worse than dead, which the others notice."""

    def run_guarded() -> None:
        try:
            function()
        except Exception:
            if not _stop.is_set():
                _failure.append(traceback.format_exc())
                _stop.set()

    return run_guarded


def _on_signal(_number: int, _frame: object) -> None:
    _stop.set()


def run(make: Callable[[], HumanoidNode]) -> int:
    """Node main: build, spin until Ctrl-C or SIGTERM, end cleanly.

    Exit code 0 after a signal, 1 after an error in a callback or loop, 2 when the configuration is refused
    (one line on stderr).
    """
    _stop.clear()
    _failure.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)
    # Two threads that wake 100 times a second each: hand the interpreter over sooner than every 5 ms.
    sys.setswitchinterval(0.0005)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node: HumanoidNode | None = None
    executor: SingleThreadedExecutor | None = None
    try:
        node = make()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.start_loops()
        while not _stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    except (RobotError, ParameterError) as error:
        print(f"refused: {error}", file=sys.stderr, flush=True)
        return 2
    except Exception:
        if not _stop.is_set():
            _failure.append(traceback.format_exc())
    finally:
        _stop.set()
        if node is not None:
            for thread in node._loops:
                if thread.is_alive():
                    thread.join(timeout=1.0)
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
        # Libraries in C++ complain about objects that outlive the interpreter.
        node = executor = None
        gc.unfreeze()
        gc.collect()
    if _failure:
        print(f"EXCEPTION: this node ends because of an error in the program\n{_failure[0]}", file=sys.stderr,
              flush=True)
        return 1
    return 0
