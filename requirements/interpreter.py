"""Which Python the environment is made with.

A Python that was compiled without profile-guided optimization (pyenv's builds, unless asked) runs the nodes up to one
and a half times slower than a distribution's of the same version. Nothing in a build's configuration tells this
reliably, so both run the same few milliseconds of work. Standard library only.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SYSTEM = Path("/usr/bin/python3")
#: How many times faster the system's Python must be to be taken instead of the one that was called.
WORTH_IT = 1.1
ROUNDS = 5
#: Attribute access, calls and float arithmetic: what nodes do all day. Prints minor version, 1 when it can make an
#: environment and extensions can be compiled against it, and the least time of ten.
PROBE = """
import importlib.util, os, sys, sysconfig, time
class State:
    def __init__(self, q, v):
        self.q, self.v = q, v
    def moved(self, other):
        return State(self.q + other.v * 0.005, self.v + other.q)
def work():
    begin, state, push = time.perf_counter(), State(0.0, 1.0), State(0.1, 0.2)
    for _ in range(20000):
        state = state.moved(push)
    return time.perf_counter() - begin
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
whole = os.path.isfile(header) and all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
print(sys.version_info[1], int(whole), min(work() for _ in range(10)))
"""


def probe(python: Path) -> tuple[int, bool, float] | None:
    """Minor version, whether an environment can be made with it, and s for the work; None when it does not run."""
    try:
        done = subprocess.run([str(python), "-I", "-c", PROBE], capture_output=True, text=True, timeout=30)
        minor, whole, seconds = done.stdout.split()
        return int(minor), whole == "1", float(seconds)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def choose(called: Path, system: Path = SYSTEM) -> tuple[Path, str]:
    """The system's Python when it has the same minor version, is whole, and is faster by ``WORTH_IT``; else ``called``.
    With one line that says so, '' when nothing was changed."""
    times: dict[Path, list[float]] = {called: [], system: []}
    for _ in range(ROUNDS):  # in turn: a machine that is busy for a moment is so for both
        for python in times:
            found = probe(python)
            if found is None or found[0] != sys.version_info[1] or (python == system and not found[1]):
                return called, ""
            times[python].append(found[2])
    ratio = min(times[called]) / min(times[system])
    if ratio < WORTH_IT:
        return called, ""
    return system, (f"{system} is {ratio:.1f} times as fast as {called}, of the same version, and is used instead; "
                    f"'make clean env PYTHON={called}' keeps to yours")
