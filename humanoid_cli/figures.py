"""The one shape of `--json FILE`: what machine it was, and named figures with unit, aim and number of samples."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from humanoid_cli.errors import BadInput


@dataclass(frozen=True)
class Figure:
    """One measured value. ``aim`` None: measured for information only."""

    value: float | int | str | bool
    unit: str = ""
    aim: float | int | str | bool | None = None
    n: int = 1


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for package in ("numpy", "mujoco", "ros-rclpy", "rclpy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "ros_distro": os.environ.get("ROS_DISTRO", "wheels"),
        **versions,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def document(figures: Mapping[str, Figure], **more: Any) -> dict[str, Any]:
    """The whole document; ``more`` goes beside `machine` and `figures`."""
    rows = {name: {"value": f.value, "unit": f.unit, "aim": f.aim, "n": f.n} for name, f in figures.items()}
    whole: dict[str, Any] = _finite({"machine": machine(), "figures": rows, **more})
    return whole


def write_figures(path: Path | None, figures: Mapping[str, Figure], **more: Any) -> None:
    """Write the document to ``path`` (None: nowhere)."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document(figures, **more), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from None


def check_writable(path: Path | None) -> None:
    """Refuse an output file that cannot be written, before the work and not after it."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a"):
            pass
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from None


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value
