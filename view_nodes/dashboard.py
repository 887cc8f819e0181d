"""dashboard: a live page. Ten times a second it reads what is newest, and shows it if anybody looks."""

from __future__ import annotations

import os
import queue
import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.action import ActionClient

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.topics import ACTIONS, SERVICES
from humanoid_core.types import RobotState, SafetyStatus, TwinState, TwinStatus
from humanoid_ros import qos
from humanoid_ros.convert import from_bytes
from humanoid_ros.head import stamp_ns
from humanoid_ros.node import OK, HumanoidNode, run
from humanoid_ros.params import ParameterError, declare
from humanoid_ros.polled import Polled
from view_nodes.core.board import Board
from view_nodes.core.plots import Minute
from view_nodes.core.stop import StopButton
from view_nodes.machine_reader import Nodes, cores
from view_nodes.page import Page, PageError, listen
from view_nodes.page_acts import Controls, Deeds
from view_nodes.params import DashboardParams

TOKEN = "HUMANOID_TWIN_TOKEN"
PERIOD = 0.1
#: Of the looks, every so-manyth does this.
WORDS_EACH, SAMPLE_EACH, PLOTS_EACH, MACHINE_EACH = 2, 2, 10, 20
NEWEST = ("safety/status", "safety/gate", "vla/status", "twin/state")
EVENTS, STATES, COMMANDS, CAMERA = "safety/events", "ingest/robot_state", "robot/joint_command", "camera/head/image_raw"
DEPTH = 250
INSTRUCTION_TIMEOUT = 60.0


