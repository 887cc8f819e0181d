"""Priority for the processes that keep the robot safe, where the system allows it.

A loop of 100 Hz needs a processor within milliseconds, also while something else compiles. Linux gives that to
SCHED_RR threads; a share of 5 % stays with everybody else (sched_rt_runtime_us). That share is taken in one piece: a
core full of real-time work stands still for 50 ms once a second, longer than any deadline here. So only what is
small and decides asks for it (`REAL_TIME`: ingest, monitor, gate); what is large and feeds them is preferred among
ordinary processes (`PREFERRED`: simulated robot, twin). Without the right to ask, the node runs on and says so.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

REAL_TIME, PREFERRED = "real-time", "preferred"

PRIORITY = 10  # of 1 to 99: above every ordinary process, below drivers and the kernel's own threads
LISTENER = 5  # of those who only note when something came: below the nodes
NICENESS = -10  # nine times the share of an ordinary process
WAY_OUT = "allow it with lines '<user> - rtprio 10' and '<user> - nice -10' in /etc/security/limits.conf"


def prefer() -> str:
    """Give every thread of this process `NICENESS`; '' or why not."""
    return _renice(NICENESS)


def _renice(niceness: int) -> str:
    try:
        for task in _tasks():
            with contextlib.suppress(ProcessLookupError):  # a thread that ended meanwhile
                os.setpriority(os.PRIO_PROCESS, task, niceness)
        group = Path("/proc/self/autogroup")  # where Linux groups by session, niceness counts within the session only
        if group.exists():
            group.write_text(str(niceness))
    except OSError as error:
        return f"{error.strerror}; {WAY_OUT}"
    return ""


def raise_priority() -> str:
    """Put every thread of this process under SCHED_RR; '' or why not."""
    return _raise(_tasks(), PRIORITY)


@contextlib.contextmanager
def for_a_while(ask: Callable[[], str]) -> Iterator[None]:
    """What ``ask`` gives (`prefer`, `raise_priority`), given back at the end: who measures goes on to other things."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        ask()
        yield
    finally:
        _schedule(_tasks(), "SCHED_OTHER", 0)
        _renice(niceness)


def raise_listeners() -> str:
    """Put the middleware's threads under SCHED_RR, and none of Python's: messages get the time of their arrival also
    while this process itself has to wait. '' or why not."""
    python = {thread.native_id for thread in threading.enumerate()}
    return _raise(_tasks() - python, LISTENER)


def calm_listeners() -> str:
    """Let the middleware's threads wake for several messages at once where the machine is busy (SCHED_BATCH): for one
    who reads when a message was published, not when it came. '' or why not."""
    python = {thread.native_id for thread in threading.enumerate()}
    return _schedule(_tasks() - python, "SCHED_BATCH", 0)


def _tasks() -> set[int]:
    """Every thread of this process."""
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


def _raise(tasks: set[int], priority: int) -> str:
    return _schedule(tasks, "SCHED_RR", priority)


def _schedule(tasks: set[int], policy: str, priority: int) -> str:
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no real-time scheduling"
    try:
        for task in tasks:
            with contextlib.suppress(ProcessLookupError):  # a thread that ended meanwhile
                os.sched_setscheduler(task, getattr(os, policy), os.sched_param(priority))
    except OSError as error:
        return f"{error.strerror}; {WAY_OUT}"
    return ""
