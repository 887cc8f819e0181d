"""vla_policy as a stage: the same session, gathering and execution, with looking and thinking in recorded time.

What an inference took cannot be replayed (it hangs on the machine), so every chunk is ready ``thinking`` seconds after
its look. An instruction that came by the action is not on a topic; it is taken from the recorded ``vla/status``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import ImageSample
from humanoid_replay.stages import Outputs
from humanoid_ros.params import ParameterError
from vla_nodes.backends.base import Backend
from vla_nodes.backends.make import make_backend
from vla_nodes.core.contract import ContractError
from vla_nodes.core.execution import ExecutionParams
from vla_nodes.core.gather import Gather, GatherParams
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Observation
from vla_nodes.core.postures import PostureError
from vla_nodes.core.session import Answer, Look, Session, SessionParams
from vla_nodes.core.steps import Steps
from vla_nodes.params import VlaParams

STATE, IMAGE, DEPTH, INFO = ("ingest/robot_state", "camera/head/image_raw", "camera/head/depth",
                             "camera/head/camera_info")
PERMIT, GATE, INSTRUCTION = "safety/permit", "safety/gate", "vla/instruction"
COMMAND, CHUNK, STATUS = "vla/joint_command", "vla/action_chunk", "vla/status"
#: From a look to its chunk, s: what the classical policy takes beside the graph on two cores.
THINKING = 0.08


class VlaStage:
    """``backend``: another one than the parameters name; ``thinking`` s from a look to its chunk."""

    name = "vla"
    inputs: tuple[str, ...] = (STATE, IMAGE, DEPTH, INFO, PERMIT, GATE, INSTRUCTION)
    required: tuple[str, ...] = (STATE, IMAGE, DEPTH, INFO)
    outputs = (CHUNK, COMMAND, STATUS)
    #: Made by this stage, and yet heard as it was recorded.
    recorded = (STATUS,)

    def __init__(self, robot: RobotModel, params: VlaParams, backend: Backend | None = None) -> None:
        p, self.robot = params, robot
        try:
            self.backend = backend or make_backend(p.backend, robot, p.policy, p.server)
        except (PostureError, ContractError) as error:
            raise ParameterError(f"vla_policy: backend = '{p.backend}': {error}") from None
        self.session = Steps(Session(
            robot, self.backend.policy_id, self.backend.period,
            SessionParams(p.timeout, p.patience, p.settle, p.permit_age, p.resumes),
            ExecutionParams(fade=p.fade, hold=p.hold, max_age=p.max_age, ensemble=p.ensemble)))
        self.gather = Gather(robot.n, self.backend.gather(GatherParams(p.picture_age, p.state_age, p.skew)))
        self.thinking = THINKING
        self._thinking: tuple[int, Answer] | None = None
        self._told = ""

    def on(self, topic: str, value: Any, now_ns: int, sender: bytes = b"") -> Outputs:
        if value is None:
            return []
        if topic == STATE:
            self.gather.add_state(value)
        elif topic == PERMIT:
            self.session.hear_permit(value, now_ns)
        elif topic == GATE:
            self.session.hear_gate(value)
        elif topic == INSTRUCTION:
            self._told = value
            self.session.instruct(value, now_ns)
        elif topic == INFO:
            self.gather.set_intrinsics(np.array(value.k, dtype=np.float64).reshape(3, 3))
        elif isinstance(value, ImageSample):
            (self.gather.add_image if topic == IMAGE else self.gather.add_depth)(value)
        return []

    def on_recorded(self, topic: str, value: Any, now_ns: int) -> None:
        """The recorded status names an instruction that no topic gave."""
        if value is not None and value.instruction and value.instruction != self._told:
            self._told = value.instruction
            self.session.instruct(value.instruction, now_ns)

    def tick(self, now_ns: int, count: int) -> Outputs:
        out: Outputs = []
        if self._thinking is not None and now_ns >= self._thinking[0]:
            chunk = self.session.answer(self._thinking[1], now_ns)
            self._thinking = None
            out += [] if chunk is None else [(CHUNK, chunk)]
        command = self.session.tick(now_ns, now_ns)
        out += [] if command is None else [(COMMAND, command)]
        look = self.session.look(now_ns)
        if look is not None:
            answer = self._answer(look, now_ns)
            # what was refused, or not seen, is known at once
            later = now_ns + (round(self.thinking * NS) if answer.decision is not None else 10 * MS)
            self._thinking = later, answer
        if count % 10 == 0:
            out.append((STATUS, self.session.status(now_ns)))
        return out

    def refusals(self) -> dict[str, int]:
        return {f"vla_policy {code}": n for code, n in self.session.status(0).refusals}

    def _answer(self, look: Look, now_ns: int) -> Answer:
        if look.start:
            refusal = self.backend.start(look.instruction)
            if refusal is not None:
                return Answer(look, refused=refusal)
        seen = self.observe(look, now_ns)
        if isinstance(seen, Refusal):
            return Answer(look, missing=seen)
        decision = self.backend.observe(look.onto(seen))
        if isinstance(decision, Refusal):
            return Answer(look, missing=decision)
        return Answer(look, observation=seen, decision=decision, begin_ns=now_ns,
                      end_ns=now_ns + round(self.thinking * NS))

    def observe(self, look: Look, now_ns: int) -> Observation | Refusal:
        """What the policy gets to see for a look."""
        return self.gather.observe(now_ns, look.commanded, again=look.start)
