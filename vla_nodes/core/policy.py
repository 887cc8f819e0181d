"""What a policy gets to see and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from humanoid_core.types import Array, RobotState


@dataclass(frozen=True)
class Observation:
    """One look at the world.

    ``stamp_ns`` capture time of the oldest part; ``now_ns`` when it is handed over; ``image`` uint8[h, w, 3];
    ``depth`` float32[h, w] m; ``k`` (3, 3); ``state`` the robot when the picture was taken, ``latest`` the
    newest; ``commanded`` the set-points of the ``upper_body`` joints in mid-motion, empty when it stands still;
    ``image_ns`` capture time of the picture (0: ``stamp_ns``); ``following_ns`` stamp of the chunk that is being
    followed (0: none); ``lead`` s from an observation to where its chunk is followed from, as measured.
    """

    stamp_ns: int
    now_ns: int
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    k: Array
    state: RobotState
    latest: RobotState
    commanded: Array = field(default_factory=lambda: np.zeros(0))
    image_ns: int = 0
    following_ns: int = 0
    lead: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What a policy wants. ``state``: looking, acting, done, failed or refused. ``positions`` [steps, joints]
    for the observation's stamp + (k + 1) step_dt, empty for no motion. ``succeeded``: the task is fulfilled as
    far as the policy can tell, though it may still be on its way back. ``finished``: nothing more will come."""

    state: str
    reason_code: str = ""
    detail: str = ""
    progress: float = 0.0
    confidence: float = 0.0
    joint_names: tuple[str, ...] = ()
    step_dt: float = 0.02
    positions: Array = field(default_factory=lambda: np.zeros((0, 0)))
    succeeded: bool = False
    finished: bool = False
