"""The vendor's side of a Unitree humanoid: config/bridges/unitree.yaml, checked key by key.

A file that cannot be used is refused with a ``BridgeError`` that names file, key and value.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from humanoid_core.robot import RobotError, refusal, robot_folders
from humanoid_core.robot_model import RobotModel
from humanoid_core.robot_schema import Positive, Strict
from robot_nodes.core.frames import MOTORS

Whole = Annotated[int, Field(strict=True, ge=0)]
Topic = Annotated[str, Field(strict=True, min_length=1)]


class BridgeError(RobotError):
    """A bridge file, or a robot that does not match its file."""


class DdsTopics(Strict):
    """Names on the vendor's DDS domain. '' for one that the robot does not have."""

    lowstate: Topic
    lowcmd: Topic
    arm_sdk: Topic
    torso_imu: str = ""
    battery: str = ""


class Onboard(Strict):
    """The onboard controller: service names, api numbers, and the states of its state machine."""

    service: Topic
    get_fsm: Whole
    set_fsm: Whole
    run: tuple[Whole, ...]
    crouch: Whole
    damp: Whole
    switcher: Topic
    check_mode: Whole
    release_mode: Whole


class UnitreeSpec(Strict):
    """The whole file. ``tick`` in s; ``weight_motor``: the entry of arm_sdk whose q is the blend weight."""

    source: str
    tick: Positive
    weight_motor: Annotated[int, Field(strict=True, ge=0, lt=MOTORS)]
    topics: DdsTopics
    onboard: Onboard


def load_spec(name_or_path: str = "unitree") -> UnitreeSpec:
    """Read a bridge file by name (config/bridges) or path. Raises BridgeError."""
    path = _find(name_or_path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return UnitreeSpec.model_validate(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BridgeError(path, "", None, " ".join(str(error).split())) from None
    except ValidationError as error:
        key, value, text = refusal(error)
        raise BridgeError(path, key, value, text) from None


def _find(name_or_path: str) -> Path:
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    for folder in robot_folders():
        path = folder.parent / "bridges" / f"{name_or_path}.yaml"
        if path.is_file():
            return path
    raise BridgeError(name_or_path, "", None, "no bridge file of this name in config/bridges")


def mode_machine_of(robot: RobotModel) -> int:
    """The variant number that the robot file is made for, from ``variant: ... (mode_machine 5)``."""
    found = re.search(r"mode_machine (\d+)", robot.variant)
    if found is None:
        raise BridgeError(robot.file, "variant", robot.variant,
                          "names no variant that could be checked; write '... (mode_machine N)' as lowstate shows it")
    return int(found.group(1))


def check_motors(robot: RobotModel) -> None:
    """The vendor's motor index is the place in the robot file."""
    if robot.n > MOTORS:
        raise BridgeError(robot.file, "joints.table", robot.n, f"a frame carries {MOTORS} motors at most")
