"""The thread in which a policy looks and thinks, so that the 100 Hz loop never waits for it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from humanoid_core.robot_model import RobotModel
from humanoid_ros.inbox import Inbox
from humanoid_ros.node import HumanoidNode
from vla_nodes.backends.base import Backend
from vla_nodes.core.gather import Gather, GatherParams
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.session import Answer, Look

_STATES = 60  # at 200 Hz: the last 0.3 s, so that the joints of the picture's instant are among them


class Eyes:
    """Camera and robot state, taken when somebody looks: while nothing is to be done they cost nothing. What the policy
    does not look at is not listened to."""

    def __init__(self, node: HumanoidNode, robot: RobotModel, params: GatherParams) -> None:
        self.gather = Gather(robot.n, params)
        self._image = Inbox(node, "camera/head/image_raw")
        self._depth = Inbox(node, "camera/head/depth") if params.depth else None
        self._info = Inbox(node, "camera/head/camera_info", depth=1)
        self._state = Inbox(node, "ingest/robot_state", depth=_STATES)

    def take(self, mono_ns: int) -> None:
        """Take in what came since the last look."""
        for info in opened(self._info, mono_ns):
            self.gather.set_intrinsics(np.array(info.k, dtype=np.float64).reshape(3, 3))
        for image in opened(self._image, mono_ns):
            self.gather.add_image(image)
        for depth in opened(self._depth, mono_ns) if self._depth is not None else ():
            self.gather.add_depth(depth)
        for state in opened(self._state, mono_ns):
            self.gather.add_state(state)


def opened(inbox: Inbox, mono_ns: int) -> Iterator[Any]:
    """What came that can be read."""
    return (value for letter in inbox.take(mono_ns) if (value := letter.open()) is not None)


class Worker:
    """One look in flight, the newest wins. ``now`` is ROS time, ``mono`` the monotonic clock, both in ns."""

    def __init__(
        self,
        backend: Backend,
        eyes: Eyes,
        now: Callable[[], int],
        mono: Callable[[], int],
        deliver: Callable[[Answer], None],
        log: Callable[[str], None],
    ) -> None:
        self._backend, self._eyes, self._now, self._mono = backend, eyes, now, mono
        self._deliver, self._log = deliver, log
        self._wake = threading.Condition()
        self._slot: Look | None = None
        self._end = False
        self._thread = threading.Thread(target=self._run, name="vla_policy-worker", daemon=True)
        self._thread.start()

    def offer(self, look: Look) -> None:
        """Have something looked at; replaces what waits."""
        with self._wake:
            self._slot = look
            self._wake.notify()

    def close(self) -> None:
        with self._wake:
            self._end = True
            self._wake.notify()
        self._thread.join(timeout=2.0)
        self._backend.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._end or self._slot is not None)
                if self._end:
                    return
                look, self._slot = self._slot, None
            assert look is not None
            try:
                answer = self._look(look)
            except Exception:
                # a policy that fails must not take the node, and with it the smooth stop, down with it
                self._log(traceback.format_exc())
                detail = "the policy raised an error; the traceback is in the log"
                answer = Answer(look, refused=Refusal("EXCEPTION", detail))
            self._deliver(answer)

    def _look(self, look: Look) -> Answer:
        if look.start:
            refusal = self._backend.start(look.instruction)
            if refusal is not None:
                return Answer(look, refused=refusal)
        self._eyes.take(self._mono())
        begin = self._now()
        seen = self._eyes.gather.observe(begin, look.commanded, again=look.start)
        if isinstance(seen, Refusal):
            return Answer(look, missing=seen)
        decision = self._backend.observe(look.onto(seen))
        if isinstance(decision, Refusal):
            return Answer(look, missing=decision)
        return Answer(look, observation=seen, decision=decision, begin_ns=begin, end_ns=self._now())
