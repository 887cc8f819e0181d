"""The golden scenarios: short recordings of what must go on as it went, made in lockstep and kept in the repository.

Each is a few seconds of raw inputs and of what the safety nodes made of them. `test/replay/test_golden.py` replays the
inputs and compares; a change of behaviour shows as the first message that differs. How to accept one: docs/replay.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_bench.bag import BagOf
from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import RobotModel
from humanoid_core.topics import TOPICS
from humanoid_core.types import EStopState, JointCommand
from sim_nodes.core.plant import PlantParams

#: What is recorded: all that came from outside the replayed stages.
INPUTS = (*(name for name, row in TOPICS.items() if row.publisher == "robot" and not name.startswith("camera/")),
          "vla/action_chunk", "vla/joint_command", "vla/status", "safety/estop", "safety/override", "safety/events",
          "safety/permit", "robot/joint_command")
#: What must not change.
KEPT = ("safety/status", "safety/events", "safety/gate", "safety/permit", "robot/joint_command", "robot/mode",
        "ingest/sensor_health", "twin/prediction")
STAGES = ("ingest", "twin", "safety", "gate")
#: Sensors of a kept recording are rounded to this, as an encoder does: noise in the last bits cannot be compressed.
QUANTUM = 2.0**-16


@dataclass(frozen=True)
class Scenario:
    """``act`` runs the house; everything it does is recorded. ``robot``: a name in config/robots, or a file in the
    scenario's own folder."""

    name: str
    doc: str
    act: Callable[[Lockstep], None]
    robot: str = "g1"
    policy: str = "reach"
    settings: tuple[tuple[str, str, Any], ...] = field(default_factory=tuple)

    def load_robot(self, place: Path) -> RobotModel:
        """The robot of the scenario that is kept in ``place``."""
        own = place / self.robot
        return load_robot(own if own.is_file() else self.robot)


def record(scenario: Scenario, robot: RobotModel, path: Path) -> None:
    """Make the recording of a scenario, from the first message on: the same bytes each time on one machine."""
    with Lockstep(robot, seed=11, plant=PlantParams(objects=""), policy=scenario.policy,
                  settings=scenario.settings) as house:
        for topic in ("joint_states", "imu/pelvis", "imu/torso", "foot_contacts/left", "foot_contacts/right"):
            house.filter(topic, _rounded)
        with BagOf(house, path, INPUTS):
            if scenario.policy:
                house.instruct("reach")
                house.run(1.8)  # past the levels of the start
            scenario.act(house)


def _rounded(value: Any) -> Any:
    """A sample with its arrays on the grid of ``QUANTUM``; an orientation stays of unit length."""
    changes = {}
    for name, array in vars(value).items():
        if isinstance(array, np.ndarray) and array.dtype == np.float64 and name != "orientation":
            changes[name] = np.round(array / QUANTUM) * QUANTUM
    return replace(value, **changes)


# --- what happens

def _reach(house: Lockstep) -> None:
    house.run(3.0)


def _push(house: Lockstep) -> None:
    house.run(0.3)
    house.plant.push(np.array([9.0, 5.0, 0.0]))
    house.run(2.7)


def _dropout(house: Lockstep) -> None:
    house.run(0.3)
    house.faults.set("stop", "joint_states", 0.0, 0.1, house.plant.time_ns)
    house.run(1.4)
    house.faults.set("stop", "imu/pelvis", 0.0, 0.5, house.plant.time_ns)
    house.run(1.5)


def _bad_server(house: Lockstep) -> None:
    """The policy's server answers with NaN, then with a leap, then with names that the robot does not have."""
    def spoil(change: Callable[[JointCommand], JointCommand], seconds: float) -> None:
        off = house.filter("vla/joint_command", change)
        house.run(seconds)
        off()
        house.run(1.0)

    house.run(0.3)
    spoil(lambda c: replace(c, position=np.full_like(c.position, np.nan)), 0.05)
    spoil(lambda c: replace(c, position=c.position + 0.4), 0.05)
    spoil(lambda c: replace(c, joint_names=("no_such_joint", *c.joint_names[1:])), 0.05)


def _estop(house: Lockstep) -> None:
    beats = iter(range(1, 1_000))

    def press(down: bool, seconds: float) -> None:
        for _ in range(round(seconds / 0.1)):
            house.say("safety/estop", EStopState(house.now_ns, "button", down, next(beats)))
            house.run(0.1)

    press(False, 0.3)
    press(True, 0.4)
    press(False, 0.4)
    house.reset("golden")
    press(False, 2.4)


def _hot(house: Lockstep) -> None:
    house.run(0.2)
    house.faults.set("overheating", "right_elbow_joint", 20.0, 60.0, house.plant.time_ns)
    house.run(4.0)


def _other(house: Lockstep) -> None:
    house.run(0.7)
    house.faults.set("stop", "joint_states", 0.0, 0.1, house.plant.time_ns)
    house.run(2.0)


SCENARIOS: dict[str, Scenario] = {s.name: s for s in (
    Scenario("normal_reach", "both arms reach; nothing is wrong", _reach),
    Scenario("push", "a push that the robot takes, while it reaches", _push),
    Scenario("sensor_dropout", "the joints are silent for 0.1 s, then an IMU for 0.5 s", _dropout),
    Scenario("bad_server", "NaN, a leap and unknown names from the policy", _bad_server),
    Scenario("estop_and_reset", "a stop is pressed, released and reset in mid-reach", _estop),
    Scenario("overheating", "a motor heats up", _hot),
    Scenario("second_robot", "a small arm on a stand, with its own robot file, whose joints are silent for 0.1 s",
             _other, robot="robot/arm.yaml"),
)}
