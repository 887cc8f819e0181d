"""The robot model: one file in ``config/robots`` holds every physical fact, everything else asks here.

``load_robot("g1")`` returns a frozen ``RobotModel``; a file that cannot be trusted is refused with a
``RobotError`` that names the file, the key, the value and the nearest valid key. SI units and radians
throughout.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from humanoid_core.robot_checks import Problem, check
from humanoid_core.robot_model import (
    Array,
    BatterySpec,
    BodySpec,
    CameraSpec,
    ContactSpec,
    FootSpec,
    GeomSpec,
    HandSpec,
    ImuSpec,
    RecoverySpec,
    RobotModel,
    SourceSpec,
    ThermalSpec,
)
from humanoid_core.robot_schema import RobotFile

__all__ = [
    "Array",
    "BatterySpec",
    "BodySpec",
    "CameraSpec",
    "FootSpec",
    "GeomSpec",
    "HandSpec",
    "ImuSpec",
    "RecoverySpec",
    "RobotError",
    "RobotModel",
    "SourceSpec",
    "ThermalSpec",
    "find_robot_file",
    "load_robot",
    "robot_folders",
    "robot_from_data",
]


class RobotError(ValueError):
    """A robot file that cannot be used: ``file``, ``key`` and ``value`` say where, the message the way
    out."""

    def __init__(self, file: object, key: str, value: object, text: str) -> None:
        self.file, self.key, self.value = str(file), key, value
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{file}: {key} = {shown}: {text}" if key else f"{file}: {text}")


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe loader that refuses a key given twice (plain YAML keeps the last one silently)."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        result: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return result


def robot_folders() -> list[Path]:
    """Folders searched for robot files, in order: $HUMANOID_TWIN_SHARE, ament prefixes, this source tree."""
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    shares = [Path(p) / "share" / "humanoid_twin" for p in prefixes if p]
    named = os.environ.get("HUMANOID_TWIN_SHARE")
    if named:
        shares.insert(0, Path(named))
    shares.append(Path(__file__).resolve().parent.parent)
    return list(dict.fromkeys(s / "config" / "robots" for s in shares))


def find_robot_file(name_or_path: str | Path) -> Path:
    """Return the file of a robot given by name or path; RobotError says where it was looked for."""
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")) or os.sep in text:
        path = Path(text)
        if path.is_file():
            return path
        raise RobotError(text, "", None, "no such robot file")
    known: list[str] = []
    for folder in robot_folders():
        path = folder / f"{text}.yaml"
        if path.is_file():
            return path
        known += [p.stem for p in sorted(folder.glob("*.yaml"))]
    names = ", ".join(dict.fromkeys(known)) or "none"
    looked = ", ".join(str(f) for f in robot_folders())
    raise RobotError(text, "", None, f"no robot of this name; known robots: {names}; looked in {looked}")


def load_robot(name_or_path: str | Path) -> RobotModel:
    """Load a robot by name (``config/robots/<name>.yaml``) or by path. Raises ``RobotError``."""
    path = find_robot_file(name_or_path)
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: Path, _mtime_ns: int) -> RobotModel:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RobotError(path, "", None, " ".join(str(error).split())) from None
    if not isinstance(data, dict):
        raise RobotError(path, "", None, "a robot file is a mapping of keys; see config/robots/g1.yaml")
    return robot_from_data(data, path)


def robot_from_data(data: dict[str, Any], path: Path) -> RobotModel:
    """Check parsed YAML and build the model; ``path`` anchors a relative model file and names errors."""
    try:
        file = RobotFile.model_validate(data)
        check(file)
    except ValidationError as error:
        raise RobotError(path, *refusal(error)) from None
    except Problem as problem:
        raise RobotError(path, problem.key, problem.value, problem.text) from None
    blob = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    model_file = None
    if file.model.file is not None:
        named = os.path.expandvars(file.model.file)
        if "$" in named:
            variable = named[named.index("$"):].strip("${").partition("}")[0].partition("/")[0]
            raise RobotError(path, "model.file", file.model.file,
                             f"the environment variable {variable} is not set; it says where the model is")
        found = (path.parent / named).resolve()
        if not found.is_file():
            raise RobotError(path, "model.file", file.model.file, f"no such file (looked at {found})")
        model_file = str(found)
        blob += found.read_bytes()
    return _build(file, path, model_file, hashlib.sha256(blob).hexdigest())


def refusal(error: ValidationError) -> tuple[str, Any, str]:
    """First error, worded for people: (dotted key, value, what to write instead)."""
    first = error.errors()[0]
    ctx = first.get("ctx", {})
    where = list(first["loc"])
    value = first["input"]
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] in ("unknown_key", "at_key"):
        where.append(ctx["key"])
        value = ctx["value"]
    elif first["type"] == "missing":
        value, text = None, "missing, and it has no default"
    elif first["type"] == "literal_error":
        text = f"must be {ctx['expected']}"
        if where[0] == "units":
            text += "; this file format is SI and radians only" + (
                ": degrees where radians belong" if "deg" in str(value) else ""
            )
    elif first["type"] in ("float_type", "float_parsing") and isinstance(value, str):
        text += "; write a plain number without unit (YAML wants 1.0e-7, not 1e-7)"
    key = ""
    for part in where:
        key += f"[{part}]" if isinstance(part, int) else (f".{part}" if key else str(part))
    more = len(error.errors()) - 1
    return key, value, text + (f" (and {more} more problems)" if more else "")


def _frozen(values: Any) -> Array:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _bodies(file: RobotFile) -> tuple[BodySpec, ...]:
    if file.bodies is None:
        return ()
    return tuple(
        BodySpec(
            b.link, b.parent, b.xyz, b.rpy, b.joint, b.mass, b.com, b.inertia,
            tuple(GeomSpec(s.shape, s.xyz, s.rpy, s.half, s.radius, s.fromto, s.rgba, s.collide) for s in
            b.shapes), )
        for b in file.bodies.links
    )  # fmt: skip


def _recovery(file: RobotFile) -> RecoverySpec:
    table = {name: file.recovery.joints[name] for name in file.joints.table if name in file.recovery.joints}
    return RecoverySpec(
        tuple(table),
        tuple(n for n, j in table.items() if j.sensor_lost == "estimate"),
        tuple(n for n, j in table.items() if j.actuator_lost == "remove"),
        file.recovery.at_most,
    )


def _parts(file: RobotFile) -> dict[str, Any]:
    """The specs that are not per-joint arrays."""
    hands = {s: h for s in ("left", "right") if (h := getattr(file.hands, s)) is not None}
    c, b = file.camera, file.battery
    return {
        "hands": MappingProxyType({s: HandSpec(h.link, _frozen(h.point), _frozen(h.axis)) for s, h in hands.items()}),
        "imus": tuple(ImuSpec(i.name, i.topic, i.link, _frozen(i.xyz), _frozen(i.rpy)) for i in file.imus.list),
        "feet": tuple(FootSpec(f.name, f.topic, f.link, _frozen(f.points)) for f in file.feet.list),
        "foot_radius": file.feet.radius,
        "foot_friction": file.feet.friction,
        "camera": None
        if c is None
        else CameraSpec(
            c.name, c.link, _frozen(c.xyz), _frozen(c.rpy), c.width, c.height, c.fovy, c.rate, c.near, c.far
        ),
        "sources": MappingProxyType(
            {
                t: SourceSpec(t, s.kind, s.rate, s.max_age_ms, s.frozen_ms, s.required, s.backup)
                for t, s in file.sources.items()
            }
        ),
        "thermal": ThermalSpec(file.thermal.warn, file.thermal.limit),
        "battery": BatterySpec(b.warn, b.min, b.nominal, b.full, b.capacity_ah, b.resistance),
        "recovery": _recovery(file),
        "contact": tuple(ContactSpec(name, c.side, c.group, min(file.contact.person[p] for p in c.meets))
                         for name, c in file.contact.regions.items()),
        "bodies": _bodies(file),
        "collision_exclude": file.collision_exclude,
    }


def _build(file: RobotFile, path: Path, model_file: str | None, digest: str) -> RobotModel:
    names = tuple(file.joints.table)
    joints = list(file.joints.table.values())
    drives = [file.drives.table[j.drive] for j in joints]
    index = {name: i for i, name in enumerate(names)}
    postures = {
        p: _frozen(
            [
                (getattr(file.postures, p) or file.postures.stand).get(n, min(max(0.0, j.lower), j.upper))
                for n, j in zip(names, joints, strict=True)
            ]
        )
        for p in ("stand", "rest", "crouch", "fall")
    }
    per_drive = ("armature", "damping", "frictionloss", "kp", "kd", "acceleration", "jerk")
    per_command = ("velocity", "acceleration", "jerk")
    fields: dict[str, Any] = {
        **{k: _frozen([getattr(j, k) for j in joints]) for k in ("lower", "upper", "velocity", "effort")},
        **{k: _frozen([getattr(d, k) for d in drives]) for k in per_drive},
        **{f"command_{k}": _frozen([getattr(d.command, k) for d in drives]) for k in per_command},
        **postures,
        **_parts(file),
    }
    return RobotModel(
        name=file.name,
        description=file.description,
        variant=file.variant,
        hash=digest,
        file=str(path),
        model_kind=file.model.kind,
        stated_mass=file.model.mass,
        model_file=model_file,
        base_link=file.base.link,
        base_fixed=file.base.fixed,
        joint_names=names,
        joint_kinds=tuple(j.kind for j in joints),
        axes=tuple(j.axis for j in joints),
        groups=MappingProxyType({g: tuple(index[j] for j in m) for g, m in file.groups.items()}),
        _index=MappingProxyType(index),
        **fields,
    )