class Dashboard(HumanoidNode):
    """Topics -> board, plots and scene; with ``act`` also what a viewer asks for -> topics."""

    def __init__(self) -> None:
        super().__init__("dashboard")
        self.params = declare(self, DashboardParams)

    def configure(self) -> None:
        """Build everything."""
        p = self.params
        robot = load_robot(p.robot)
        self.board, self.minute = Board(), Minute()
        self._newest = [Polled(self, topic, depth=1) for topic in NEWEST]
        self._events, self._camera = Polled(self, EVENTS), Polled(self, CAMERA, depth=1)
        self._states = Polled(self, STATES, depth=DEPTH)
        self._commands = Polled(self, COMMANDS, depth=DEPTH)
        self._nodes, self._used = Nodes(self.get_namespace()), (0, 0.0)
        self._looks, self._next_picture_ns, self._answer = 0, 0, ""
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        try:
            server = listen(p.host, p.port, f"humanoid_twin {self.get_namespace().strip('/')}".strip())
        except PageError as error:
            raise ParameterError(f"dashboard: port = {p.port}: {error}") from None
        self.page = Page(server, robot)
        self._stop_button: StopButton | None = None
        if p.act:
            self._offer_deeds(server)
        self.diagnostics(self._report)
        self.steady_timer(PERIOD, self._look)
        self.get_logger().info(f"http://{p.host}:{p.port}{'' if p.act else ' (tells only)'}")

    # --- what it tells

    def _look(self) -> None:
        now_ns = time.monotonic_ns()
        self._looks += 1
        self._act()
        for source in (*self._newest, self._events):
            for value in source.read():
                self.board.hear(source.topic, value, now_ns)
        newest: bytes | None = None
        for newest, info in self._states.take_with_info():
            self.minute.latency.state(info["source_timestamp"], stamp_ns(newest))
        if newest is not None:
            self._hear_state(newest, now_ns)
        for data, info in self._commands.take_with_info():
            self.minute.command(info["source_timestamp"], stamp_ns(data))
        if self._looks % SAMPLE_EACH == 0:
            self.minute.sample(self._twin(now_ns), now_ns)
        if self._looks % MACHINE_EACH == 0:
            self._sample_machine(now_ns)
        if self.page.viewers:
            with self.page.server.atomic():
                self._show(now_ns)

    def _hear_state(self, data: bytes, now_ns: int) -> None:
        try:
            self.board.hear(STATES, from_bytes(data, self._states.kind), now_ns)
        except ValueError as error:
            self.unreadable.refuse("OUT_OF_RANGE", f"{STATES}: {error}")

    def _twin(self, now_ns: int) -> TwinState | None:
        twin: TwinState | None = self.board.newest("twin/state", now_ns)
        return twin if twin is not None and twin.status != TwinStatus.WAITING else None

    def _show(self, now_ns: int) -> None:
        twin, state = self._twin(now_ns), self.board.newest("ingest/robot_state", now_ns)
        self._show_bodies(twin, state)
        if self._looks % WORDS_EACH == 0:
            self.page.show_words(self.board.as_html(now_ns, self._answer), self.board.events_html())
        if self._looks % PLOTS_EACH == 0:
            self.page.show_plots({n: curves.arrays(now_ns) for n, curves in self.minute.curves.items()})
        if now_ns >= self._next_picture_ns:
            self._next_picture_ns = now_ns + round(NS / self.params.picture_rate)
            for picture in self._camera.read():
                if picture.data.ndim == 3:
                    self.page.show_picture(np.asarray(picture.data, np.uint8))

    def _show_bodies(self, twin: TwinState | None, state: RobotState | None) -> None:
        """Where the robot stands is the twin's word; without it the robot stays where it was last."""
        if twin is None or not np.isfinite(twin.position).all():
            return
        base, quat = twin.base_position, twin.base_orientation
        if state is not None and np.isfinite(state.position).all():
            self.page.show_robot(state.position, base, quat)
        self.page.show_ghost(twin.position, base, quat, twin.com, twin.capture_point, self.params.ghost_aside)

    def _sample_machine(self, now_ns: int) -> None:
        used = sum(process.cpu_s for process in self._nodes.use())
        (before_ns, before), self._used = self._used, (now_ns, used)
        share = (used - before) * NS / (now_ns - before_ns) if before_ns else float("nan")
        self.minute.processor(share if share >= 0.0 else float("nan"), cores(), now_ns)

    # --- what it does for who has the token

    def _offer_deeds(self, server: Any) -> None:
        token = os.environ.get(TOKEN, "")
        if not token:
            token = secrets.token_urlsafe(12)
            self.get_logger().info(f"token: {token}")
        # Its own for each page of a computer; a page that is started again takes over what it left.
        self._stop_button = StopButton(f"page_{self.params.port}")
        self.advertise("safety/estop")
        action = next(a for a in ACTIONS if a.name == "vla/follow_instruction")
        self._goal_kind = qos.message_type(action.type)
        self._policy = ActionClient(self, self._goal_kind, action.name)
        reset = next(s for s in SERVICES if s.name == "safety/reset")
        self._reset_kind = qos.message_type(reset.type)
        self._reset_client = self.create_client(self._reset_kind, reset.name)
        put = self._asked.put
        self._controls = Controls(server, token, Deeds(
            instruct=lambda text: put(lambda: self._instruct(text)), stop=lambda: put(self._press),
            release=lambda name: put(lambda: self._release(name))))

    def _act(self) -> None:
        """In the node's own thread: what was asked for since the last look, and the stop source's heartbeat."""
        while True:
            try:
                deed = self._asked.get_nowait()
            except queue.Empty:
                break
            deed()
        if self._stop_button is None:
            return
        status: SafetyStatus | None = self.board.newest("safety/status", time.monotonic_ns())
        beat, operator = self._stop_button.look(self.now_ns(), status.estop_latched if status is not None else None)
        if beat is not None:
            self.send("safety/estop", beat)
        if operator:
            self._reset(operator)

    def _say(self, text: str) -> None:
        self._answer = text
        self.get_logger().info(f"page: {text}")

    def _press(self) -> None:
        assert self._stop_button is not None
        self._stop_button.press()
        self._say("stop pressed")

    def _release(self, operator: str) -> None:
        assert self._stop_button is not None
        self._stop_button.release(operator)
        self._say("stop released")

    def _reset(self, operator: str) -> None:
        if not self._reset_client.service_is_ready():
            self._say("no reset: safety_monitor does not answer")
            return
        request = self._reset_kind.Request(nonce=secrets.randbits(63), operator_name=operator)
        self._reset_client.call_async(request).add_done_callback(self._on_reset)

    def _on_reset(self, future: Any) -> None:
        answer = future.result()
        accepted = answer is not None and answer.accepted
        self._say("reset accepted; the robot moves again only on a new motion" if accepted else
                  f"no reset: {answer.reason if answer is not None else 'no answer'}")

    def _instruct(self, text: str) -> None:
        if not self._policy.server_is_ready():
            self._say("no policy takes instructions now")
            return
        self._say(f"asked: {text}")
        goal = self._goal_kind.Goal(prompt=text, timeout=INSTRUCTION_TIMEOUT)
        self._policy.send_goal_async(goal).add_done_callback(self._on_goal)

    def _on_goal(self, future: Any) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            self._say("the policy did not take the instruction")
            return
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        result = future.result().result
        word = "done" if result.success else f"{result.reason_code} {result.detail}"
        self._say(f"the policy says: {word}")

    def _report(self) -> tuple[int, str, dict[str, object]]:
        return OK, f"{self.page.viewers} viewers", {"may act": self.params.act}

    def close(self) -> None:
        self.page.server.stop()


def main() -> int:
    return run(Dashboard)


if __name__ == "__main__":
    raise SystemExit(main())
