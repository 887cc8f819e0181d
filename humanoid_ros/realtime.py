"""Real-time priority for the processes that keep the robot safe, where the system allows it.

A loop of 100 Hz needs a processor within milliseconds, also while something else compiles. Linux gives that to
SCHED_RR threads; a share of 5 % stays with everybody else (sched_rt_runtime_us), so a runaway node cannot take the
machine. Without the right to ask, the node runs on and says so.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PRIORITY = 10  # of 1 to 99: above every ordinary process, below drivers and the kernel's own threads
WAY_OUT = "allow it with a line '<user> - rtprio 10' in /etc/security/limits.conf"


def raise_priority() -> str:
    """Put every thread of this process under SCHED_RR; '' or why not."""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no real-time scheduling"
    try:
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # a thread that ended meanwhile
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(PRIORITY))
    except OSError as error:
        return f"{error.strerror}; {WAY_OUT}"
    return ""
