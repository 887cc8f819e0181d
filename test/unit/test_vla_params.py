"""What a policy may not look at, and a policy that fails."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from unit.policy_world import observation

from vla_nodes.backends.base import Backend
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision, Observation
from vla_nodes.core.session import Answer, Look
from vla_nodes.worker import Worker

ROOT = Path(__file__).resolve().parents[2]


def test_no_policy_looks_at_the_truth() -> None:
    for file in (ROOT / "vla_nodes").rglob("*.py"):
        text = file.read_text()
        assert "sim/" not in text, f"{file.name} names a topic of the simulator"
        assert "sim_nodes" not in text, f"{file.name} imports the simulator"


class Scripted(Backend):
    """Refuses, answers, or raises."""

    policy_id = "scripted"

    def __init__(self) -> None:
        self.closed = False

    def start(self, instruction: str) -> Refusal | None:
        return Refusal("NOT_UNDERSTOOD", "no") if instruction == "refuse" else None

    def observe(self, observation: Observation) -> Decision:
        raise RuntimeError("weights are missing")

    def close(self) -> None:
        self.closed = True


def test_a_policy_that_raises_is_an_answer_not_the_end_of_the_node() -> None:
    answers: list[Answer] = []
    logged: list[str] = []
    arrived = threading.Event()

    def deliver(answer: Answer) -> None:
        answers.append(answer)
        arrived.set()

    gather = SimpleNamespace(observe=lambda now, commanded, again: observation())
    eyes = SimpleNamespace(take=lambda mono: None, gather=gather)
    backend = Scripted()
    worker = Worker(backend, eyes, lambda: 5, lambda: 6, deliver, logged.append)  # type: ignore[arg-type]
    for instruction, code in (("go", "EXCEPTION"), ("refuse", "NOT_UNDERSTOOD"), ("go", "EXCEPTION")):
        arrived.clear()
        worker.offer(Look(1, instruction, True, np.zeros(0)))
        assert arrived.wait(10.0)
        assert answers[-1].refused is not None
        assert answers[-1].refused.code == code
    assert "weights are missing" in logged[0]
    worker.close()
    assert backend.closed
