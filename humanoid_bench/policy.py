"""vla_policy in the lockstep: the replay's stage, with a camera that is drawn when it is needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from humanoid_bench.reach import RandomReach
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import MS, NS
from humanoid_replay.stages import Outputs
from humanoid_replay.vla_stage import IMAGE, INFO, STATE, VlaStage
from humanoid_ros.convert import stamp_to_msg
from sim_nodes.core.camera import Camera
from sim_nodes.core.plant import Plant
from sim_nodes.core.sensors import Sensors, rate_of
from sim_nodes.sim_robot import camera_info
from vla_nodes.backends.base import Backend
from vla_nodes.backends.make import make_backend
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Observation
from vla_nodes.core.session import Look
from vla_nodes.params import VlaParams

#: What a policy sees that looks at nothing.
DARK = np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), np.float32)

#: Long measurements: no task ends because of its time or its interruptions.
ENDLESS = VlaParams(timeout=3600.0, resumes=1_000_000)


class PolicyError(ValueError):
    """No such policy here."""


class Policy(VlaStage):
    """``kind``: 'reach', which looks at nothing, a backend of vla_policy by name, or one that was made elsewhere, which
    is not closed here. Pictures are drawn only while there is something to do."""

    name = "policy"

    def __init__(self, robot: RobotModel, kind: str | Backend, plant: Plant, sensors: Sensors, seed: int,
                 params: VlaParams = ENDLESS) -> None:
        self._mine = isinstance(kind, str)
        if isinstance(kind, Backend):
            backend: Backend = kind
        else:
            backend = RandomReach(robot, seed) if kind == "reach" else make_backend(kind, robot)
        super().__init__(robot, params, backend)
        self._plant, self._sensors = plant, sensors
        self.camera: Camera | None = None
        self._latest: Any = None
        self._next_ns = 0
        if kind != "reach":
            spec = robot.camera
            if spec is None:
                raise PolicyError(f"robot '{robot.name}' has no camera, and the policy '{backend.policy_id}' looks "
                                  "through one")
            self.camera = Camera(plant.model, spec.name, spec.width, spec.height, spec.near, spec.far)
            self._info = camera_info(spec, f"{spec.name}_camera_optical")
            super().on(INFO, self._info, 0)
            self._picture_ns = round(NS / rate_of(robot, IMAGE))

    def close(self) -> None:
        if self._mine:
            self.backend.close()
        if self.camera is not None:
            self.camera.close()

    def instruct(self, text: str, now_ns: int) -> int:
        return self.session.instruct(text, now_ns)

    def look(self, now_ns: int) -> Outputs:
        """The camera's pictures that are due."""
        camera = self.camera
        if camera is None or not self.session.busy or self._plant.time_ns < self._next_ns:
            return []
        taken_ns = self._plant.time_ns
        self._next_ns = taken_ns + self._picture_ns
        picture = self._sensors.develop(camera.picture(self._plant.data))
        self._info.header.stamp = stamp_to_msg(now_ns)
        return [(INFO, self._info), *self._sensors.pictures(picture, taken_ns, now_ns, taken_ns)]

    def on(self, topic: str, value: Any, now_ns: int, sender: bytes = b"") -> Outputs:
        if topic == STATE and value is not None:
            self._latest = value
        return super().on(topic, value, now_ns, sender)

    def observe(self, look: Look, now_ns: int) -> Observation | Refusal:
        if self.camera is not None:
            return super().observe(look, now_ns)
        state = self._latest
        if state is None or now_ns - state.stamp_ns > 100 * MS:
            return Refusal("NO_STATE", "no fresh robot state")
        return Observation(state.stamp_ns, now_ns, *DARK, np.eye(3), state, state, look.commanded)
