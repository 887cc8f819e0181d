"""The demonstrations on disk: ``meta.json``, ``postures.npz`` and shards ``pictures-0000.npz`` (docs/training.md).

A shard holds independent moments: what the robot saw and felt, what it was told, what the expert did in the next second
and, for supervision, where everything was. Every file's hash stands in ``meta.json``, and is compared when reading.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nodes.training.expert import Postures

FORMAT, VERSION = "humanoid_twin demonstrations", 1
#: Array of a shard: (dtype, shape of one moment; -1 any).
FEATURES: dict[str, tuple[str, tuple[int, ...]]] = {
    "observation.images.head": ("uint8", (-1, -1, 3)),
    "observation.state": ("float32", (-1,)),
    "observation.elapsed": ("float32", ()),
    "task": ("str", ()),
    "action": ("float32", (-1, -1)),
    "verb": ("int64", ()),
    "hand": ("int64", ()),
    "target": ("int64", ()),
    "things.there": ("bool", (9,)),
    "things.top": ("float32", (9, 3)),
    "things.pixel": ("float32", (9, 2)),
}


class DatasetError(ValueError):
    """A data set that cannot be used; the message names file, key, value and the way out."""


@dataclass(frozen=True)
class Recipe:
    """What the demonstrations are made by; the same recipe gives the same data. ``held`` of the shards are for
    validation; ``places``: tops the expert solves for; ``width`` and ``height`` of a picture."""

    robot: str
    seed: int
    shards: int
    held: int
    frames: int
    places: int
    width: int
    height: int


Arrays = dict[str, NDArray]


class Dataset:
    """One folder. ``meta['files']``: name -> sha256 of what is there already."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe
        self._files: dict[str, str] = {}

    @classmethod
    def begin(cls, folder: Path, recipe: Recipe) -> Dataset:
        """Open for writing; goes on where an earlier run with the same recipe stopped. DatasetError for another one."""
        data = cls(folder, recipe)
        meta = folder / "meta.json"
        if meta.is_file():
            data._files = dict(cls.open(folder, recipe)._files)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            data._write_meta()
        return data

    @classmethod
    def open(cls, folder: Path, recipe: Recipe | None = None) -> Dataset:
        """Open for reading; with ``recipe`` it must be made by that. Raises DatasetError."""
        path = folder / "meta.json"
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DatasetError(f"{path}: {error.strerror}; make it with 'humanoid-twin train'") from None
        except ValueError as error:
            raise DatasetError(f"{path}: not JSON: {error}; remove the folder to make it anew") from None
        for key, want in (("format", FORMAT), ("version", VERSION)):
            if not isinstance(meta, dict) or meta.get(key) != want:
                got = meta.get(key) if isinstance(meta, dict) else meta
                raise DatasetError(f"{path}: {key} = {got!r}: this program reads {want!r}")
        found = _recipe(path, meta.get("recipe"))
        if recipe is not None and found != recipe:
            key = next(f.name for f in fields(Recipe) if getattr(found, f.name) != getattr(recipe, f.name))
            has, want = getattr(found, key), getattr(recipe, key)
            raise DatasetError(f"{path}: recipe.{key} = {has!r}: {want!r} is asked for; take another folder (--out) or "
                               "remove this one")  # fmt: skip
        data = cls(folder, found)
        files = meta.get("files")
        if not isinstance(files, dict):
            raise DatasetError(f"{path}: files = {files!r}: a table of file names and hashes is needed")
        data._files = {str(k): str(v) for k, v in files.items()}
        return data

    # --- writing

    def has(self, name: str) -> bool:
        return name in self._files and (self.folder / name).is_file()

    def put(self, name: str, arrays: Mapping[str, NDArray]) -> None:
        """Write one file whole, then its hash."""
        path = self.folder / name
        part = path.with_suffix(".part")
        with part.open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)
        part.replace(path)
        self._files[name] = sha256(path)
        self._write_meta()

    def put_postures(self, postures: Postures) -> None:
        self.put("postures.npz", {k: np.asarray(v) for k, v in asdict(postures).items()})

    def _write_meta(self) -> None:
        meta = {"format": FORMAT, "version": VERSION, "recipe": asdict(self.recipe),
                "features": {k: {"dtype": d, "shape": list(s)} for k, (d, s) in FEATURES.items()},
                "files": dict(sorted(self._files.items()))}  # fmt: skip
        path = self.folder / "meta.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
        part.replace(path)

    # --- reading

    @property
    def fingerprint(self) -> str:
        """One hash of all files."""
        return hashlib.sha256(json.dumps(sorted(self._files.items())).encode()).hexdigest()

    def postures(self) -> Postures:
        arrays = self._arrays("postures.npz")
        lacking = [f.name for f in fields(Postures) if f.name not in arrays]
        if lacking:
            raise DatasetError(f"{self.folder / 'postures.npz'}: no '{lacking[0]}'; remove the folder to make it anew")
        swing = int(arrays.pop("swing"))
        return Postures(**arrays, swing=swing)

    def shard_names(self, held: bool) -> list[str]:
        first = self.recipe.shards - self.recipe.held
        numbers = range(first, self.recipe.shards) if held else range(first)
        return [shard_name(k) for k in numbers]

    def shards(self, held: bool) -> Arrays:
        """All moments for training, or those for validation, checked."""
        parts = [self._shard(name) for name in self.shard_names(held)]
        if not parts:
            recipe = self.recipe
            raise DatasetError(f"{self.folder}: recipe.held = {recipe.held} of {recipe.shards} shards: nothing is left")
        return {k: np.concatenate([p[k] for p in parts]) for k in FEATURES}

    def _shard(self, name: str) -> Arrays:
        arrays = self._arrays(name)
        for key, (dtype, shape) in FEATURES.items():
            got = arrays.get(key)
            if got is None:
                raise DatasetError(f"{self.folder / name}: no '{key}'; remove the file to make it anew")
            fits = len(got) == self.recipe.frames and got.ndim == 1 + len(shape)
            fits = fits and all(want in (-1, have) for want, have in zip(shape, got.shape[1:], strict=True))
            if not fits or (dtype != "str" and got.dtype != dtype):
                raise DatasetError(f"{self.folder / name}: {key} = {got.dtype}{got.shape}: {dtype} "
                                   f"({self.recipe.frames}, {', '.join(map(str, shape))}) is needed")  # fmt: skip
        return arrays

    def _arrays(self, name: str) -> Arrays:
        path = self.folder / name
        if not self.has(name):
            raise DatasetError(f"{path}: not there; run the same 'humanoid-twin train' again to complete the data")
        if sha256(path) != self._files[name]:
            raise DatasetError(f"{path}: its hash is not the one in meta.json; remove the file to make it anew")
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {k: archive[k] for k in archive.files}
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: {error}; remove the file to make it anew") from None


def shard_name(number: int) -> str:
    return f"pictures-{number:04d}.npz"


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as blob:
        while chunk := blob.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _recipe(path: Path, block: Any) -> Recipe:
    if not isinstance(block, dict):
        raise DatasetError(f"{path}: recipe = {block!r}: a table is needed")
    names = [f.name for f in fields(Recipe)]
    wrong = sorted(set(block) ^ set(names))
    if wrong:
        raise DatasetError(f"{path}: recipe.{wrong[0]}: " + ("missing" if wrong[0] in names else "unknown"))
    return Recipe(**block)
