"""sensor_ingest's core: raw samples in, a validated, name-ordered, time-aligned robot state out.

The arrival of each accepted joint sample makes one state, stamped with that sample's capture time. Estimators
downstream run on that stamp only. Nothing is published before every required source has been seen.

While a backup IMU stands in, the state carries what that IMU measured in its own frame and names it in
``imu_source``: whoever wants the base's attitude goes through the joints between the two, as the monitor and the
twin do. Turning it here would hide from the monitor which instrument it relies on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from humanoid_core.kinematics import Kinematics
from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, ImuSpec, RobotModel, SourceSpec
from humanoid_core.timing import MS, NS, SteadyStamps
from humanoid_core.types import ImuSample, JointSample, RobotState, SensorHealth, SourceHealth, TwinState
from twin_nodes.core.disagreement import Disagreement
from twin_nodes.core.failover import Failover
from twin_nodes.core.imu_transfer import ImuTransfer
from twin_nodes.core.lost_joints import LostJoints
from twin_nodes.core.source import Source
from twin_nodes.core.turning import turned, up
from twin_nodes.core.verdict import IngestConfig

#: Time between two looks at whether the IMUs agree.
LOOK_NS = 50 * MS


@dataclass(frozen=True)
class Refusal:
    """One sample that was not used."""

    topic: str
    code: str
    detail: str


@dataclass(frozen=True)
class IngestOutput:
    """What one sample led to. ``events``: changes worth a line in the log (clock reset, backup, hand-back)."""

    state: RobotState | None = None
    refusal: Refusal | None = None
    events: tuple[str, ...] = ()


NOTHING = IngestOutput()


class IngestCore:
    """Deterministic: the same samples at the same times give the same states. Not for two threads at once."""

    def __init__(self, sources: Mapping[str, SourceSpec], robot: RobotModel | None = None,
                 config: IngestConfig | None = None) -> None:
        """``robot`` None: a recording of an unknown robot; names come from its first joint sample."""
        self.config = config or IngestConfig()
        self.robot = robot
        self.sources = {topic: Source(spec, robot, self.config) for topic, spec in sources.items()}
        self.resets = Refusals()
        self.seq = 0
        dwell = round(self.config.handback_ms * MS)
        backups = {s.backup for s in sources.values() if s.backup}
        self._pairs = {t: Failover(s, self.sources.get(s.spec.backup or ""), dwell)
                       for t, s in self.sources.items() if t not in backups}
        self._joints = self._first("joints")
        self._imu = self._pairs[primary.topic] if (primary := self._first("imu", backups)) is not None else None
        self._battery, self._motors = self._first("battery"), self._first("motors")
        self._feet = self._foot_sources()
        self._required = [s for s in self.sources.values() if s.spec.required]
        used = [self._battery, self._motors, *self._feet]
        self._side = [s for s in used if s is not None]
        self._transfer = self._make_transfer()
        self._disagreement = Disagreement(self.config.disagreement, round(self.config.disagreement_ms * MS))
        #: Gives the newest twin state; asked only while a joint's sensor is lost.
        self.ask_twin: Callable[[], TwinState | None] = lambda: None
        self._lost = self._make_lost()
        self._estimated: tuple[str, ...] = ()
        self._reset_ns = round(self.config.clock_reset_ms * MS)
        self._now_ns = 0
        self._look_ns = 0
        self._clocks = SteadyStamps()

    @classmethod
    def for_robot(cls, robot: RobotModel, config: IngestConfig | None = None) -> IngestCore:
        return cls(robot.sources, robot, config)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Order of the state's joint arrays."""
        if self.robot is not None:
            return self.robot.joint_names
        return getattr(self._joints.check, "names", ()) if self._joints is not None else ()

    def on_sample(self, topic: str, sample: Any, now_ns: int, mono_ns: int | None = None) -> IngestOutput:
        """Judge one sample that arrived at ``now_ns`` (ROS time); a topic that is no source is an error.

        ``mono_ns``: the same by the monotonic clock, where ROS time is the wall clock and somebody may set it.
        """
        source = self.sources[topic]
        events = self._watch_clock(now_ns, mono_ns)
        code = detail = ""
        if source is self._joints and self._lost is not None and not source.stamped(sample, now_ns)[0]:
            sample, self._estimated, said, code, detail = self._lost.mend(sample)
            events += said
        code, detail = source.offer(sample, now_ns) if not code else source.refuse(code, detail)
        if code:
            return IngestOutput(None, Refusal(topic, code, detail), events)
        if source is not self._joints:
            return NOTHING if not events else IngestOutput(None, None, events)
        if self._imu is not None:
            events += self._watch_imus(now_ns, source.stamp_ns)
        return IngestOutput(self._state(source.last, now_ns), None, events)

    def waiting_for(self) -> tuple[str, ...]:
        """Required topics that were never seen; while there are any, no state is published."""
        return tuple(s.topic for s in self._required if not s.seen)

    def health(self, now_ns: int, mono_ns: int | None = None) -> SensorHealth:
        """At ``now_ns`` and ``mono_ns`` as in ``on_sample``."""
        self._watch_steps(now_ns, mono_ns)
        stands_in = {p.primary.topic: p.backup.topic for p in self._pairs.values() if p.on_backup and p.backup}
        rows: list[SourceHealth] = []
        ok = True
        for topic, source in self.sources.items():
            backup = stands_in.get(topic, "")
            rows.append(source.health(now_ns, not backup, backup))
            if source.spec.required and not source.usable(now_ns):
                ok = ok and bool(backup) and self.sources[backup].usable(now_ns)
        return SensorHealth(now_ns, tuple(rows), ok)

    # --- what stands behind

    def _first(self, kind: str, without: Collection[str] = ()) -> Source | None:
        return next((s for s in self.sources.values() if s.spec.kind == kind and s.topic not in without), None)

    def _foot_sources(self) -> tuple[Source | None, Source | None]:
        """Left, right: by the feet's names where the robot file gives them, else in the order of the sources."""
        if self.robot is not None:
            by_name = {foot.name: self.sources.get(foot.topic) for foot in self.robot.feet}
            if "left" in by_name or "right" in by_name:
                return by_name.get("left"), by_name.get("right")
        found: list[Source | None] = [s for s in self.sources.values() if s.spec.kind == "wrench"]
        left, right, *_ = [*found, None, None]
        return left, right

    def _imu_spec(self, source: Source | None) -> ImuSpec | None:
        if self.robot is None or source is None:
            return None
        return next((i for i in self.robot.imus if i.topic == source.topic), None)

    def _make_lost(self) -> LostJoints | None:
        if self.robot is None or self._joints is None or not self.robot.recovery.watch:
            return None
        return LostJoints(self.robot, self.config, self._joints.spec.frozen_ms, lambda: self.ask_twin())

    def _make_transfer(self) -> ImuTransfer | None:
        if self.robot is None or self._imu is None:
            return None
        primary, backup = self._imu_spec(self._imu.primary), self._imu_spec(self._imu.backup)
        if primary is None or backup is None:
            return None
        return ImuTransfer(self.robot, Kinematics(self.robot), primary, backup)

    def _watch_steps(self, now_ns: int, mono_ns: int | None) -> None:
        """A wall clock that is set ahead ages nothing: what is remembered by stamps goes over to the new time."""
        step_ns = self._clocks.tick(mono_ns, now_ns) if mono_ns is not None else 0
        if step_ns <= 0:
            return
        for source in self.sources.values():
            source.move(step_ns)
        for pair in self._pairs.values():
            pair.move(step_ns)
        if self._lost is not None:
            self._lost.move(step_ns)
        self._disagreement.move(step_ns)
        self._look_ns += step_ns

    def _watch_clock(self, now_ns: int, mono_ns: int | None) -> tuple[str, ...]:
        """ROS time that jumps back (a recording that loops, a simulation that restarts) starts everything anew."""
        self._watch_steps(now_ns, mono_ns)
        back = self._now_ns - now_ns
        if back <= self._reset_ns:
            self._now_ns = max(self._now_ns, now_ns)
            return ()
        for source in self.sources.values():
            source.clear()
        for pair in self._pairs.values():
            pair.clear()
        if self._lost is not None:
            self._lost.clear()
        self._disagreement.clear()
        self._now_ns, self._look_ns = now_ns, 0
        self.resets.refuse("CLOCK_RESET", f"ROS time jumped back by {back / NS:.3f} s")
        return (self.resets.last,)

    def _watch_imus(self, now_ns: int, moment_ns: int) -> tuple[str, ...]:
        assert self._imu is not None
        events: tuple[str, ...] = ()
        if self._transfer is not None and now_ns - self._look_ns >= LOOK_NS:
            self._look_ns = now_ns
            events = self._compare_imus(now_ns)
        said = self._imu.choose(now_ns, moment_ns)
        return events + ((said,) if said else ())

    def _compare_imus(self, now_ns: int) -> tuple[str, ...]:
        if self._imu is None or self._imu.backup is None or self._transfer is None or self._joints is None:
            return ()
        pair = (self._imu.primary, self._imu.backup)
        if not all(s.fresh(now_ns) and not s.frozen for s in pair):
            return ()
        joints: JointSample = self._joints.last
        moved = self._transfer(pair[1].last, joints.position, joints.velocity)
        ups = (up(pair[0].last.orientation), up(moved.orientation))
        worse = self._disagreement.look(now_ns, (pair[0].last, pair[1].last), ups)
        events: list[str] = []
        for i, source in enumerate(pair):
            if worse == i and not source.distrusted:
                source.distrusted = True
                source.refusals.refuse("IMU_DISAGREEMENT", f"does not fit '{pair[1 - i].topic}' and its own gravity")
                events.append(f"IMU_DISAGREEMENT: '{source.topic}' is dropped, it fits its own gravity worse")
            elif worse is None and source.distrusted and self._disagreement.agree:
                source.distrusted, source.good_since_ns = False, now_ns
        return tuple(events)

    def _state(self, joints: JointSample, now_ns: int) -> RobotState | None:
        if not all(s.seen for s in self._required):
            return None
        n = joints.position.size
        stale = [s.topic for s in self._side if not s.fresh(now_ns)]
        orientation, rate, accel, imu_source = NAN4, NAN3, NAN3, ""
        if self._imu is not None:
            source = self._imu.active
            if source.last is None and source.spec.required:
                return None  # only just after a clock reset
            if not source.usable(now_ns, joints.stamp_ns):
                stale.append(self._imu.primary.topic)
            if source.last is not None:
                sample: ImuSample = source.last
                # Both ways: the newest sample may lie just before or just after the joints' capture time.
                dt = (joints.stamp_ns - sample.stamp_ns) / NS
                if abs(dt) * 1e3 > source.spec.max_age_ms:
                    dt = 0.0
                orientation = turned(sample.orientation, sample.angular_velocity, dt)
                rate, accel, imu_source = sample.angular_velocity, sample.linear_acceleration, source.topic
        battery = self._battery.last if self._battery is not None else None
        motors = self._motors.last if self._motors is not None else None
        self.seq += 1
        return RobotState(
            joints.stamp_ns, self.seq, joints.position, _or_nan(joints.velocity, n), _or_nan(joints.effort, n),
            motors.temperature if motors is not None else np.full(n, np.nan), orientation, rate, accel,
            np.array([NAN3 if s is None or s.last is None else s.last.force for s in self._feet]),
            battery.voltage if battery is not None else NAN, battery.current if battery is not None else NAN,
            tuple(sorted(stale)), imu_source, self._estimated)


NAN = float("nan")
NAN3, NAN4 = np.full(3, NAN), np.full(4, NAN)


def _or_nan(values: Array, n: int) -> Array:
    """What the driver did not give is not known; it is never filled with zeros."""
    return values if values.size == n else np.full(n, NAN)
