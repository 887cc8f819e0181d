#!/usr/bin/env python3
"""Makes `.venv` an ament prefix that runs humanoid_twin: wheels, interfaces, node packages.

Standard library only, because nothing is installed yet when it runs. Each step leaves a stamp with
the hash of what it was made from, so a second run does no work twice.
"""

from __future__ import annotations

import argparse
import ctypes.util
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from interpreter import choose

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
BUILD = ROOT / "build" / "venv"
STAMPS = VENV / "stamps"
NODE_PACKAGES = (
    ["humanoid_core", "humanoid_ros", "humanoid_bench", "humanoid_cli", "sim_nodes", "twin_nodes", "vla_nodes",
     "safety_nodes", "view_nodes", "robot_nodes", "replay"]
)
GL_PACKAGES = "libegl1 libgl1-mesa-dri libegl-mesa0"
COMPILER_PACKAGES = "build-essential"


class InstallError(Exception):
    """A step that failed, with the way out in its text."""


def digest(*parts: str | Path) -> str:
    """Hash of texts and of the contents of files."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        sha.update(b"\0")
    return sha.hexdigest()


def done(step: str, key: str) -> bool:
    """Whether `step` was finished before with the same inputs."""
    stamp = STAMPS / step
    return stamp.is_file() and stamp.read_text() == key


def mark(step: str, key: str) -> None:
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / step).write_text(key)


def call(command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
    """Run a command into a log; on failure show the log's end and stop."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=BUILD, env=env).returncode
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise InstallError(f"{tail}\n\n'{' '.join(command[:6])} ...' ended with {code}; the whole log: {log}")


def ros_is_sourced() -> bool:
    """A ROS 2 install in the environment brings rclpy and the interface generators itself."""
    return bool(os.environ.get("ROS_DISTRO")) and bool(os.environ.get("AMENT_PREFIX_PATH"))


def make_venv(chosen: bool) -> None:
    """With the Python that runs this, or, unless it was chosen by the user, a faster one of the same version."""
    if sys.version_info < (3, 10):
        raise InstallError(f"Python {sys.version.split()[0]} is too old: install Python >= 3.10 and run "
                           "'make demo PYTHON=python3.11'")
    if PYTHON.exists():
        return
    python, why = (Path(sys.executable), "") if chosen or ros_is_sourced() else choose(Path(sys.executable))
    if why:
        print(f"      {why}", flush=True)
    command = [str(python), "-m", "venv", str(VENV)]
    if ros_is_sourced():
        command.insert(3, "--system-site-packages")
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise InstallError(f"{result.stdout}{result.stderr}\ncannot make a virtual environment; on Debian or "
                           "Ubuntu: sudo apt-get install python3-venv")


def install_wheels(name: str, files: list[str]) -> None:
    paths = [ROOT / "requirements" / f for f in files]
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
    for path in paths:
        command += ["-r", str(path)]
    call(command, BUILD / "logs" / f"{name}.log")


def interface_key() -> str:
    """Changes when an interface, the build or the set of installed files changes."""
    sources = sorted(p for d in ("msg", "srv", "action", "cmake") for p in (ROOT / d).iterdir())
    names = sorted(
        str(p.relative_to(ROOT))
        for d in [*NODE_PACKAGES, "launch", "config"]
        for p in (ROOT / d).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    )
    return digest(ROOT / "CMakeLists.txt", ROOT / "package.xml", *sources, *names, str(ros_is_sourced()))


def build_interfaces() -> None:
    """Configure, build and install into the venv; Python files become links, so edits are live."""
    env = dict(os.environ)
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env['PATH']}"
    # Generators look for their templates and type supports through these two.
    for variable in ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"):
        env[variable] = os.pathsep.join(filter(None, [str(VENV), env.get(variable)]))
    cmake = str(VENV / "bin" / "cmake") if (VENV / "bin" / "cmake").exists() else "cmake"
    log = BUILD / "logs" / "interfaces.log"
    call([cmake, "-S", str(ROOT), "-B", str(BUILD / "cmake"), "-G", "Ninja", f"-DCMAKE_INSTALL_PREFIX={VENV}",
          f"-DPython3_EXECUTABLE={PYTHON}", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF",
          "-DAMENT_CMAKE_SYMLINK_INSTALL=ON"], log, env)
    call([cmake, "--build", str(BUILD / "cmake")], log, env)
    call([cmake, "--install", str(BUILD / "cmake")], log, env)


def check_compiler() -> None:
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        apt_install(COMPILER_PACKAGES, "a C++ compiler (the interfaces are compiled)")
    if not shutil.which("c++"):
        raise InstallError(f"no C++ compiler: sudo apt-get install -y {COMPILER_PACKAGES}")


def check_gl() -> None:
    """Pictures need off-screen OpenGL; without it everything else runs."""
    if ctypes.util.find_library("EGL") or ctypes.util.find_library("OSMesa"):
        return
    apt_install(GL_PACKAGES, "off-screen OpenGL (camera pictures)")
    if not ctypes.util.find_library("EGL"):
        print(f"      no off-screen OpenGL: the simulated camera stays off, and a policy that looks cannot act.\n"
              f"      The way out: sudo apt-get install -y {GL_PACKAGES}", flush=True)


def apt_install(packages: str, why: str) -> None:
    """Install Debian packages when we may; otherwise the caller names the command."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print(f"      installing {packages}: {why}", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    subprocess.run(["apt-get", "install", "-y", "-q", *packages.split()], stdout=subprocess.DEVNULL, env=env)


def requirement_key(files: list[str]) -> str:
    return digest(*(ROOT / "requirements" / f for f in files), sys.version)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what the tests and linters need")
    parser.add_argument("--chosen", action="store_true", help="use the Python that runs this, and no other")
    arguments = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two terminals may call make at once
        return install(arguments.dev, arguments.chosen)


def install(with_dev: bool, chosen: bool) -> int:
    """Run the steps whose inputs changed; 0, or 1 with the reason on stderr."""
    ros = [] if ros_is_sourced() else ["run.txt", "build.txt"]
    base, policies, dev = [*ros, "libraries.txt"], ["policies.txt"], ["dev.txt", "unitree.txt"]
    steps = [
        ("virtual environment", "venv", sys.version, lambda: make_venv(chosen)),
        ("C++ compiler and off-screen OpenGL", "system", "1", lambda: (check_compiler(), check_gl())),
        ("ROS 2 and libraries" if ros else f"libraries (ROS 2 {os.environ['ROS_DISTRO']} is sourced)",
         "wheels", requirement_key(base), lambda: install_wheels("wheels", base)),
        ("torch and transformers", "policies", requirement_key(policies),
         lambda: install_wheels("policies", policies)),
    ]
    if with_dev:
        steps.append(("test tools", "dev", requirement_key(dev), lambda: install_wheels("dev", dev)))
    steps.append(("interfaces and nodes", "interfaces", interface_key(), build_interfaces))
    todo = [s for s in steps if not done(s[1], s[2])]
    for number, (title, step, key, action) in enumerate(todo, start=1):
        print(f"[{number}/{len(todo)}] {title} ...", flush=True)
        started = time.monotonic()
        try:
            action()
        except InstallError as error:
            print(f"{error}\nstopped at: {title}", file=sys.stderr)
            return 1
        mark(step, key)
        print(f"      {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
