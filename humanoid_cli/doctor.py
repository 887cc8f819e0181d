"""`humanoid-twin doctor`: what this machine has, what it lacks, and the command that brings it."""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from humanoid_cli.figures import Figure, check_writable, write_figures

GL = "sudo apt-get install -y libegl1 libgl1-mesa-dri libegl-mesa0"
WHEELS = "make env"
ROS_ONLY = "comes with a ROS 2 install only; 'humanoid-twin up' does without"


@dataclass(frozen=True)
class Finding:
    """``needed``: without it the demo cannot run. ``how``: the way to get it."""

    name: str
    found: str  # '' = missing
    needed: bool
    how: str
    why: str


def module(name: str, why: str, how: str, needed: bool = True, package: str = "") -> Finding:
    """A Python library, by import: a library that is there but broken counts as missing."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:  # a folder of this name is no library
        return Finding(name, "", needed, how, why)
    try:
        loaded = importlib.import_module(name)
    except Exception as error:
        return Finding(name, "", needed, f"{how} (it is there, but: {' '.join(str(error).split())[:120]})", why)
    version = str(getattr(loaded, "__version__", "")) or _version(package or name)
    return Finding(name, version or "found", needed, how, why)


def _version(package: str) -> str:
    for name in (package, f"ros-{package}"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def python() -> Finding:
    found = sys.version.split()[0] if sys.version_info >= (3, 10) else ""
    return Finding("Python", found, True, "install Python >= 3.10, then make env PYTHON=python3.11", "everything")


def middleware() -> Finding:
    why, how = "processes talk over it", WHEELS + "; on a ROS 2 install: source /opt/ros/<distro>/setup.bash"
    try:
        from rclpy.utilities import get_rmw_implementation_identifier

        return Finding("rmw", str(get_rmw_implementation_identifier()), True, how, why)
    except Exception as error:
        return Finding("rmw", "", True, f"{how} ({' '.join(str(error).split())[:100]})", why)


def interfaces() -> Finding:
    why = "the messages of this package"
    try:
        from humanoid_twin.msg import Permit

        Permit()
        return Finding("humanoid_twin interfaces", "found", True, WHEELS, why)
    except Exception as error:
        return Finding("humanoid_twin interfaces", "", True, f"make env, or colcon build ({error})", why)


def executables() -> Finding:
    from humanoid_cli.supervisor import executable_folders
    from humanoid_core.graph import load_graph

    wanted = [n.executable for n in load_graph("sim").nodes]
    lacking = [n for n in wanted if not any(os.access(f / n, os.X_OK) for f in executable_folders())]
    found = "" if lacking else f"{len(wanted)} found"
    return Finding("node executables", found, True, f"make env, or colcon build (missing: {', '.join(lacking)})",
                   "the graph is made of them")


def rendering() -> Finding:
    """Draws one picture in a process of its own: a broken driver may end the process that asks."""
    why = "the head camera's pictures; without it a policy that looks cannot act"
    if not (ctypes.util.find_library("EGL") or ctypes.util.find_library("OSMesa")):
        return Finding("off-screen OpenGL", "", True, GL, why)
    kind = os.environ.get("MUJOCO_GL") or ("egl" if ctypes.util.find_library("EGL") else "osmesa")
    code = ("import mujoco; m=mujoco.MjModel.from_xml_string('<mujoco><worldbody><light/></worldbody></mujoco>');"
            "r=mujoco.Renderer(m,32,32); r.update_scene(mujoco.MjData(m)); r.render(); r.close()")
    try:
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "MUJOCO_GL": kind}, timeout=60,
                              capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return Finding("off-screen OpenGL", "", True, f"{GL} (drawing one picture took more than 60 s)", why)
    if done.returncode == 0:
        return Finding("off-screen OpenGL", kind, True, GL, why)
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding("off-screen OpenGL", "", True, f"{GL} (MUJOCO_GL={kind}: {last[:100]})", why)


def compiler() -> Finding:
    path = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++") or ""
    return Finding("C++ compiler", path, True, "sudo apt-get install -y build-essential", "builds the interfaces")


def program(name: str, why: str, how: str, needed: bool = False) -> Finding:
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    return Finding(name, shutil.which(name) or beside or "", needed, how, why)


def memory() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    found = f"{free:.0f} GiB free" if free > 1.0 else ""
    return Finding("disk", found, True, f"free some space in {Path.cwd()}", "a demo's bag takes about 0.1 GiB")


CHECKS: tuple[Callable[[], Finding], ...] = (
    python,
    compiler,
    lambda: module("rclpy", "ROS 2 for Python", WHEELS, package="ros-rclpy"),
    middleware,
    interfaces,
    executables,
    lambda: module("mujoco", "physics", WHEELS),
    rendering,
    lambda: module("cv2", "pictures", WHEELS),
    lambda: module("rosbags.rosbag2", "bags", WHEELS, package="rosbags"),
    lambda: module("scipy", "inverse kinematics, filters", WHEELS),
    lambda: module("matplotlib", "plots in reports", WHEELS),
    memory,
    lambda: module("torch", "learned policies", "pip install torch==2.13.0 (CPU is enough), or make env", False),
    lambda: module("transformers", "learned policies", "make env", False),
    lambda: module("cyclonedds", "a Unitree robot", "pip install -r requirements/unitree.txt, or make env-dev", False),
    lambda: module("launch", "ros2 launch", ROS_ONLY, False),
    lambda: module("launch_ros", "ros2 launch", ROS_ONLY, False),
    lambda: module("cv_bridge", "pictures in unusual encodings",
                   "comes with a ROS 2 install only; OpenCV does the usual ones", False),
    lambda: program("ros2", "the ROS 2 command line", ROS_ONLY),
    lambda: program("colcon", "builds this package in a ROS 2 workspace", "make env-dev, or pip install "
                    "colcon-common-extensions"),
)


def doctor(json: Path | None) -> int:
    """Print every check. 0: the demo can run; 1: something that it needs is missing."""
    check_writable(json)
    console = Console(highlight=False)
    findings = [check() for check in CHECKS]
    table = Table("", "what", "found", "for", box=None)
    for f in findings:
        mark, style = ("✓", "green") if f.found else (("✗", "red") if f.needed else ("–", "yellow"))
        table.add_row(f"[{style}]{mark}[/]", f.name, f.found or "missing", f.why)
    console.print(table)
    for f in findings:
        if not f.found:
            console.print(f"{f.name}: {f.how}", style="red" if f.needed else "yellow", soft_wrap=True, markup=False)
    lacking = [f.name for f in findings if f.needed and not f.found]
    console.print("the demo can run: make demo" if not lacking else f"the demo cannot run yet: {', '.join(lacking)}",
                  style="bold")
    rows = {f.name: Figure(f.found or "missing", "", None) for f in findings}
    write_figures(json, {**rows, "needed_missing": Figure(len(lacking), "", 0, len(findings))})
    return 1 if lacking else 0
