"""Real-time priority for the processes that keep the robot safe, where the system allows it.

A loop of 100 Hz needs a processor within milliseconds, also while something else compiles. Linux gives that to
SCHED_RR threads; a share of 5 % stays with everybody else (sched_rt_runtime_us), so a runaway node cannot take the
machine. Without the right to ask, the node runs on and says so.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

PRIORITY = 10  # of 1 to 99: above every ordinary process, below drivers and the kernel's own threads
LISTENER = 5  # of those who only note when something came: below the nodes
WAY_OUT = "allow it with a line '<user> - rtprio 10' in /etc/security/limits.conf"


def raise_priority() -> str:
    """Put every thread of this process under SCHED_RR; '' or why not."""
    return _raise({int(task.name) for task in Path("/proc/self/task").iterdir()}, PRIORITY)


def raise_listeners() -> str:
    """Put the middleware's threads under SCHED_RR, and none of Python's: messages get the time of their arrival also
    while this process itself has to wait. '' or why not."""
    python = {thread.native_id for thread in threading.enumerate()}
    return _raise({int(task.name) for task in Path("/proc/self/task").iterdir()} - python, LISTENER)


def _raise(tasks: set[int], priority: int) -> str:
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no real-time scheduling"
    try:
        for task in tasks:
            with contextlib.suppress(ProcessLookupError):  # a thread that ended meanwhile
                os.sched_setscheduler(task, os.SCHED_RR, os.sched_param(priority))
    except OSError as error:
        return f"{error.strerror}; {WAY_OUT}"
    return ""
