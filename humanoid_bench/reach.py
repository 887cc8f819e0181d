"""A policy that looks at nothing: one seeded reach of both arms after another, for measurements that need motion."""

from __future__ import annotations

import mujoco
import numpy as np

from humanoid_core.kinematics import Kinematics
from humanoid_core.physics import build_spec
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from vla_nodes.backends.base import Backend
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.motion import Plan
from vla_nodes.core.policy import Decision, Observation

STEP, ROWS = 0.02, 50
#: How far a reach goes from the rest posture at most, rad; how far links stay apart on the way, m.
ARM, WAIST, CLEAR = 0.6, 0.12, 0.03


class RandomReach(Backend):
    """Minimum-jerk moves between random postures around the rest posture. Never finishes."""

    policy_id = "random_reach"
    period = 0.2

    def __init__(self, robot: RobotModel, seed: int = 0, pause: float = 0.2) -> None:
        self.robot, self._pause_ns = robot, round(pause * NS)
        self._rng = np.random.default_rng([seed, 0x5EAC])
        self._index = np.array(robot.groups["upper_body"], dtype=np.intp)
        self._names = tuple(robot.joint_names[i] for i in self._index)
        waist = set(robot.groups.get("waist", ()))
        self._span = np.array([WAIST if i in waist else ARM for i in self._index])
        model = build_spec(robot).compile()
        model.geom_margin[:] = 0.5 * CLEAR  # the margins of the two geoms of a pair are added
        self._kinematics = Kinematics(robot, model)
        self._plan: Plan | None = None

    def start(self, instruction: str) -> Refusal | None:
        self._plan = None
        return None

    def observe(self, observation: Observation) -> Decision:
        now = observation.now_ns
        if self._plan is None:
            posture = observation.latest.position.copy()
            if len(observation.commanded):
                posture[self._index] = observation.commanded
            self._plan = Plan(self.robot, posture, now)
        plan = self._plan
        plan.forget_before(now)
        if plan.end_ns + self._pause_ns < now + round(ROWS * STEP * NS):
            goal = plan.goal
            plan.then(self.target(goal), max(now, plan.end_ns + self._pause_ns))
        rows = plan.rows(observation.stamp_ns, STEP, ROWS)[:, self._index]
        return Decision("acting", confidence=1.0, joint_names=self._names, step_dt=STEP, positions=rows)

    def target(self, start: Array) -> Array:
        """A posture (n,) to which the straight way in joint space is free."""
        robot, index = self.robot, self._index
        for _ in range(50):
            goal = start.copy()
            goal[index] = np.clip(robot.rest[index] + self._span * self._rng.uniform(-1.0, 1.0, len(index)),
                                  robot.lower[index] + 0.1, robot.upper[index] - 0.1)
            if all(self._free(start + share * (goal - start)) for share in (0.2, 0.4, 0.6, 0.8, 1.0)):
                return goal
        back = start.copy()
        back[index] = robot.rest[index]
        return back

    def _free(self, posture: Array) -> bool:
        """Whether no two links that are no neighbours come closer than ``CLEAR``."""
        k = self._kinematics
        k.update(posture)
        mujoco.mj_collision(k.model, k.data)
        return int(k.data.ncon) == 0
