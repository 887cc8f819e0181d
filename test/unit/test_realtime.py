"""Real-time priority: taken where the system allows it, and named with the way out where it does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from humanoid_ros.realtime import NICENESS, PRIORITY, prefer, raise_priority

THREADS = '''
import os, threading
from humanoid_ros.realtime import raise_priority
done = threading.Event()
other = threading.Thread(target=done.wait)
other.start()
print(raise_priority() or "yes")
print(sorted(os.sched_getscheduler(int(t)) for t in os.listdir("/proc/self/task")))
done.set()
'''


def test_without_the_right_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    said = raise_priority()
    assert "Operation not permitted" in said
    assert f"rtprio {PRIORITY}" in said


@pytest.mark.skipif(not hasattr(os, "SCHED_RR"), reason="this system has no real-time scheduling")
def test_every_thread_gets_it_or_none_is_claimed_to_have_it() -> None:
    out = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True).stdout
    said, policies = out.splitlines()
    kinds = set(map(int, policies.strip("[]").split(",")))
    assert (said == "yes") == (kinds == {os.SCHED_RR}), out


PREFERRED = '''
import os, threading
from humanoid_ros.realtime import prefer
done = threading.Event()
other = threading.Thread(target=done.wait)
other.start()
print(prefer() or "yes")
print(sorted(os.getpriority(os.PRIO_PROCESS, int(t)) for t in os.listdir("/proc/self/task")))
done.set()
'''


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a niceness of its own on Linux only")
def test_every_thread_is_preferred_or_none_is_claimed_to_be() -> None:
    out = subprocess.run([sys.executable, "-c", PREFERRED], capture_output=True, text=True, check=True,
                         start_new_session=True).stdout
    said, values = out.splitlines()
    assert (said == "yes") == (set(map(int, values.strip("[]").split(","))) == {NICENESS}), out


def test_without_the_right_to_be_preferred_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    said = prefer()
    assert "Permission denied" in said
    assert f"nice {NICENESS}" in said


CALM = '''
import os, threading
import rclpy
from humanoid_ros.realtime import calm_listeners
rclpy.init()
node = rclpy.create_node("calm")
done = threading.Event()
own = threading.Thread(target=done.wait)
own.start()
print(calm_listeners() or "yes")
print(sorted({os.sched_getscheduler(int(t)) for t in os.listdir("/proc/self/task")}))
print(os.sched_getscheduler(0), os.sched_getscheduler(own.native_id))
done.set()
node.destroy_node()
rclpy.shutdown()
'''


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has no such policy")
def test_calm_listeners_are_the_middlewares_threads_alone(domain: int) -> None:
    out = subprocess.run([sys.executable, "-c", CALM], capture_output=True, text=True, check=True).stdout
    said, policies, own = out.splitlines()
    assert said == "yes"
    assert str(os.SCHED_BATCH) in policies
    assert own == f"{os.SCHED_OTHER} {os.SCHED_OTHER}"


GIVEN_BACK = '''
import os, threading
from humanoid_ros.realtime import for_a_while, prefer, raise_priority
def seen():
    tasks = [int(t) for t in os.listdir("/proc/self/task")]
    return sorted({(os.sched_getscheduler(t), os.getpriority(os.PRIO_PROCESS, t)) for t in tasks})
before = seen()
try:
    with for_a_while(lambda: prefer() + raise_priority()):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        1 / 0
except ZeroDivisionError:
    print(seen() == before)
'''


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a niceness of its own on Linux only")
def test_what_was_taken_for_a_measurement_is_given_back() -> None:
    """Also by threads that began meanwhile, and when the measurement failed."""
    out = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, check=True,
                         start_new_session=True).stdout
    assert out == "True\n"
