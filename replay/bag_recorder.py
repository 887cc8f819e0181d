"""bag_recorder: records the graph it belongs to, or keeps its last minutes and saves them when it gets dangerous."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import rclpy

from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS
from humanoid_core.types import Level, SafetyStatus
from humanoid_replay.about import NODES, RunningParameters, about
from humanoid_replay.black_box import BlackBox
from humanoid_replay.errors import BagError
from humanoid_replay.params import BagRecorderParams
from humanoid_replay.recorder import MIB, PICTURES, Recorder
from humanoid_replay.recording import Limits
from humanoid_ros.node import ERROR, OK, WARN, HumanoidNode, run
from humanoid_ros.params import ParameterError, declare
from humanoid_ros.watcher import Watcher

#: s between two looks at what came; when it was published is known without looking.
PERIOD = 0.1


def stamp() -> str:
    """Now, for the name of a folder."""
    return datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")


def topics(pictures: bool) -> tuple[str, ...]:
    """What is recorded."""
    return tuple(name for name, row in TOPICS.items() if pictures or row.type not in PICTURES)


class BagRecorder(HumanoidNode):
    """A watcher takes raw messages ten times a second, a recorder writes them in a thread of its own."""

    def __init__(self) -> None:
        super().__init__("bag_recorder")
        self.params = declare(self, BagRecorderParams)

    def configure(self) -> None:
        """Open the recording."""
        p = self.params
        path = Path(p.path).expanduser() if p.path else Path.home() / ".humanoid_twin" / "bags" / stamp()
        limits = Limits(p.split_seconds, p.split_mib * MIB, p.ring)
        try:
            self.recorder = Recorder(path, about(load_robot(p.robot)), limits, p.storage)
        except BagError as error:
            raise ParameterError(f"bag_recorder: path = '{path}': {error}") from None
        self._box = BlackBox(Level[p.save_on] if p.ring > 0.0 and p.save_on else None, p.save_after)
        self._saved = 0
        self._problem = ""
        self.subscribe("safety/status", self._on_status)
        self._watcher: Watcher | None = None
        self._missed: Counter[str] = Counter()
        self.steady_timer(0.2, self._look)
        note = partial(self.recorder.recording.note, "parameters")
        self.steady_timer(1.0, RunningParameters(self, NODES, note).look)
        self.diagnostics(self._report)
        self.get_logger().info(f"recording into {path}")

    def _on_status(self, status: SafetyStatus) -> None:
        self._box.hear(status.level, status.cause, time.monotonic_ns())

    def _look(self) -> None:
        why = self._box.due(time.monotonic_ns())
        if not why:
            return
        path = self.recorder.recording.path
        target = path.with_name(f"{path.name}-saved-{stamp()}")
        since = time.time_ns() - round((self.params.ring + self.params.save_after) * NS)
        try:
            self.recorder.save(target, since)
            self._saved += 1
            self.get_logger().warning(f"saved {target}: {why}")
        except BagError as error:
            self._problem = str(error)
            self.get_logger().error(f"not saved: {error}")

    def _report(self) -> tuple[int, str, dict[str, object]]:
        account = replace(self.recorder.account)
        values = {"written": account.written, "pictures left out": account.pictures_left_out,
                  "lost": dict(account.lost), "missed": dict(self._all_missed()),
                  "most waiting MiB": f"{account.most_waiting / MIB:.1f}", "saved": self._saved}
        if account.why or self._problem:
            return ERROR, account.why or self._problem, values
        if not account.complete:
            return WARN, "something was left out", values
        return OK, f"recording into {self.recorder.recording.path}", values

    def _all_missed(self) -> Counter[str]:
        return self._missed if self._watcher is None else self._missed + self._watcher.missed

    def activated(self) -> None:
        """Record."""
        self._watcher = Watcher(rclpy.get_default_context(), self.get_namespace(), sink=self.recorder,
                                topics=topics(self.params.pictures), period=PERIOD, prompt=False)
        self._watcher.start()

    def deactivated(self) -> None:
        """Write what waits, and pause."""
        if self._watcher is not None:
            self._watcher.stop()
            self._missed += self._watcher.missed
            self._watcher = None

    def close(self) -> None:
        """The recording's end."""
        self.recorder.close(self._missed)


def main() -> int:
    return run(BagRecorder)


if __name__ == "__main__":
    raise SystemExit(main())
