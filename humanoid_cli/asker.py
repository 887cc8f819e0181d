"""Gives the policy an instruction over the action `vla/follow_instruction` and listens for what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from humanoid_core.topics import ACTIONS
from humanoid_ros import qos


@dataclass(frozen=True)
class Answer:
    """What the policy itself says of the task."""

    success: bool
    reason_code: str
    detail: str
    seconds: float


class Asker:
    """`ask` once, `spin` often; `answer` is set when the policy has ended the task."""

    def __init__(self, context: Context, namespace: str = "") -> None:
        row = next(a for a in ACTIONS if a.name == "vla/follow_instruction")
        self._kind = qos.message_type(row.type)
        self._node = Node("asker", context=context, namespace=namespace, enable_rosout=False,
                          start_parameter_services=False)
        self._client = ActionClient(self._node, self._kind, row.name)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self.answer: Answer | None = None
        self.state, self.detail, self.progress = "", "", 0.0

    @property
    def ready(self) -> bool:
        return bool(self._client.server_is_ready())

    def spin(self) -> None:
        """Take what has come, without waiting."""
        self._executor.spin_once(timeout_sec=0.0)

    def ask(self, prompt: str, timeout: float) -> None:
        goal = self._kind.Goal(prompt=prompt, timeout=float(timeout))
        future = self._client.send_goal_async(goal, feedback_callback=self._on_feedback)
        future.add_done_callback(self._on_response)

    def _on_feedback(self, message: Any) -> None:
        feedback = message.feedback
        self.state, self.detail, self.progress = feedback.state, feedback.detail, feedback.progress

    def _on_response(self, future: Any) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            self.answer = Answer(False, "REFUSED", "the policy did not accept the goal", 0.0)
            return
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        result = future.result().result
        self.answer = Answer(bool(result.success), result.reason_code, result.detail, float(result.seconds))

    def close(self) -> None:
        self._executor.shutdown()
        self._client.destroy()
        self._node.destroy_node()
