"""What every policy backend offers, whether it computes here or asks a server."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vla_nodes.core.gather import GatherParams
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision, Observation


class Backend(ABC):
    """One policy. All calls come from one worker thread, one at a time; what is decided depends on no clock.

    ``start`` begins a task from the robot's present posture: a new instruction, or the same one after motion
    was interrupted. ``observe`` may take its time; what it returns is checked like any other input, and an
    answer that comes too late is dropped.
    """

    #: Stands in every chunk.
    policy_id: str = ""
    #: Shortest time between two observations, s.
    period: float = 0.2

    @abstractmethod
    def start(self, instruction: str) -> Refusal | None:
        """Take an instruction; a refusal says why this policy cannot follow it."""

    @abstractmethod
    def observe(self, observation: Observation) -> Decision | Refusal:
        """Look and decide. A refusal is an outage: no answer this time, and why; it does not end the task."""

    def forget(self) -> None:  # noqa: B027 - most remember nothing between two tasks
        """Forget what was seen: from here on it is another world."""

    def gather(self, params: GatherParams) -> GatherParams:
        """What observations must be like for this policy; ``params`` are the node's."""
        return params

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of sockets, processes and memory."""
