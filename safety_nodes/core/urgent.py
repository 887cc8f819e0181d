"""What cannot wait for the next tick: a pressed stop (or what cannot be read of one), and a state past a limit of which
every single sample counts.

The monitor looks at these between its ticks and ticks at once when there is one; everything is judged then as always.
"""

from __future__ import annotations

from collections.abc import Iterable

from humanoid_core.robot_model import RobotModel
from humanoid_core.types import EStopState, Level, RobotState
from safety_nodes.core.config import MonitorConfig
from safety_nodes.core.memory import Memory
from safety_nodes.core.rules import joint_position, non_finite, shape
from safety_nodes.core.severity import DANGER
from safety_nodes.core.types import Inputs, Received, Tick

#: Rules that look at one state alone and need no second sample (1 of 1 in ``rules.RULES``).
HARD = (shape.check, non_finite.check, joint_position.check)


def urgent(state: Received[RobotState] | None, beats: Iterable[Received[EStopState]], now_ns: int, robot: RobotModel,
           config: MonitorConfig, memory: Memory) -> bool:
    """Whether the newest state or one of the heartbeats stops the arms. Where they are stopped already, nothing is."""
    if memory.latched:
        return False
    if any(beat.value is None or beat.value.pressed for beat in beats):
        return True
    if state is None or state.value is None or memory.raw_level >= Level.DANGER:
        return False
    whole = state.value if shape.well_formed(state.value, robot.n) else None
    tick = Tick(Inputs(0, state=state), now_ns, robot, config, memory, whole)
    return any(found.severity >= DANGER for check in HARD for found in check(tick))
