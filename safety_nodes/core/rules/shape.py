"""Every array of the robot state has one entry per joint; otherwise nothing in it can be told apart."""

from __future__ import annotations

from humanoid_core.types import RobotState
from safety_nodes.core.severity import DANGER
from safety_nodes.core.types import Finding, Tick


def well_formed(state: RobotState, n: int) -> bool:
    arrays = (state.position, state.velocity, state.effort, state.temperature)
    return all(a.shape == (n,) for a in arrays) and state.orientation.shape == (4,)


def check(x: Tick) -> list[Finding]:
    received = x.inputs.state
    if received is None or received.value is None or x.state is not None:
        return []
    return [Finding("WRONG_LENGTH", "ingest/robot_state", float(len(received.value.position)), float(x.robot.n),
                    DANGER)]
