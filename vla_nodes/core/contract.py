"""A policy contract, loaded and compared with robot, statistics, server and checkpoint before anything moves.

``load_contract("g1_openpi", robot)`` reads ``config/policies/g1_openpi.yaml``. What does not fit is refused with a
``ContractError`` that names both sides.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from humanoid_core.robot import StrictLoader, refusal, robot_folders
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.robot_schema import nearest
from vla_nodes.core.contract_schema import ActionGroup, Contract, Group, Normalise, StateGroup
from vla_nodes.core.gather import GatherParams


class ContractError(ValueError):
    """A contract that cannot be used: ``file``, ``key`` and ``value`` say where, the message both sides."""

    def __init__(self, file: object, key: str, value: object, text: str) -> None:
        self.file, self.key, self.value = str(file), key, value
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        super().__init__(f"{file}: {key} = {shown}: {text}" if key else f"{file}: {text}")


@dataclass(frozen=True, eq=False)
class Scale:
    """policy value = (physical - offset) / scale, per entry (size,)."""

    offset: Array
    scale: Array


@dataclass(frozen=True, eq=False)
class Loaded:
    """A contract that fits its robot; ``scales`` by group key."""

    name: str
    file: Path
    terms: Contract
    scales: Mapping[str, Scale] = field(default_factory=dict)

    @property
    def joints(self) -> tuple[str, ...]:
        """The joints it moves, in the order of the action groups."""
        return tuple(name for group in self.terms.actions for name in group.joints)

    @property
    def checkpoint(self) -> str:
        """A folder beside the contract when there is one, else what the file says (a hub name)."""
        named = self.terms.checkpoint
        beside = self.file.parent / named
        return str(beside) if named and beside.is_dir() else named

    def refuse(self, key: str, value: object, text: str) -> ContractError:
        return ContractError(self.file, key, value, text)

    def compare(self, key: str, mine: object, other: str, theirs: object) -> None:
        """ContractError when the contract's ``key`` is not what ``other`` (a server, a checkpoint) says."""
        if mine != theirs:
            raise self.refuse(key, mine, f"{other} says {theirs!r}")


def policy_folders() -> list[Path]:
    """Where contracts are looked for: beside the robot files."""
    return [folder.parent / "policies" for folder in robot_folders()]


def find_contract_file(name_or_path: str) -> Path:
    """The file of a contract given by name or path; ContractError says where it was looked for."""
    if name_or_path.endswith((".yaml", ".yml")) or os.sep in name_or_path:
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise ContractError(name_or_path, "", None, "no such policy contract")
    known: list[str] = []
    for folder in policy_folders():
        path = folder / f"{name_or_path}.yaml"
        if path.is_file():
            return path
        known += [p.stem for p in sorted(folder.glob("*.yaml"))]
    raise ContractError(name_or_path, "", None, "no policy contract of this name; known: "
                        + (", ".join(dict.fromkeys(known)) or "none"))  # fmt: skip


def load_contract(name_or_path: str, robot: RobotModel) -> Loaded:
    """Load and compare with the robot and the statistics file. Raises ``ContractError``."""
    path = find_contract_file(name_or_path)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(path, "", None, " ".join(str(error).split())) from None
    return contract_from_data(data, path, robot)


def policy_settings(name: str, robot: RobotModel) -> tuple[str, ...]:
    """The settings ``node.key=value`` that make vla_policy follow a contract, by name or path; none for 'classical'.
    Raises ``ContractError``."""
    if name == "classical":
        return ()
    loaded = load_contract(name, robot)
    return f"vla_policy.backend={loaded.terms.backend}", f"vla_policy.policy={loaded.file.resolve()}"


def contract_from_data(data: object, path: Path, robot: RobotModel) -> Loaded:
    """The same from parsed YAML; ``path`` names errors and anchors relative files."""
    if not isinstance(data, dict):
        raise ContractError(path, "", None, "a policy contract is a mapping of keys; see docs/adding-a-policy.md")
    try:
        terms = Contract.model_validate(data)
    except ValidationError as error:
        raise ContractError(path, *refusal(error)) from None
    bare = Loaded(path.stem, path, terms)
    _check_robot(bare, robot)
    return Loaded(path.stem, path, terms, _scales(bare))


