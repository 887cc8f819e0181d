"""What tests of policies share: an observation of the G1, and a short wait for a link."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import wait_for

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.types import RobotState
from vla_nodes.backends.remote import Remote
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Decision, Observation

ROBOT = load_robot("g1")
T0 = 1000 * NS
POLICIES = Path(__file__).resolve().parents[2] / "config" / "policies"


def state(stamp_ns: int, position: np.ndarray | None = None) -> RobotState:
    n, z = ROBOT.n, np.zeros(3)
    q = ROBOT.rest.copy() if position is None else position
    return RobotState(stamp_ns, 1, q, np.zeros(n), np.zeros(n), np.zeros(n), np.array([1.0, 0, 0, 0]), z, z,
                      np.zeros((2, 3)), 48.0, 1.0)  # fmt: skip


def observation(now_ns: int = T0, age_ns: int = 0, position: np.ndarray | None = None, **fields: object) -> Observation:
    """A grey picture of the head camera's size with a bright corner, taken ``age_ns`` ago."""
    image = np.full((240, 320, 3), 90, np.uint8)
    image[:20, :20] = 255
    s = state(now_ns - age_ns, position)
    return Observation(now_ns - age_ns, now_ns, image, np.zeros((0, 0), np.float32), np.full((3, 3), np.nan), s, s,
                       image_ns=now_ns - age_ns, **fields)  # type: ignore[arg-type]


def ask(backend: Remote, **kwargs: object) -> Decision | Refusal:
    return backend.observe(observation(**kwargs))  # type: ignore[arg-type]


def answered(backend: Remote, patience: float = 20.0) -> Decision:
    """Ask until there is an answer, as the session does."""
    def once() -> Decision | None:
        got = ask(backend)
        return got if isinstance(got, Decision) else None

    return wait_for(once, patience, "an answer")


def refused(backend: Remote, code: str, patience: float = 20.0) -> Refusal:
    """Ask until it is refused for ``code``."""
    def once() -> Refusal | None:
        got = ask(backend)
        return got if isinstance(got, Refusal) and got.code == code else None

    return wait_for(once, patience, code)


def open_things() -> tuple[int, int]:
    """Threads and file descriptors of this process."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


Make = Callable[[], Remote]
