"""A policy under a contract, wherever it runs: the same deadline, checks and endings for every protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from vla_nodes.backends.base import Backend
from vla_nodes.backends.wire import Link, Request, Wire, seconds_left
from vla_nodes.core.contract import Loaded, gather_params
from vla_nodes.core.gather import GatherParams
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.mapping import Inputs
from vla_nodes.core.mapping import Mapping as Streams
from vla_nodes.core.policy import Decision, Observation


class Remote(Backend):
    """Observation -> request -> wire -> rows. ``make`` gives a new, unopened connection."""

    def __init__(self, loaded: Loaded, robot: RobotModel, make: Callable[[], Wire], where: str) -> None:
        self.policy_id, self.period = loaded.name, loaded.terms.period
        self._terms = loaded.terms
        self.mapping = Streams(loaded, robot)
        self.link = Link(make, where)
        self._instruction = ""
        self._first = True
        self._begun_ns = self._rest_ns = 0
        self._memory = self._blank()

    def start(self, instruction: str) -> Refusal | None:
        if not instruction.strip():
            return Refusal("NOT_UNDERSTOOD", "an empty instruction")
        self._instruction, self._first = instruction, True
        self._begun_ns = self._rest_ns = 0
        self._memory = self._blank()
        self.mapping.forget()
        return None

    def forget(self) -> None:
        self._memory = self._blank()
        self.mapping.forget()

    def observe(self, observation: Observation) -> Decision | Refusal:
        end = time.monotonic() + self._terms.deadline
        inputs = self.mapping.inputs(observation)
        if isinstance(inputs, Refusal):
            return inputs
        self._begun_ns = self._begun_ns or observation.now_ns
        request = Request(self._more(inputs, observation), self._instruction, self._first,
                          self.mapping.prefix(observation), observation.stamp_ns)  # fmt: skip
        reply = self.link.ask(request, seconds_left(end))
        if isinstance(reply, Refusal):
            return reply
        rows = self.mapping.positions(reply, observation)
        if isinstance(rows, Refusal):
            return rows
        kept = self._keep(reply)
        if kept is not None:
            return kept
        self._first = False
        confidence = _share(reply, "confidence", 0.0)
        return self._too_little(confidence, _share(reply, "understood", 1.0)) or self._decide(
            rows, confidence, observation)  # fmt: skip

    def _more(self, inputs: Inputs, o: Observation) -> Inputs:
        """The inputs with what is no stream: seconds since the task began, and the policy's own memory."""
        terms, more = self._terms, dict(inputs)
        if terms.elapsed:
            more[terms.elapsed] = np.array([(o.stamp_ns - self._begun_ns) / NS], dtype=np.float32)
        if terms.memory is not None:
            more[terms.memory.key] = self._memory
        return more

    def _blank(self) -> NDArray:
        memory = self._terms.memory
        return np.zeros(memory.size if memory is not None else 0, dtype=np.float32)

    def _keep(self, reply: Mapping[str, object]) -> Refusal | None:
        """Remember what the policy wants to be told next time, or say what is wrong with it."""
        memory = self._terms.memory
        if memory is None:
            return None
        value = np.asarray(reply.get(memory.key, ()), dtype=np.float32)
        if value.shape != (memory.size,) or not np.all(np.isfinite(value)):
            return Refusal("BAD_REPLY", f"'{memory.key}' has shape {value.shape}, the contract says {memory.size} "
                           "finite numbers")  # fmt: skip
        self._memory = value
        return None

    def _too_little(self, confidence: float, understood: float) -> Decision | Refusal | None:
        """What is done about an answer that is not worth enough."""
        least = self._terms.least
        if not understood >= least.understood:
            text = f"the policy does not know such a task: understood {understood:.2f} of {least.understood}"
            return Decision("refused", "NOT_UNDERSTOOD", text, confidence=min(understood, 1.0), finished=True)
        if not confidence >= least.confidence:
            text = f"the policy is not sure enough: confidence {confidence:.2f} of {least.confidence}"
            return Refusal("NOT_FOUND", text)
        return None

    def _decide(self, rows: Array, confidence: float, o: Observation) -> Decision:
        """``confidence`` 0 when the policy gives none."""
        terms = self._terms
        still = float(np.max(np.ptp(rows, axis=0))) <= terms.steady.move
        self._rest_ns = (self._rest_ns or o.now_ns) if still else 0
        done = (terms.end == "steady" and still and o.now_ns - self._begun_ns >= terms.steady.least * NS
                and o.now_ns - self._rest_ns >= terms.steady.time * NS)  # fmt: skip
        state, detail = ("done", "the policy has come to rest") if done else ("acting", "following the policy")
        return Decision(state, "", detail, 1.0 if done else 0.0, confidence, self.mapping.joints, terms.step, rows,
                        succeeded=done, finished=done)  # fmt: skip

    def gather(self, params: GatherParams) -> GatherParams:
        return gather_params(self.mapping.loaded, params)

    def close(self) -> None:
        self.link.close()


def _share(reply: Mapping[str, object], key: str, default: float) -> float:
    """A number of 0 to 1 in an answer; one that is not finite counts as 0."""
    value = float(np.ravel(np.asarray(reply.get(key, default), dtype=np.float64))[0])
    return min(max(value, 0.0), 1.0) if np.isfinite(value) else 0.0
