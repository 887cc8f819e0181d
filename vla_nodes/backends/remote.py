"""A policy under a contract, wherever it runs: the same deadline, checks and endings for every protocol."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from vla_nodes.backends.base import Backend
from vla_nodes.backends.wire import Link, Request, Wire, seconds_left
from vla_nodes.core.contract import Loaded, gather_params
from vla_nodes.core.gather import GatherParams
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.mapping import Mapping
from vla_nodes.core.policy import Decision, Observation


class Remote(Backend):
    """Observation -> request -> wire -> rows. ``make`` gives a new, unopened connection."""

    def __init__(self, loaded: Loaded, robot: RobotModel, make: Callable[[], Wire], where: str) -> None:
        self.policy_id, self.period = loaded.name, loaded.terms.period
        self._terms = loaded.terms
        self.mapping = Mapping(loaded, robot)
        self.link = Link(make, where)
        self._instruction = ""
        self._first = True
        self._begun_ns = self._rest_ns = 0

    def start(self, instruction: str) -> Refusal | None:
        if not instruction.strip():
            return Refusal("NOT_UNDERSTOOD", "an empty instruction")
        self._instruction, self._first = instruction, True
        self._begun_ns = self._rest_ns = 0
        self.mapping.forget()
        return None

    def observe(self, observation: Observation) -> Decision | Refusal:
        end = time.monotonic() + self._terms.deadline
        inputs = self.mapping.inputs(observation)
        if isinstance(inputs, Refusal):
            return inputs
        request = Request(inputs, self._instruction, self._first, self.mapping.prefix(observation),
                          observation.stamp_ns)  # fmt: skip
        reply = self.link.ask(request, seconds_left(end))
        if isinstance(reply, Refusal):
            return reply
        rows = self.mapping.positions(reply, observation)
        if isinstance(rows, Refusal):
            return rows
        self._first = False
        return self._decide(rows, float(np.ravel(reply.get("confidence", 0.0))[0]), observation)

    def _decide(self, rows: Array, confidence: float, o: Observation) -> Decision:
        """``confidence`` 0 when the policy gives none."""
        terms = self._terms
        self._begun_ns = self._begun_ns or o.now_ns
        still = float(np.max(np.ptp(rows, axis=0))) <= terms.steady.move
        self._rest_ns = (self._rest_ns or o.now_ns) if still else 0
        done = (terms.end == "steady" and still and o.now_ns - self._begun_ns >= terms.steady.least * NS
                and o.now_ns - self._rest_ns >= terms.steady.time * NS)  # fmt: skip
        confidence = min(max(confidence, 0.0), 1.0) if np.isfinite(confidence) else 0.0
        state, detail = ("done", "the policy has come to rest") if done else ("acting", "following the policy")
        return Decision(state, "", detail, 1.0 if done else 0.0, confidence, self.mapping.joints, terms.step, rows,
                        succeeded=done, finished=done)  # fmt: skip

    def gather(self, params: GatherParams) -> GatherParams:
        return gather_params(self.mapping.loaded, params)

    def close(self) -> None:
        self.link.close()
