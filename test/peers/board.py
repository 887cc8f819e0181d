"""What every test server shares: faults that can be switched while it runs, a small policy, and its process.

A server is a process of its own (`python -m peers.openpi --port 0`), so that it can be killed and restarted. It says
`ready PORT` once it listens, and reads one line per switch on standard input: `delay 0.3`, `jitter 0.2`, `mode nan`.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

#: ok; nan; shape: one column too few; traceback: an error inside the policy; drop: the connection is closed instead of
#: an answer; half: half of the answer, then silence; hang: silence.
MODES = ("ok", "nan", "shape", "traceback", "drop", "half", "hang")


@dataclass
class Board:
    """``delay`` s before each answer, plus up to ``jitter`` s."""

    delay: float = 0.0
    jitter: float = 0.0
    mode: str = "ok"
    asked: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(1))

    def think(self) -> str:
        """Wait as long as told; the mode that counts for this answer."""
        self.asked += 1
        mode = self.mode
        time.sleep(self.delay + self.jitter * self.random.random())
        return mode

    def rows(self, state: np.ndarray, horizon: int, mode: str, step: float = 0.02) -> np.ndarray:
        """float32[horizon, n]: the state; its first entry goes up at 0.3 per second until it is 0.3."""
        if mode == "traceback":
            raise RuntimeError("CUDA out of memory (a test fault)")
        state = np.asarray(state, dtype=np.float64).ravel()
        speed = 0.3 if state[0] < 0.3 else 0.0
        rows = state[None, :] + speed * step * np.arange(1, horizon + 1)[:, None] * (np.arange(state.size) == 0)
        if mode == "nan":
            rows[horizon // 2, 0] = np.nan
        return (rows[:, :-1] if mode == "shape" else rows).astype(np.float32)


def serve(start: Callable[[Board, int, argparse.Namespace], int]) -> None:
    """Main of a server: ``start`` begins to listen in threads of its own and returns the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=50)
    parser.add_argument("--size", type=int, default=17)
    board, options = Board(), parser.parse_args()
    port = start(board, options.port, options)
    print(f"ready {port}", flush=True)
    for line in sys.stdin:
        name, value = line.split()
        setattr(board, name, value if name == "mode" else float(value))
        print("ok", flush=True)
    os._exit(0)


class Peer:
    """A test server's process, from the test's side."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name, self._arguments = name, arguments
        self.port = 0
        self.start()

    def start(self) -> None:
        """Again on the same port after ``kill``."""
        here = Path(__file__).resolve().parents[1]
        env = {**os.environ, "PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", f"peers.{self.name}", "--port", str(self.port), *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
                                         cwd=here.parent)  # fmt: skip
        word, _, port = self._line().partition(" ")
        if word != "ready":
            raise RuntimeError(f"the test server '{self.name}' did not start: {word} {port}")
        self.port = int(port)

    def _line(self, patience: float = 60.0) -> str:
        assert self._process.stdout is not None
        watchdog = threading.Timer(patience, self._process.kill)
        watchdog.start()
        try:
            return self._process.stdout.readline().strip()
        finally:
            watchdog.cancel()
            watchdog.join()

    def set(self, **switches: object) -> None:
        """Turn switches of the board; returns once they count."""
        assert self._process.stdin is not None
        for name, value in switches.items():
            self._process.stdin.write(f"{name} {value}\n")
            self._process.stdin.flush()
            if self._line() != "ok":
                raise RuntimeError(f"the test server '{self.name}' is gone")

    def kill(self) -> None:
        """SIGKILL, as when a process runs out of memory."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()
