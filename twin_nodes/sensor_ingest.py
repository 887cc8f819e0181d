"""sensor_ingest: raw topics -> `ingest/robot_state` and `ingest/sensor_health`."""

from __future__ import annotations

import time
import zlib
from typing import Any

from humanoid_twin.msg import TwinState as TwinStateMsg

from humanoid_core.robot import RobotError, RobotModel, load_robot
from humanoid_core.topics import TOPICS
from humanoid_core.types import SensorHealth, TwinState
from humanoid_ros.convert import from_bytes
from humanoid_ros.head import stamp_ns
from humanoid_ros.node import ERROR, OK, WARN, HumanoidNode, run
from humanoid_ros.params import declare
from humanoid_ros.polled import Polled
from humanoid_ros.realtime import REAL_TIME
from twin_nodes.core.ingest import IngestCore
from twin_nodes.core.other_checks import PictureStamp
from twin_nodes.core.verdict import IngestConfig
from twin_nodes.params import IngestParams

JOINTS, TWIN = "joint_states", "twin/state"
PICTURES = ("image", "depth")
#: Without joint samples the other sources are read this often.
IDLE_PERIOD_S = 0.02
PICTURE_PERIOD_NS, HEALTH_PERIOD_NS = 20_000_000, 100_000_000
#: Bytes of a serialized picture before its pixels may begin; they hold the stamp, which changes anyway.
HEAD = 64


class SensorIngest(HumanoidNode):
    """Converts, asks the core, publishes."""

    def __init__(self) -> None:
        super().__init__("sensor_ingest")
        self.priority = REAL_TIME
        self.params = declare(self, IngestParams)

    def configure(self) -> None:
        """Build everything."""
        p = self.params
        self.robot = load_robot(p.robot)
        known = _known_sources(self.robot, p.watch_camera)
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        config = IngestConfig(p.clock_lag_ms if self._simulated else p.future_ms, p.handback_ms,
                              position_margin=p.position_margin, disagreement=p.disagreement,
                              estimate_for=p.estimate_for)
        self.core = IngestCore({t: self.robot.sources[t] for t in known}, self.robot, config)
        self._twin: bytes | None = None  # serialized: hardly ever wanted, and it comes 100 times a second
        self._twins = Polled(self, TWIN, depth=1) if self.robot.recovery.estimate else None
        self.core.ask_twin = self._newest_twin
        self.advertise("ingest/robot_state", "ingest/sensor_health")
        self._joints = Polled(self, JOINTS)
        self._others = [Polled(self, t) for t in known if t != JOINTS and self.robot.sources[t].kind not in PICTURES]
        self._pictures = [Polled(self, t) for t in known if self.robot.sources[t].kind in PICTURES]
        self._next_health_ns = self._next_picture_ns = 0
        self._counted: dict[str, int] = {}
        self._health: SensorHealth | None = None
        self.own_loop(self._step)
        self.diagnostics(self._report)

    def _step(self) -> None:
        """Everything that the core does happens in this one thread: wait for joints, read what else came, publish."""
        self._joints.wait(IDLE_PERIOD_S)
        joints = list(self._joints.read())
        for source in self._others:
            self._offer(source.topic, list(source.read()))
        self._offer(JOINTS, joints)
        mono_ns = time.monotonic_ns()
        if mono_ns >= self._next_picture_ns:
            self._next_picture_ns = mono_ns + PICTURE_PERIOD_NS
            for source in self._pictures:
                self._offer(source.topic, [picture_stamp(data) for data in source.take()])
        if mono_ns >= self._next_health_ns:
            # Whole periods are kept while it is on time, so that the rate is the table's.
            self._next_health_ns = max(self._next_health_ns + HEALTH_PERIOD_NS, mono_ns + HEALTH_PERIOD_NS // 2)
            self._send_health()

    def _newest_twin(self) -> TwinState | None:
        """What the twin said last, read when a joint's sensor is lost."""
        for data in self._twins.take() if self._twins is not None else ():
            self._twin = data
        if self._twin is None:
            return None
        try:
            twin: TwinState = from_bytes(self._twin, TwinStateMsg)
        except ValueError:
            return None
        return twin

    def _offer(self, topic: str, samples: list[Any]) -> None:
        """The time is read after the messages: one that came in between must not look as if from the future."""
        if not samples:
            return
        now_ns = self.now_ns()
        if now_ns <= 0:  # use_sim_time and no clock yet: nothing can be judged
            return
        mono_ns = self._mono_ns()
        for sample in samples:
            output = self.core.on_sample(topic, sample, now_ns, mono_ns)
            if output.state is not None:
                self.send("ingest/robot_state", output.state)
            for event in output.events:
                self.get_logger().warning(event)

    def _send_health(self) -> None:
        now_ns = self.now_ns()
        if now_ns > 0:
            self._health = self.core.health(now_ns, self._mono_ns())
            self.send("ingest/sensor_health", self._health)

    def _mono_ns(self) -> int | None:
        """None where time comes from /clock: it is no wall clock, and may jump as it likes."""
        return None if self._simulated else time.monotonic_ns()

    def _report(self) -> tuple[int, str, dict[str, object]]:
        """Once a second; also the place where new refusals go to the log, one line a source."""
        health = self._health
        if health is None:
            return ERROR, "waits for /clock", {}
        values: dict[str, object] = {"states": self.core.seq, "clock resets": self.core.resets.total}
        for s in health.sources:
            refused = sum(count for _, count in s.refusals)
            values[s.topic] = f"{s.state}, {s.rate_hz:.1f} Hz, age {s.age_ms:.1f} ms, {refused} refused"
            new = refused - self._counted.get(s.topic, 0)
            if new:
                self._counted[s.topic] = refused
                self.get_logger().warning(f"{s.topic}: {new} refused, {s.state}; last {s.last_refusal}")
        missing = self.core.waiting_for()
        if missing:
            return ERROR, f"NEVER_SEEN: {', '.join(missing)}; nothing is published before they come", values
        if not health.all_required_ok:
            return ERROR, "a required source fails", values
        bad = [s.topic for s in health.sources if s.state != "ok"]
        return (WARN, f"not ok: {', '.join(bad)}", values) if bad else (OK, "all sources ok", values)


def picture_stamp(data: bytes) -> PictureStamp:
    """Of a serialized Image: its pixels are not decoded to find out that it came."""
    return PictureStamp(stamp_ns(data), len(data) - HEAD, zlib.crc32(data[HEAD::17]))


def _known_sources(robot: RobotModel, cameras: bool) -> list[str]:
    """Topics of the robot file that are sources here; joints are a must."""
    if JOINTS not in robot.sources:
        raise RobotError(robot.file, "sources", list(robot.sources), f"add '{JOINTS}', which makes the robot state")
    for topic in robot.sources:
        if topic not in TOPICS:
            raise RobotError(robot.file, f"sources.{topic}", topic, "no such topic in docs/topics.md")
    return [t for t, s in robot.sources.items() if cameras or s.kind not in PICTURES]


def main() -> int:
    return run(SensorIngest)
