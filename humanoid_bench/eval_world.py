"""The world of one episode: the house in lockstep, the robot where it begins, and what disturbs it.

Disturbances are drawn from the episode's seed. light: lamps at 0.5 to 1.5 of their strength, tinted by up to 15 % a
channel, the directional one from another side. occlusion: a grey thing, 25 % of the picture wide and 35 % high, 0.3 m
before the lens, moves slowly to and fro across the picture. noise: see ``NOISY``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from humanoid_bench.eval_tasks import Spec
from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import ImageSample, Level, Mode, Permit
from sim_nodes.core.plant import Plant, PlantParams
from sim_nodes.core.sensors import Delivery, SensorParams
from vla_nodes.backends.base import Backend
from vla_nodes.core import postures
from vla_nodes.params import VlaParams

#: full: everything that runs on the robot; core: sensors, ingest and policy, whose set-points go straight to the robot.
HOUSES = {"full": ("ingest", "twin", "safety", "gate"), "core": ("ingest",)}
#: Six times the picture's noise, three times the depth's, five times the joints', one picture in ten lost.
NOISY = SensorParams(joint_position_noise=1e-3, joint_velocity_noise=25e-3, rgb_noise=12.0, depth_noise=4.5e-3,
                     delivery={"image": Delivery(0.01, 0.02, 0.1), "depth": Delivery(0.01, 0.02, 0.1)})
#: The thing before the lens: share of width and height, distance m, periods of its motion s, colour.
COVER, COVER_DISTANCE, COVER_PERIODS, COVER_COLOUR = (0.25, 0.35), 0.3, (7.0, 11.0), (110, 108, 104)
IMAGE, DEPTH = "camera/head/image_raw", "camera/head/depth"


class House:
    """One robot that has been standing for a moment and may be told what to do."""

    def __init__(self, robot: RobotModel, spec: Spec, backend: Backend, kind: str, timeout: float) -> None:
        self.spec, self.kind = spec, kind
        params = VlaParams(timeout=timeout)
        sensors = NOISY if spec.split == "noise" else SensorParams()
        self.lockstep = Lockstep(robot, seed=spec.seed, plant=PlantParams(objects=spec.objects), sensors=sensors,
                                 policy=backend, stages=HOUSES[kind], vla=params)
        house = self.lockstep
        assert house.policy is not None
        self.policy = house.policy
        self.policy.thinking = spec.delay
        rng = np.random.default_rng([spec.seed, 0xE7A1])
        if spec.task.verb == "rest":
            side = "left" if rng.random() < 0.5 else "right"
            house.plant.place(postures.arm(robot, robot.rest, side, postures.WAVE))
        if spec.split == "light":
            relight(house.plant, rng)
        if spec.split == "occlusion":
            cover = Cover(rng)
            house.filter(IMAGE, cover.image)
            house.filter(DEPTH, cover.depth)
        self.commands = "robot/joint_command" if kind == "full" else "vla/joint_command"
        if kind == "core":
            house.plant.set_mode(Mode.RUN)
            house.listen("vla/joint_command", lambda command, now_ns: house.plant.command(command) and None)
        self._permits = 0

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Advance; whether ``until()``, asked every 10 ms, said yes."""
        return self.lockstep.run(seconds, lambda: self._beat() or until())

    def _beat(self) -> bool:
        if self.kind == "core":  # nobody watches, so somebody must give leave
            self._permits += 1
            leave = Permit(self.lockstep.ros_ns, self._permits, Level.SAFE, 1.0, 0.03, True, False, 0)
            self.lockstep.say("safety/permit", leave, b"safety")
        return False

    def instruct(self, text: str) -> int:
        return self.policy.instruct(text, self.lockstep.now_ns)

    def close(self) -> None:
        self.lockstep.close()


def relight(plant: Plant, rng: np.random.Generator) -> None:
    """Other light: strength, colour and direction."""
    model = plant.model
    tint = rng.uniform(0.85, 1.15, 3)
    strength = rng.uniform(0.5, 1.5)
    model.vis.headlight.ambient[:] = np.clip(model.vis.headlight.ambient * strength * tint, 0.0, 1.0)
    model.vis.headlight.diffuse[:] = np.clip(model.vis.headlight.diffuse * strength * tint, 0.0, 1.0)
    model.light_diffuse[:] = np.clip(model.light_diffuse * rng.uniform(0.5, 1.5) * tint, 0.0, 1.0)
    angle = rng.uniform(0.0, 2.0 * math.pi)
    model.light_dir[:] = np.array([0.5 * math.cos(angle), 0.5 * math.sin(angle), -1.0]) / math.hypot(0.5, 1.0)


class Cover:
    """Something grey that moves about before the lens; the same place in picture and depth of one instant."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._phase = rng.uniform(0.0, 2.0 * math.pi, 2)

    def image(self, sample: ImageSample) -> ImageSample:
        return self._covered(sample, COVER_COLOUR)

    def depth(self, sample: ImageSample) -> ImageSample:
        return self._covered(sample, COVER_DISTANCE)

    def _covered(self, sample: ImageSample, value: Any) -> ImageSample:
        data = sample.data.copy()
        spans = []
        for size, share, period, phase in zip(data.shape[:2][::-1], COVER, COVER_PERIODS, self._phase, strict=True):
            where = 0.5 + 0.5 * math.sin(2.0 * math.pi * sample.stamp_ns / NS / period + phase)
            begin = round(where * (1.0 - share) * size)
            spans.append(slice(begin, begin + round(share * size)))
        data[spans[1], spans[0]] = value
        return replace(sample, data=data)