def _check_robot(loaded: Loaded, robot: RobotModel) -> None:
    """Names, and that the policy's joints are ones that it may move on this robot."""
    terms = loaded.terms
    if terms.robot != robot.name:
        raise loaded.refuse("robot", terms.robot, f"the robot file {robot.file} describes '{robot.name}'")
    if robot.camera is None and terms.pictures:
        raise loaded.refuse("pictures", terms.pictures[0].key, f"robot '{robot.name}' has no camera")
    mine = [robot.joint_names[i] for i in robot.groups["upper_body"]]
    both: list[tuple[str, Sequence[StateGroup | ActionGroup]]] = [("state", terms.state), ("actions", terms.actions)]
    for what, groups in both:
        for i, group in enumerate(groups):
            for name in group.joints:
                key = f"{what}[{i}].joints.{name}"
                if name not in robot.joint_names:
                    hint = nearest(name, list(robot.joint_names)).replace("valid key", "joint")
                    raise loaded.refuse(key, name, f"robot '{robot.name}' has no such joint; {hint}")
                if what == "actions" and name not in mine:
                    raise loaded.refuse(key, name, f"not in group 'upper_body' of robot '{robot.name}', which is "
                                        "all that a policy moves")  # fmt: skip


def _scales(loaded: Loaded) -> dict[str, Scale]:
    """The statistics of every normalised group, after the file's hash was compared."""
    statistics = loaded.terms.statistics
    if statistics is None:
        return {}
    places = [loaded.file.parent / statistics.file, Path(loaded.checkpoint) / statistics.file]
    path = next((p for p in places if p.is_file()), None)
    if path is None:
        looked = ", ".join(str(p) for p in places)
        raise loaded.refuse("statistics.file", statistics.file, f"no such file (looked at {looked})")
    blob = path.read_bytes()
    loaded.compare("statistics.sha256", statistics.sha256, f"the file {path}", hashlib.sha256(blob).hexdigest())
    try:
        tree = json.loads(blob)
    except ValueError as error:
        raise loaded.refuse("statistics.file", statistics.file, f"not JSON: {error}") from None
    groups: tuple[Group, ...] = (*loaded.terms.state, *loaded.terms.actions)
    return {g.key: _scale(loaded, g, g.normalise, tree) for g in groups if g.normalise is not None}


def _scale(loaded: Loaded, group: Group, how: Normalise, tree: Any) -> Scale:
    block = tree
    for part in how.at.split("."):
        if not isinstance(block, dict) or part not in block:
            there = ", ".join(map(str, block)) if isinstance(block, dict) else type(block).__name__
            raise loaded.refuse("normalise.at", how.at, f"no '{part}' in the statistics file, which has {there}")
        block = block[part]
    first, second = {"quantile": ("q01", "q99"), "min_max": ("min", "max"), "mean_std": ("mean", "std")}[how.kind]
    a, b = (_numbers(loaded, group, how, block, name) for name in (first, second))
    offset, scale = (a, b) if how.kind == "mean_std" else ((a + b) / 2.0, (b - a) / 2.0)
    mask = np.asarray(block.get("mask", np.ones(group.size)), dtype=bool)
    if mask.shape != (group.size,):
        raise loaded.refuse("normalise.at", how.at, f"mask has {mask.size} entries, group '{group.key}' {group.size}")
    if not np.all(scale[mask] > 0.0):
        raise loaded.refuse("normalise.at", how.at, f"entry {int(np.argmin(np.where(mask, scale, 1.0)))} has no spread")
    return Scale(np.where(mask, offset, 0.0), np.where(mask, scale, 1.0))


def _numbers(loaded: Loaded, group: Group, how: Normalise, block: Mapping[str, Any], name: str) -> Array:
    try:
        values = np.asarray(block[name], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        raise loaded.refuse("normalise.kind", how.kind, f"'{how.at}' in the statistics file has no usable '{name}'"
                            ) from None  # fmt: skip
    if values.shape != (group.size,) or not np.all(np.isfinite(values)):
        raise loaded.refuse("normalise.at", how.at, f"'{name}' has {values.size} finite numbers or others, group "
                            f"'{group.key}' has size {group.size}")  # fmt: skip
    return values


def gather_params(loaded: Loaded, params: GatherParams) -> GatherParams:
    """The stricter of the node's parameters and the contract's streams, for what an observation is made of."""
    terms = loaded.terms
    return GatherParams(
        picture_age=min([params.picture_age, *(p.max_age for p in terms.pictures)]),
        state_age=min([params.state_age, *(g.max_age for g in terms.state)]),
        skew=min(params.skew, terms.skew),
        depth=False,
        picture_offset=max((p.offset for p in terms.pictures), default=0.0),
        state_offset=max((g.offset for g in terms.state), default=0.0),
    )
