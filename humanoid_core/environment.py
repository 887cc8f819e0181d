"""What stands around a robot that does not belong to it: ``config/environments/<name>.yaml``.

Standing frame: origin on the ground under the base at the start, x forward, y left, z up. Metres and radians. Each
obstacle says how far the robot's links keep away from it (``margin``) and how far its hands do (``hand_margin``): a
table is worked on, so hands may come nearer than elbows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import mujoco
import yaml
from pydantic import Field, ValidationError

from humanoid_core.physics import BIT_THING, rpy_quat
from humanoid_core.robot import RobotError, StrictLoader, refusal, robot_folders
from humanoid_core.robot_schema import Block, Name, NotNegative, Shape, Strict


@dataclass(frozen=True)
class Obstacle:
    """A primitive that does not move. box: xyz, rpy, half; sphere: xyz, radius; else: fromto, radius. Metres."""

    name: str
    shape: str
    xyz: tuple[float, ...]
    rpy: tuple[float, ...]
    half: tuple[float, ...] | None
    radius: float | None
    fromto: tuple[float, ...] | None
    margin: float
    hand_margin: float


class _Obstacle(Shape):
    name: Name
    margin: NotNegative
    hand_margin: NotNegative


class _Units(Strict):
    length: Literal["m"]
    angle: Literal["rad"]


class _File(Block):
    name: Name
    description: str = ""
    frame: Literal["standing"]
    units: _Units
    obstacles: Annotated[tuple[_Obstacle, ...], Field(min_length=1)]


class EnvironmentFileError(RobotError):
    """An environment file that cannot be used; the text names file, key, value and the way out."""


def load_environment(name_or_path: str) -> tuple[Obstacle, ...]:
    """Obstacles of ``config/environments/<name>.yaml`` or of a path; '' is an empty environment. Raises
    ``EnvironmentFileError``."""
    if not name_or_path:
        return ()
    path = _find(name_or_path)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise EnvironmentFileError(path, "", None, " ".join(str(error).split())) from None
    if not isinstance(data, dict):
        raise EnvironmentFileError(path, "", None, "an environment is a mapping of keys; see environments/table.yaml")
    try:
        file = _File.model_validate(data)
    except ValidationError as error:
        key, value, text = refusal(error)
        raise EnvironmentFileError(path, key, value, text) from None
    seen: set[str] = set()
    for i, o in enumerate(file.obstacles):
        if o.name in seen:
            raise EnvironmentFileError(path, f"obstacles[{i}].name", o.name, "given twice; each needs its own name")
        if o.hand_margin > o.margin:
            raise EnvironmentFileError(path, f"obstacles[{i}].hand_margin", o.hand_margin,
                                       f"must not be above margin = {o.margin}")
        seen.add(o.name)
    return tuple(Obstacle(o.name, o.shape, o.xyz, o.rpy, o.half, o.radius, o.fromto, o.margin, o.hand_margin)
                 for o in file.obstacles)


def add_obstacles(spec: mujoco.MjSpec, environment: tuple[Obstacle, ...]) -> None:
    """Put them into a specification whose world is the standing frame, as geoms ``obstacle_<name>``."""
    for o in environment:
        geom = spec.worldbody.add_geom(name=f"obstacle_{o.name}",
                                       type=getattr(mujoco.mjtGeom, f"mjGEOM_{o.shape.upper()}"))
        if o.fromto is not None:
            geom.fromto = list(o.fromto)
        else:
            geom.pos, geom.quat = list(o.xyz), rpy_quat(o.rpy)
        geom.size = list(o.half) if o.half is not None else [o.radius or 0.0, 0.0, 0.0]
        geom.contype, geom.conaffinity = BIT_THING, 0


def _find(name_or_path: str) -> Path:
    if name_or_path.endswith((".yaml", ".yml")) or os.sep in name_or_path:
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise EnvironmentFileError(path, "", None, "no such environment file")
    folders = [f.parent / "environments" for f in robot_folders()]
    known: list[str] = []
    for folder in folders:
        path = folder / f"{name_or_path}.yaml"
        if path.is_file():
            return path
        known += [p.stem for p in sorted(folder.glob("*.yaml"))]
    names = ", ".join(dict.fromkeys(known)) or "none"
    raise EnvironmentFileError(name_or_path, "environment", name_or_path,
                               f"no environment of this name; known: {names}; looked in "
                               f"{', '.join(str(f) for f in folders)}")
