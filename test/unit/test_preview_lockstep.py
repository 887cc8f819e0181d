"""A plan that leads into something is stopped because the twin expects it, before anything else would notice."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from humanoid_bench.lockstep import Lockstep
from humanoid_core.environment import load_environment
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import Array
from humanoid_core.timing import NS
from humanoid_core.types import GateStatus, JointCommand, Level, SafetyStatus
from safety_nodes.core.clearance import Clearance
from sim_nodes.core.plant import PlantParams
from vla_nodes.backends.base import Backend
from vla_nodes.core.policy import Decision, Observation

ROBOT = load_robot("g1")
UPPER = list(ROBOT.groups["upper_body"])
NAMES = tuple(ROBOT.joint_names[i] for i in UPPER)
TABLE = tuple((node, "environment", "table") for node in ("safety_monitor", "command_gate", "twin_sync"))
CLEARANCE = Clearance(ROBOT, load_environment("table"), 0.001)
ROWS, STEP = 50, 0.02

#: What the policy wants -> (joints, rad; what is expected of it). All ways are within the command limits.
INTO = {
    "hand into the pelvis": ({"left_shoulder_roll_joint": -0.3, "left_elbow_joint": 1.0}, "SELF_COLLISION"),
    "hand into the hip": ({"left_shoulder_yaw_joint": -1.2, "left_elbow_joint": 0.8}, "SELF_COLLISION"),
    "wrist into the table": ({"left_shoulder_pitch_joint": -0.4}, "ENVIRONMENT"),
}


class Into(Backend):
    """A minimum-jerk way from the posture at the start to a goal in 2.5 s, whatever happens; it looks at nothing.
    ``leap`` rad: instead, the elbow is asked to be there from one row to the next after 1 s."""

    policy_id, period, seconds = "into", 0.2, 2.5

    def __init__(self, joints: dict[str, float], leap: float = 0.0) -> None:
        self._joints, self._leap = joints, leap
        self._begun: tuple[int, Array] | None = None

    def start(self, instruction: str) -> None:
        self._begun = None

    def observe(self, observation: Observation) -> Decision:
        begun_ns, q = self._begun = self._begun or (observation.now_ns, observation.latest.position[UPPER].copy())
        goal = ROBOT.rest[UPPER].copy()
        for name, value in self._joints.items():
            goal[NAMES.index(name)] = value
        t = (observation.stamp_ns - begun_ns) / NS + STEP * np.arange(1, ROWS + 1)
        u = np.clip(t / self.seconds, 0.0, 1.0)[:, None]
        rows = q + u**3 * (10.0 - 15.0 * u + 6.0 * u * u) * (goal - q)
        if self._leap:
            rows = np.repeat(q[None, :], ROWS, axis=0)
            rows[:, NAMES.index("left_elbow_joint")] += np.where(t > 1.0, self._leap, 0.0)
        return Decision("acting", confidence=1.0, joint_names=NAMES, step_dt=STEP, positions=rows)


@dataclass
class Seen:
    """Everything that happened from the instruction until the arms had been stopped for a while."""

    statuses: list[tuple[int, SafetyStatus]] = field(default_factory=list)
    gates: list[tuple[int, GateStatus]] = field(default_factory=list)
    commands: list[tuple[int, JointCommand]] = field(default_factory=list)
    room: list[float] = field(default_factory=list)  # m beyond the margins, of the simulated body
    passing: bool = False


def play(policy: Into) -> Seen:
    seen = Seen()

    def stopped() -> bool:
        state = seen.gates[-1][1].state if seen.gates else ""
        seen.passing |= state == "passing"
        return seen.passing and state == "holding"

    with Lockstep(ROBOT, seed=1, plant=PlantParams(objects=""), policy=policy, settings=TABLE) as house:
        assert house.run(6.0, lambda: "safety/status" in house.newest
                         and house.newest["safety/status"].level == Level.SAFE)
        house.listen("safety/status", lambda value, now_ns: seen.statuses.append((now_ns, value)))
        house.listen("safety/gate", lambda value, now_ns: seen.gates.append((now_ns, value)))
        house.listen("robot/joint_command", lambda value, now_ns: seen.commands.append((now_ns, value)))
        house.listen("robot/joint_command", lambda value, now_ns: seen.room.append(
            min((c.distance - c.margin for c in CLEARANCE.near(house.plant.joints()[0])), default=CLEARANCE.cap)))
        house.instruct("go")
        assert house.run(5.0, stopped), "nothing stopped it"
        house.run(0.5)
    return seen


def expected(status: SafetyStatus, code: str) -> bool:
    """Whether the twin's expectation, and nothing else, made the level."""
    found = [v for v in status.violations if v.severity >= 0.5]
    return bool(found) and all(v.code == code and v.subject.startswith("expected: ") for v in found)


@pytest.mark.parametrize("what", INTO)
def test_it_is_stopped_before_the_collision_that_is_expected(what: str) -> None:
    seen = play(Into(*INTO[what][:1]))
    code = INTO[what][1]
    raised = next(status for _, status in seen.statuses if status.level >= Level.WARNING)
    assert expected(raised, code), "leave is lowered for what is still to come"
    assert raised.level == Level.WARNING, "the arms are slowed down first"
    halt_ns, halt = next((at, g) for at, g in seen.gates if g.state == "halting")
    assert halt.reason == "NO_PERMIT", "by the monitor, not by the gate's own look at distances"
    assert expected(next(status for at, status in seen.statuses if at >= halt_ns), code)
    assert min(seen.room) > 0.005, "nothing came near its margin"
    assert float(np.max(np.abs(seen.commands[-1][1].velocity))) == 0.0


def test_it_is_stopped_before_the_row_that_asks_for_more_than_a_joint_can_do() -> None:
    elbow = NAMES.index("left_elbow_joint")
    seen = play(Into({}, leap=1.0))
    raised = next(status for _, status in seen.statuses if status.level >= Level.WARNING)
    assert expected(raised, "LIMIT_RATE")
    assert next(g for _, g in seen.gates if g.state in ("halting", "holding") and g.reason == "NO_PERMIT")
    bent = np.array([command.position[elbow] for _, command in seen.commands])
    assert float(np.ptp(bent)) < 0.02, "the elbow stayed where it was"
