"""A server that is killed and started again, over and over: does the client come back, and does it keep anything?

Needs the test servers of the source tree. One cycle: SIGKILL, a question that is refused, a new process on the same
port, questions until one is answered. Threads, open sockets and files of this process are counted before and after.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure
from humanoid_core.robot import load_robot
from humanoid_core.robot_model import Array
from vla_nodes.backends.make import under_contract
from vla_nodes.core.contract import load_contract
from vla_nodes.core.instruction import Refusal

SCHEME = {"openpi": "ws://127.0.0.1:{}", "gr00t": "tcp://127.0.0.1:{}", "openvla": "http://127.0.0.1:{}",
          "lerobot": "127.0.0.1:{}"}  # fmt: skip
PATIENCE, DEADLINE = 30.0, 0.25


@dataclass(frozen=True)
class Cycles:
    """``back`` s from the server's being there again to an answer, (n,); what was open before and after."""

    back: Array
    threads: tuple[int, int]
    sockets: tuple[int, int]


def open_things() -> tuple[int, int]:
    """Threads, and open sockets and files."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def run(protocol: str, count: int, progress: Callable[[float], None] = lambda share: None) -> Cycles:
    """``count`` cycles after two that are not counted: what a library keeps once, it may keep."""
    tests = Path(__file__).resolve().parents[1] / "test"
    if not (tests / "peers" / f"{protocol}.py").is_file():
        raise BadInput("the test servers (test/peers) are not here; run it from the source tree")
    if str(tests) not in sys.path:
        sys.path.insert(0, str(tests))
    from peers.board import Peer

    from humanoid_bench.vla_latency import standing

    robot = load_robot("g1")
    loaded = load_contract(f"g1_{protocol}", robot)
    loaded = replace(loaded, terms=loaded.terms.model_copy(update={"deadline": DEADLINE}))
    seen, back = standing(robot), []
    with Peer(protocol, "--horizon", str(loaded.terms.horizon)) as peer:
        backend = under_contract(loaded, robot, SCHEME[protocol].format(peer.port))

        def asked() -> bool:
            now = time.monotonic_ns()
            return not isinstance(backend.observe(replace(seen, now_ns=now, stamp_ns=now, image_ns=now, state=replace(
                seen.state, stamp_ns=now), latest=replace(seen.latest, stamp_ns=now))), Refusal)  # fmt: skip

        def answered() -> float:
            begin = time.monotonic()
            while not asked():
                if time.monotonic() - begin > PATIENCE:
                    raise BadInput(f"{protocol}: no answer within {PATIENCE:.0f} s of the server's restart")
                time.sleep(0.01)
            return time.monotonic() - begin

        try:
            backend.start("touch the red cube")
            answered()
            before = (0, 0)
            for k in range(count + 2):
                if k == 2:
                    before = open_things()
                peer.kill()
                if asked():
                    raise BadInput(f"{protocol}: an answer from a server that is gone")
                peer.start()
                back.append(answered())
                progress(k / (count + 1))
            after = open_things()
        finally:
            backend.close()
    return Cycles(np.array(back[2:]), (before[0], after[0]), (before[1], after[1]))


def figures(protocol: str, found: Cycles) -> dict[str, Figure]:
    n = len(found.back)
    grown = found.threads[1] - found.threads[0], found.sockets[1] - found.sockets[0]
    return {f"threads_left_{protocol}": Figure(grown[0], "", 0, n),
            f"sockets_left_{protocol}": Figure(grown[1], "", 0, n),
            f"back_after_restart_max_s_{protocol}": Figure(round(float(np.max(found.back)), 2), "s", None, n)}
