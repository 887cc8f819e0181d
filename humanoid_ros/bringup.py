"""Brings the nodes of a graph up in order and down in reverse, over their lifecycle services.

Every node is configured as soon as it answers, all of them at once, so that a slow one holds up nobody. A node is
activated when those that the graph names in its ``after`` are active, or will never be; so gate and monitor wait for
no policy. When everything is active the thread sleeps, until a node is started anew or the graph comes down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from humanoid_core.graph import Graph, NodeSpec
from humanoid_ros.watcher import own_context

PERIOD = 0.02  # s between two looks while something comes up
PATIENCE = 0.6  # s until an answer counts as lost, or late, and the state is asked for again
DOWN_PATIENCE = 0.4  # s for one node to come to rest

#: ``tell(node, text)``: 'active', or why it never will be.
Tell = Callable[[str, str], None]
ACTIVE, REFUSED = "active", "refused"


class Phase(Enum):
    """How far a node has come."""

    ABSENT = "has not been started"
    UNKNOWN = "does not answer"
    UNCONFIGURED = "is being configured"
    INACTIVE = "is configured"
    ACTIVE = "is active"
    REFUSED = "refused"


@dataclass
class _Part:
    """One node and the one question to it that is open."""

    spec: NodeSpec
    change: Any
    state: Any
    phase: Phase = Phase.ABSENT
    future: Any = None
    answer: Callable[[Any], None] = field(default=lambda _: None)
    client: Any = None
    until: float = 0.0
    failed: int = 0  # the transition that was answered with no
    configuring: bool = False  # it was told to, and nothing was heard since: it has no time for questions

    @property
    def settled(self) -> bool:
        """Whether nobody need wait for it (any more)."""
        gone = self.phase in (Phase.ABSENT, Phase.REFUSED)
        return self.phase is Phase.ACTIVE or (gone and not self.spec.required)

    @property
    def coming(self) -> bool:
        return self.phase in (Phase.UNKNOWN, Phase.UNCONFIGURED, Phase.INACTIVE)

    def forget(self) -> None:
        if self.future is not None:
            self.client.remove_pending_request(self.future)
            self.future = None


class Bringup:
    """``tell`` is called in this object's thread. ``begin`` and ``ended`` say what happens to the processes."""

    def __init__(self, graph: Graph, namespace: str, tell: Tell, domain: int | None = None) -> None:
        self._tell = tell
        self._context = own_context(domain)
        self._node = Node(f"bringup_{time.monotonic_ns() % 1_000_000}", context=self._context, enable_rosout=False,
                          start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        prefix = f"/{namespace.strip('/')}" if namespace.strip("/") else ""
        self._parts = {
            spec.name: _Part(spec, self._node.create_client(ChangeState, f"{prefix}/{spec.name}/change_state"),
                             self._node.create_client(GetState, f"{prefix}/{spec.name}/get_state"))
            for spec in graph.nodes if spec.managed}
        self._lock = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="bringup", daemon=True)
        self._thread.start()

    def begin(self, node: str) -> None:
        """This node's process was started; bring it up."""
        self._put(node, Phase.UNKNOWN)

    def ended(self, node: str) -> None:
        """This node's process has ended."""
        self._put(node, Phase.ABSENT)

    def waiting(self) -> list[str]:
        """What is not active yet, for people: 'vla_policy does not answer'."""
        with self._lock:
            return [f"{name} {self._why(part)}" for name, part in self._parts.items() if part.coming]

    def down(self, seconds: float) -> list[str]:
        """Deactivate in reverse order, within ``seconds``. Returns who did not come to rest when asked."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join(timeout=5.0)
        if self._thread.is_alive():
            return [name for name, part in self._parts.items() if part.phase is Phase.ACTIVE]
        until, restless = time.monotonic() + seconds, []
        for name, part in reversed(self._parts.items()):
            part.forget()
            if part.phase is Phase.ACTIVE and not self._deactivate(part, until):
                restless.append(name)
        return restless

    def close(self) -> None:
        """Let go of ROS; nothing else may be called afterwards."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join(timeout=5.0)
        self._executor.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    # --- the thread

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    self._lock.wait_for(lambda: self._closing or any(p.coming for p in self._parts.values()))
                    if self._closing:
                        return
                self._executor.spin_once(timeout_sec=PERIOD)
                with self._lock:
                    now = time.monotonic()
                    for part in self._parts.values():
                        self._look(part, now)
        except (ExternalShutdownException, ShutdownException):
            return

    def _look(self, part: _Part, now: float) -> None:
        """Take an answer, or ask the next question."""
        if not part.coming:
            return
        if part.future is not None and part.future.done():
            future, part.future = part.future, None
            part.answer(future.result())
        elif part.future is not None and now > part.until:
            part.forget()
            part.phase = Phase.UNKNOWN
        elif part.future is None and part.phase is Phase.UNKNOWN:
            self._ask(part, part.state, GetState.Request(), lambda a: self._on_state(part, a))
        elif part.future is None and part.phase is Phase.INACTIVE and self._may_act(part):
            self._change(part, Transition.TRANSITION_ACTIVATE, Phase.ACTIVE)

    def _may_act(self, part: _Part) -> bool:
        others = (self._parts.get(name) for name in part.spec.after)
        return all(other is None or other.settled for other in others)

    def _why(self, part: _Part) -> str:
        if part.phase is not Phase.INACTIVE:
            phase = Phase.UNCONFIGURED if part.configuring and part.phase is Phase.UNKNOWN else part.phase
            return str(phase.value)
        return f"waits for {', '.join(n for n in part.spec.after if n in self._parts and not self._parts[n].settled)}"

    def _on_state(self, part: _Part, answer: Any) -> None:
        if answer is None:
            return
        state, failed = answer.current_state.id, part.failed
        part.configuring = state == State.PRIMARY_STATE_UNCONFIGURED
        if (state, failed) in ((State.PRIMARY_STATE_UNCONFIGURED, Transition.TRANSITION_CONFIGURE),
                               (State.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_ACTIVATE)):
            part.phase = Phase.REFUSED
            self._tell(part.spec.name, REFUSED)
        elif state == State.PRIMARY_STATE_UNCONFIGURED:
            part.phase = Phase.UNCONFIGURED
            self._change(part, Transition.TRANSITION_CONFIGURE, Phase.INACTIVE)
        elif state == State.PRIMARY_STATE_INACTIVE:
            part.phase = Phase.INACTIVE
        elif state == State.PRIMARY_STATE_ACTIVE:
            part.phase = Phase.ACTIVE
            self._tell(part.spec.name, ACTIVE)

    def _change(self, part: _Part, transition: int, goal: Phase) -> None:
        def answered(answer: Any) -> None:
            part.configuring = False
            if answer is None:
                part.phase = Phase.UNKNOWN
            elif answer.success:
                part.phase = goal
                if goal is Phase.ACTIVE:
                    self._tell(part.spec.name, ACTIVE)
            else:  # it refuses, or was asked before and the answer was late: its state tells
                part.phase, part.failed = Phase.UNKNOWN, transition

        request = ChangeState.Request(transition=Transition(id=transition))
        self._ask(part, part.change, request, answered)

    def _ask(self, part: _Part, client: Any, request: Any, answer: Callable[[Any], None]) -> None:
        if client.service_is_ready():
            part.client, part.answer = client, answer
            part.future, part.until = client.call_async(request), time.monotonic() + PATIENCE

    # --- other threads

    def _put(self, node: str, phase: Phase) -> None:
        with self._lock:
            part = self._parts.get(node)
            if part is not None:
                part.forget()
                part.phase, part.failed, part.configuring = phase, 0, False
                self._lock.notify()

    def _deactivate(self, part: _Part, until: float) -> bool:
        patience = min(DOWN_PATIENCE, until - time.monotonic())
        if patience <= 0.0 or not part.change.service_is_ready():
            return False
        future = part.change.call_async(
            ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE)))
        self._executor.spin_until_future_complete(future, timeout_sec=patience)
        answer = future.result() if future.done() else None
        return answer is not None and bool(answer.success)
