"""The life of a node as ROS 2 defines it for managed nodes: unconfigured, inactive, active, finalized.

What a node is made of is built when it is configured and let go when it is cleaned up; its loops run while it is
active. `ros2 lifecycle` works on every node. A node started alone configures and activates itself; with
``autostart: false`` it waits for a manager (`bringup`), which brings a whole graph up in order.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import State
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from humanoid_core.robot import RobotError
from humanoid_core.timing import NS, Metronome
from humanoid_ros.params import AUTOSTART, ParameterError
from humanoid_ros.params_files import with_origin
from humanoid_ros.realtime import REAL_TIME, prefer, raise_priority

SUCCESS, FAILURE, ERROR = (TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE,
                           TransitionCallbackReturn.ERROR)
#: The process is to end; every loop looks at it.
ending = threading.Event()
#: Tracebacks of errors in the program, the first one first.
failures: list[str] = []


class ManagedNode(LifecycleNode):
    """A subclass builds itself in ``configure`` and lets go in ``close``; the rest is the same for all."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        try:
            self.autostart = bool(self.declare_parameter(AUTOSTART, True, ParameterDescriptor(
                description="configure and activate by itself; false: wait for a manager", read_only=True)).value)
        except InvalidParameterTypeException:
            raise ParameterError(f"{name}: {AUTOSTART}: must be true or false") from None
        #: Read by loops and `send`: whether this node may act.
        self.active = False
        #: Why it could not be configured, '' when it could.
        self.refusal = ""
        #: Ask for it at the start, '' for none: `REAL_TIME`, `PREFERRED` (humanoid_ros/realtime.py).
        self.priority = ""
        self.no_priority = ""
        self._loops: list[tuple[Callable[[], None], str, bool]] = []  # (body, name, also while inactive)
        self._running: list[tuple[threading.Thread, bool]] = []
        self._paused, self._gone = threading.Event(), threading.Event()
        self._built: list[Callable[[], Any]] = []

    # --- what a subclass says

    def configure(self) -> None:
        """Build everything: topics, services, loops. RobotError and ParameterError refuse the configuration."""

    def activated(self) -> None:
        """Called before the loops begin."""

    def deactivated(self) -> None:
        """Called after the loops have come to rest."""

    def keeps(self) -> str:
        """Why it must not be cleaned up now, '' when it may."""
        return ""

    def close(self) -> None:
        """Let go of what the node holds besides ROS; called once for each ``configure``, after the last callback."""

    # --- loops

    def steady_loop(self, rate_hz: float, tick: Callable[[int, Metronome], None], while_inactive: bool = False,
                    look: Callable[[int], None] | None = None, looks: int = 0) -> Metronome:
        """Call `tick(monotonic_ns, metronome)` at `rate_hz` in a thread of its own, with absolute wake-ups, while the
        node is active; with ``while_inactive`` also before and after, as long as it is configured. Between two ticks
        call `look(monotonic_ns)` up to ``looks`` times, evenly."""
        metronome = Metronome(round(NS / rate_hz), time.monotonic_ns())
        rest, part_ns = self._gone if while_inactive else self._paused, metronome.period_ns // (looks + 1)

        def loop() -> None:
            metronome.next_ns = time.monotonic_ns() + metronome.period_ns
            while not (ending.is_set() or rest.is_set()):
                wait_ns = metronome.next_ns - time.monotonic_ns()
                if look is not None and wait_ns > 1.5 * part_ns:
                    time.sleep((wait_ns % part_ns or part_ns) / NS)
                    look(time.monotonic_ns())
                    continue
                if wait_ns > 0:
                    time.sleep(wait_ns / NS)
                now_ns = time.monotonic_ns()
                metronome.tick(now_ns)
                tick(now_ns, metronome)

        self._loops.append((loop, f"{self.get_name()}-loop", while_inactive))
        return metronome

    def own_loop(self, step: Callable[[], None], while_inactive: bool = False) -> None:
        """Call `step()` again and again, in a thread of its own, while the node is active (see ``steady_loop``).
        A step waits 0.1 s at most."""
        rest = self._gone if while_inactive else self._paused

        def loop() -> None:
            while not (ending.is_set() or rest.is_set()):
                step()

        self._loops.append((loop, f"{self.get_name()}-own", while_inactive))

    def _start(self, while_inactive: bool) -> None:
        for body, name, always in self._loops:
            if always == while_inactive:
                thread = threading.Thread(target=guarded(body), name=name, daemon=True)
                self._running.append((thread, always))
                thread.start()

    def _rest(self, while_inactive: bool) -> None:
        """End the loops of one kind."""
        (self._gone if while_inactive else self._paused).set()
        for thread, always in self._running:
            if always == while_inactive and thread is not threading.current_thread():
                thread.join(timeout=1.0)
        self._running = [(thread, always) for thread, always in self._running if always != while_inactive]

    # --- transitions, in the executor's thread

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build; refuse with one line on stderr what cannot be used."""
        before = self._entities()
        self.refusal = ""
        try:
            self.configure()
        except (RobotError, ParameterError) as error:
            self.refusal = with_origin(str(error))
            print(f"refused: {self.refusal}", file=sys.stderr, flush=True)
            self._destroy(before)
            return FAILURE
        except Exception:
            return self._fail()
        self._built = [entity for entity in self._entities() if entity not in before]
        self._paused.clear()
        self._gone.clear()
        self._settle()
        self._start(while_inactive=True)
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin."""
        self._paused.clear()
        self.active = True
        try:
            self.activated()
        except Exception:
            return self._fail()
        self._start(while_inactive=False)
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Come to rest; what is safe goes on (``while_inactive``)."""
        self.active = False
        self._rest(while_inactive=False)
        try:
            self.deactivated()
        except Exception:
            return self._fail()
        self.get_logger().info("came to rest")
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let everything go; it can be configured anew."""
        why = self.keeps()
        if why:
            self.get_logger().error(f"not cleaned up: {why}")
            return FAILURE
        self._let_go()
        self._destroy([entity for entity in self._entities() if entity not in self._built])
        gc.unfreeze()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End, and the process with it."""
        if state.state_id == State.PRIMARY_STATE_ACTIVE:
            self.on_deactivate(state)
        if state.state_id != State.PRIMARY_STATE_UNCONFIGURED:
            self._let_go()
        ending.set()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """An error in the program is not recovered from: the process ends."""
        return FAILURE

    def finish(self) -> None:
        """Shut down from whatever state it is in."""
        if self._state_machine.current_state[0] in (State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE,
                                                    State.PRIMARY_STATE_ACTIVE):
            self.trigger_shutdown()

    def _let_go(self) -> None:
        self.active = False
        self._rest(while_inactive=True)
        try:
            self.close()
        except Exception:
            self._fail()
        self._loops.clear()

    def _fail(self) -> TransitionCallbackReturn:
        failures.append(traceback.format_exc())
        ending.set()
        return ERROR

    def _settle(self) -> None:
        if self.priority:
            self.no_priority = raise_priority() if self.priority == REAL_TIME else prefer()
            if self.no_priority:
                self.get_logger().warning(f"no {self.priority} priority: {self.no_priority}")
        # What exists now lives as long as the node: the collector need not look at it in every pass.
        gc.collect()
        gc.freeze()

    def _entities(self) -> list[Any]:
        return [*self.publishers, *self.subscriptions, *self.clients, *self.services, *self.timers, *self.waitables]

    def _destroy(self, keep: list[Any]) -> None:
        """Everything of ROS but ``keep``."""
        for entities, destroy in ((self.timers, self.destroy_timer), (self.subscriptions, self.destroy_subscription),
                                  (self.publishers, self.destroy_publisher), (self.services, self.destroy_service),
                                  (self.clients, self.destroy_client), (self.waitables, lambda each: each.destroy())):
            for entity in list(entities):
                if entity not in keep:
                    destroy(entity)  # type: ignore[operator]
        self._loops.clear()


def guarded(function: Callable[[], None]) -> Callable[[], None]:
    """An error in a loop ends the process: half-alive is worse than dead, which the others notice."""

    def run_guarded() -> None:
        try:
            function()
        except Exception:
            if not ending.is_set():
                failures.append(traceback.format_exc())
                ending.set()

    return run_guarded
