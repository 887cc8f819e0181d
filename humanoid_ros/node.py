"""What every node shares: topics from the table, dataclasses in and out, a life in states, and a clean end."""

from __future__ import annotations

import gc
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from humanoid_core.reasons import Refusals
from humanoid_core.robot import RobotError
from humanoid_ros import qos
from humanoid_ros.convert import from_bytes, to_msg
from humanoid_ros.managed import ManagedNode, ending, failures
from humanoid_ros.params import ParameterError
from humanoid_ros.params_files import with_origin

OK, WARN, ERROR = 0, 1, 2
_LEVELS = {OK: DiagnosticStatus.OK, WARN: DiagnosticStatus.WARN, ERROR: DiagnosticStatus.ERROR}
#: s that a node with a manager, told to end by Ctrl-C, waits to be deactivated in its turn.
TURN = 2.0
_asked_at: list[float] = []


class HumanoidNode(ManagedNode):
    """A node that speaks dataclasses; a subclass adds a core and says which topics feed it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.unreadable = Refusals()
        self._publishers_by_topic: dict[str, Any] = {}
        self._while_inactive: set[str] = set()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
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

    def advertise(self, *names: str, while_inactive: bool = False) -> None:
        """Create the publishers of the table's topics `names` before the first message. What is sent while the node
        is not active is dropped, except on those said ``while_inactive``."""
        for name in names:
            row = qos.topic(name)
            publisher = self.create_publisher(qos.message_type(row.type), name, qos.profile(row))
            self._publishers_by_topic[name] = publisher
        if while_inactive:
            self._while_inactive.update(names)

    def send(self, name: str, value: Any) -> None:
        """Publish a dataclass on an advertised topic. May be called from the node's own loop threads."""
        if self.active or name in self._while_inactive:
            self._publishers_by_topic[name].publish(to_msg(value))

    def publisher(self, name: str) -> Any:
        """The rclpy publisher of an advertised topic, for messages that have no dataclass."""
        return self._publishers_by_topic[name]

    def steady_timer(self, period_s: float, callback: Callable[[], None], while_inactive: bool = False) -> Any:
        """A timer on the monotonic clock: a jump of ROS time does not stall it. It rests while the node is not
        active, unless ``while_inactive``."""

        def call() -> None:
            if self.active:
                callback()

        return self.create_timer(period_s, callback if while_inactive else call, clock=self._steady)

    def diagnostics(self, report: Callable[[], tuple[int, str, Mapping[str, object]]]) -> None:
        """Publish `report() -> (level, message, values)` on `diagnostics` once a second."""
        self.advertise("diagnostics", while_inactive=True)
        self._diagnose = report
        self.steady_timer(1.0, self._send_diagnostics, while_inactive=True)

    def _send_diagnostics(self) -> None:
        assert self._diagnose is not None
        level, message, values = self._diagnose()
        if not self.active:
            level, message = max(level, WARN), f"inactive; {message}"
        if self.priority:
            values = {**values, f"{self.priority} priority": self.no_priority or "yes"}
        values = {**values, **{f"unreadable {code}": count for code, count in self.unreadable.items()}}
        status = DiagnosticStatus(level=_LEVELS[level], name=self.get_name(), message=message,
                                  hardware_id=self.get_namespace())
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self.publisher("diagnostics").publish(array)

    def _destroy(self, keep: list[Any]) -> None:
        super()._destroy(keep)
        self._publishers_by_topic.clear()
        self._while_inactive.clear()


def _on_sigterm(_number: int, _frame: object) -> None:
    ending.set()


def _on_sigint(_number: int, _frame: object) -> None:
    if _asked_at:
        ending.set()
    _asked_at.append(time.monotonic())


def _is_over(node: HumanoidNode) -> bool:
    """Whether to end now. Ctrl-C reaches every process of a terminal at once; a node with a manager waits for its
    turn, so that a graph comes down in order."""
    if _asked_at and (node.autostart or not node.active or time.monotonic() - _asked_at[0] > TURN):
        ending.set()
    return ending.is_set()


def _live(node: HumanoidNode, executor: SingleThreadedExecutor) -> int:
    """From unconfigured to the end. Exit code 2 when it configures itself and is refused."""
    if node.autostart:
        node.trigger_configure()
        if node.refusal:
            return 2
        if not ending.is_set():
            node.trigger_activate()
    else:
        node.get_logger().info("unconfigured: waits for a manager")
    while not _is_over(node):
        executor.spin_once(timeout_sec=0.1)
    return 0


def run(make: Callable[[], HumanoidNode]) -> int:
    """Node main: build, spin until Ctrl-C or SIGTERM, end cleanly.

    Exit code 0 after a signal, 1 after an error in a callback or loop, 2 when the configuration is refused
    (one line on stderr).
    """
    ending.clear()
    failures.clear()
    _asked_at.clear()
    signal.signal(signal.SIGINT, _on_sigint)
    signal.signal(signal.SIGTERM, _on_sigterm)
    # Two threads that wake 100 times a second each: hand the interpreter over sooner than every 5 ms.
    sys.setswitchinterval(0.0005)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node: HumanoidNode | None = None
    executor: SingleThreadedExecutor | None = None
    code = 0
    try:
        node = make()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        code = _live(node, executor)
    except (RobotError, ParameterError) as error:
        print(f"refused: {with_origin(str(error))}", file=sys.stderr, flush=True)
        code = 2
    except Exception:
        if not ending.is_set():
            failures.append(traceback.format_exc())
    finally:
        ending.set()
        if node is not None:
            node.finish()
            node.destroy_node()
        rclpy.try_shutdown()
        # Who ends this node may say so more than once; from here on the interpreter would die of it.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        # Libraries in C++ complain about objects that outlive the interpreter.
        node = executor = None
        gc.unfreeze()
        gc.collect()
    if failures:
        print(f"EXCEPTION: this node ends because of an error in the program\n{failures[0]}", file=sys.stderr,
              flush=True)
        return 1
    return code
