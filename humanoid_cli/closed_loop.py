"""A policy in closed loop with the simulated robot, in one process and in simulated time: no ROS, no waiting.

The same parts as in the graph, picture and joint state -> backend -> chunk -> execution core -> joint command
-> plant, with the time that looking and thinking take as a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import EMPTY, ActionChunk, Mode, RobotState, SimTruth
from sim_nodes.core.camera import Camera
from sim_nodes.core.judge import Judge, Verdict
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.truth import Truth
from vla_nodes.backends.base import Backend
from vla_nodes.core.execution import Execution
from vla_nodes.core.instruction import Task, parse
from vla_nodes.core.policy import Decision, Observation

TICK_NS = 10 * MS


@dataclass(frozen=True)
class LoopParams:
    """``delay`` s from capture to chunk; ``depth_noise`` m; ``timeout`` s of simulated time."""

    delay: float = 0.08
    depth_noise: float = 0.0
    timeout: float = 40.0
    seed: int = 0


@dataclass
class Episode:
    """What happened: the policy's own view, and the truth 20 times a second for a judge."""

    instruction: str
    succeeded: bool = False  # the policy's own view
    verdict: Verdict | None = None  # the judge's, None when the instruction was refused
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0
    fallen: bool = False
    commands: int = 0
    refused: tuple[tuple[str, int], ...] = ()
    truth: list[SimTruth] = field(default_factory=list)
    max_velocity: float = 0.0
    contacts: set[tuple[str, str]] = field(default_factory=set)


class ClosedLoop:
    """One world; several instructions may follow one another."""

    def __init__(
        self, robot: RobotModel, backend: Backend, plant: PlantParams, params: LoopParams | None = None
    ) -> None:
        camera = robot.camera
        if camera is None:
            raise ValueError(f"robot '{robot.name}' has no camera, and a policy looks through one")
        self.robot, self.backend, self.params = robot, backend, params or LoopParams()
        self.plant = Plant(robot, plant)
        self.truth = Truth(self.plant)
        self.camera = Camera(self.plant.model, camera.name, camera.width, camera.height, camera.near, camera.far)
        self.execution = Execution(robot, source=backend.policy_id)
        self.k = camera.k
        self._rng = np.random.default_rng(self.params.seed)
        self._epoch = self._seq = 0
        self._judge: Judge | None = None
        self._start_ns = 1_000 * NS  # stamps are never zero

    def now_ns(self) -> int:
        return self._start_ns + self.plant.time_ns

    def close(self) -> None:
        self.camera.close()

    def state(self) -> RobotState:
        """The robot's state without noise."""
        p = self.plant
        zero = np.zeros(3)
        return RobotState(
            self.now_ns(), p.steps, p.data.qpos[p._qadr].copy(), p.data.qvel[p._vadr].copy(), p.data.ctrl.copy(),
            np.zeros(self.robot.n), np.array([1.0, 0.0, 0.0, 0.0]), zero, zero, np.zeros((2, 3)), 48.0, 1.0,
        )  # fmt: skip

    def observation(self) -> Observation:
        picture, state, now = self.camera.picture(self.plant.data), self.state(), self.now_ns()
        depth = picture.depth
        if self.params.depth_noise > 0.0:
            noise = self._rng.normal(0.0, self.params.depth_noise, depth.shape) * (depth > 0.0)
            depth = depth + noise.astype(np.float32)
        commanded = self.execution.commanded if self.execution.moving else None
        later = now + round(self.params.delay * NS)
        return Observation(now, later, picture.rgb, depth, self.k, state, state,
                           EMPTY if commanded is None else commanded)

    def run(self, instruction: str) -> Episode:
        """Follow one instruction until the policy has finished, it takes too long, or the robot falls."""
        episode = Episode(instruction)
        refusal = self.backend.start(instruction)
        if refusal is not None:
            episode.reason, episode.detail = refusal.code, refusal.detail
            return episode
        task = parse(instruction)
        if isinstance(task, Task):
            self._judge = Judge(self.robot, task.verb, task.thing, task.hand)
        self._epoch += 1
        self.execution.begin(self._epoch, self.state().position, self.now_ns())
        self.plant.set_mode(Mode.RUN)
        begin = self.now_ns()
        look_ns, pending = begin, None
        while self.now_ns() - begin < self.params.timeout * NS and not episode.fallen:
            if self.now_ns() >= look_ns and pending is None:
                observation = self.observation()
                pending = observation.now_ns, observation.stamp_ns, self.backend.observe(observation)
                look_ns = self.now_ns() + round(self.backend.period * NS)
            if pending is not None and self.now_ns() >= pending[0]:
                decision, pending = pending[2], self._deliver(pending[1], pending[2], instruction)
                if decision.succeeded and not episode.succeeded:
                    episode.succeeded, episode.seconds = True, (self.now_ns() - begin) / NS
                if decision.reason_code and not episode.reason:
                    episode.reason, episode.detail = decision.reason_code, decision.detail
                if decision.finished:
                    break
            self._step(episode)
        else:
            episode.reason = episode.reason or "TIMEOUT"
        episode.seconds = episode.seconds or (self.now_ns() - begin) / NS
        episode.refused = self.execution.refused.items()
        episode.verdict = None if self._judge is None else self._judge.verdict()
        return episode

    def _deliver(self, stamp_ns: int, decision: Decision, instruction: str) -> None:
        if not len(decision.positions):
            return
        self._seq += 1
        self.execution.accept(
            ActionChunk(
                stamp_ns, self._seq, self._epoch, self.backend.policy_id, instruction, decision.joint_names,
                decision.step_dt, decision.positions, decision.confidence,
            ),
            self.now_ns(),
        )  # fmt: skip

    def _step(self, episode: Episode) -> None:
        """One tick of 10 ms, and 20 times a second a look at the truth."""
        command = self.execution.tick(self.now_ns())
        if command is not None:
            episode.commands += 1
            episode.max_velocity = max(episode.max_velocity, float(np.max(np.abs(command.velocity))))
            self.plant.command(command)
        self.plant.step(TICK_NS // self.plant.dt_ns)
        if self.plant.steps % 25 < 5:
            truth = self.truth.read()
            episode.truth.append(truth)
            episode.contacts |= {(a, b) for a, b, _ in self.truth.contacts()}
            episode.fallen = truth.fallen
            if self._judge is not None:
                self._judge.feed(truth)
