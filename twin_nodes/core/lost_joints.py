"""A joint sensor that is lost: the twin's estimate stands in for it, where the robot file allows it.

Lost means: the joint's position, velocity or torque is missing, not finite or impossible, or all three stay bit by
bit the same for `frozen_ms` while most joints' positions change. When more joints are bad than the file allows, the
message is bad, not a joint. The estimate is the twin's position moved on to the sample's stamp at the twin's velocity,
q = q_twin + v_twin (t - t_twin), and that velocity; the torque stays the last good one. It ends `handback_ms` after the
sensor is good again, and after `estimate_for` the sample is refused as any other bad one. The names of estimated joints
travel with the state: the twin must not take its own word for a measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import JointSample, TwinState, TwinStatus
from twin_nodes.core.joint_check import JointCheck
from twin_nodes.core.verdict import IngestConfig

#: A loss of fewer samples is bridged without a word, and ends with the next good sample.
SPOKEN = 3
#: Oldest twin state whose estimate is still moved on, s.
TWIN_AGE = 0.1

Flags = NDArray[np.bool_]
TwinSource = Callable[[], TwinState | None]


class Mended(NamedTuple):
    """``sample`` as it goes on to the check; ``code`` and ``detail`` when it must be refused for a lost sensor."""

    sample: JointSample
    estimated: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    code: str = ""
    detail: str = ""


class _Joint:
    """One watched joint."""

    def __init__(self, name: str, row: int, estimate: bool) -> None:
        self.name, self.row, self.estimate = name, row, estimate
        self.lost_ns: int | None = None  # stamp of the first bad sample
        self.good_ns: int | None = None  # stamp since which it is good again
        self.bad = 0
        self.spoken = False


class LostJoints:
    """Looks at each joint sample before it is judged. Keeps what it needs of the one before."""

    def __init__(self, robot: RobotModel, config: IngestConfig, frozen_ms: float, twin: TwinSource) -> None:
        """``twin()``: the newest twin state, or None; asked only while a sensor is lost."""
        spec, limits = robot.recovery, JointCheck(robot, config)
        self._names, self._at_most, self._twin = robot.joint_names, spec.at_most, twin
        self._joints = [_Joint(name, robot.index(name), name in spec.estimate) for name in spec.watch]
        self._rows = np.array([j.row for j in self._joints], dtype=np.intp)
        self._low, self._high = robot.lower, robot.upper
        fast, strong = limits.fast[self._rows], limits.strong[self._rows]
        self._least = np.stack((limits.low[self._rows], -fast, -strong))
        self._most = np.stack((limits.high[self._rows], fast, strong))
        self._frozen_ns, self._dwell_ns = round(frozen_ms * MS), round(config.handback_ms * MS)
        self._longest_ns = round(config.estimate_for * NS)
        self.clear()

    def clear(self) -> None:
        """Forget everything that rests on stamps."""
        self._stamp_ns = 0
        self._whole: Array | None = None  # positions of all joints in the sample before
        self._before: Array | None = None  # [3, watched] of the sample before
        self._since = np.zeros(len(self._joints), dtype=np.int64)
        self._effort = np.full(len(self._joints), np.nan)
        for j in self._joints:
            j.lost_ns, j.good_ns, j.bad, j.spoken = None, None, 0, False

    def move(self, step_ns: int) -> None:
        """The clock of the stamps was set ahead by ``step_ns``."""
        if not self._stamp_ns:
            return
        self._stamp_ns, self._since = self._stamp_ns + step_ns, self._since + step_ns
        for j in self._joints:
            j.lost_ns = None if j.lost_ns is None else j.lost_ns + step_ns
            j.good_ns = None if j.good_ns is None else j.good_ns + step_ns

    def mend(self, sample: JointSample) -> Mended:
        """The sample with estimates where sensors are lost; unchanged when there is nothing to do, or nothing can be
        done: then the check refuses it."""
        if sample.stamp_ns <= self._stamp_ns:
            return Mended(sample)  # a copy, or late: it says nothing new
        whole = self._arranged(sample)
        n = len(self._names)
        if whole is None or whole.position.size != n or whole.velocity.size != n or whole.effort.size not in (0, n):
            return Mended(sample)
        values = np.stack((whole.position[self._rows], whole.velocity[self._rows],
                           whole.effort[self._rows] if whole.effort.size else np.zeros(len(self._rows))))
        frozen = self._frozen(whole, values)
        good = self._possible(values) & ~frozen
        self._effort = np.where(good, values[2], self._effort)
        self._stamp_ns, self._whole, self._before = sample.stamp_ns, whole.position, values
        if bool(good.all()) and all(j.lost_ns is None for j in self._joints):
            return Mended(sample)
        return self._recover(sample, whole, good, frozen)

    def _recover(self, sample: JointSample, whole: JointSample, good: Flags, frozen: Flags) -> Mended:
        if np.count_nonzero(~good) > self._at_most:
            return Mended(sample)
        stamp_ns = sample.stamp_ns
        events = tuple(text for k, j in enumerate(self._joints) for text in self._watch(j, bool(good[k]), stamp_ns))
        for k, j in enumerate(self._joints):
            if frozen[k] and not j.estimate:
                return Mended(sample, (), events, "FROZEN", f"'{j.name}' alone does not change while others do")
        lost = [k for k, j in enumerate(self._joints) if j.lost_ns is not None and j.estimate]
        twin = self._usable_twin(sample.stamp_ns) if lost else None
        ended = any(sample.stamp_ns - (self._joints[k].lost_ns or 0) > self._longest_ns for k in lost)
        if not lost or len(lost) > self._at_most or ended or twin is None:
            still = [self._joints[k].name for k in lost if frozen[k]]
            if still:
                why = "for too long" if ended else "and nothing can stand in"
                return Mended(sample, (), events, "FROZEN", f"'{still[0]}' does not change, {why}")
            return Mended(sample, (), events)
        position, velocity, effort = whole.position.copy(), whole.velocity.copy(), whole.effort.copy()
        ahead = (sample.stamp_ns - twin.stamp_ns) / NS
        for k in lost:
            row = self._joints[k].row
            # A joint cannot be beyond its stops.
            position[row] = np.clip(twin.position[row] + ahead * twin.velocity[row], self._low[row], self._high[row])
            velocity[row] = twin.velocity[row]
            if effort.size:
                effort[row] = self._effort[k]
        names = tuple(self._joints[k].name for k in lost)
        return Mended(replace(whole, position=position, velocity=velocity, effort=effort), names, events)

    def _watch(self, j: _Joint, good: bool, stamp_ns: int) -> tuple[str, ...]:
        """Begin and end of a joint's loss; returns what to say of a change."""
        if not good:
            j.lost_ns, j.good_ns, j.bad = j.lost_ns or stamp_ns, None, j.bad + 1
            if j.bad == SPOKEN and not j.spoken:
                j.spoken = True
                what = "the twin's estimate stands in, if there is one" if j.estimate else "samples are refused"
                return (f"ESTIMATED: the sensor of '{j.name}' is lost; {what}",)
            return ()
        if j.lost_ns is None:
            return ()
        j.good_ns, j.bad = j.good_ns or stamp_ns, 0
        if j.spoken and stamp_ns - j.good_ns < self._dwell_ns and stamp_ns - j.lost_ns <= self._longest_ns:
            return ()
        spoken, j.lost_ns, j.good_ns, j.spoken = j.spoken, None, None, False
        return (f"the sensor of '{j.name}' is good again and speaks for itself",) if spoken else ()

    def _possible(self, values: Array) -> Flags:
        """NaN fails every comparison."""
        found: Flags = np.logical_and.reduce((values >= self._least) & (values <= self._most))
        return found

    def _frozen(self, whole: JointSample, values: Array) -> Flags:
        """Watched joints whose values have stayed the same; only while most joints' positions change."""
        same = np.zeros(len(self._rows), dtype=bool)
        before = self._before
        if (before is not None and (values[0] == before[0]).any()
                and 2 * np.count_nonzero(whole.position != self._whole) > len(self._names)):
            same = np.logical_and.reduce(values == before)
        self._since = np.where(same, self._since, whole.stamp_ns)
        frozen: Flags = (self._frozen_ns > 0) & (whole.stamp_ns - self._since >= self._frozen_ns)
        return frozen

    def _usable_twin(self, stamp_ns: int) -> TwinState | None:
        twin = self._twin()
        if twin is None or twin.status != TwinStatus.OK or not abs(stamp_ns - twin.stamp_ns) <= TWIN_AGE * NS:
            return None
        n = len(self._names)
        fine = twin.position.shape == twin.velocity.shape == (n,) and np.isfinite(twin.position + twin.velocity).all()
        return twin if fine else None

    def _arranged(self, sample: JointSample) -> JointSample | None:
        """In the robot's order, NaN where a joint that may be estimated is missing; None: the names do not fit."""
        if sample.names == self._names:
            return sample
        place = {name: i for i, name in enumerate(sample.names)}
        may = {j.name for j in self._joints if j.estimate}
        if len(place) != len(sample.names) or not set(self._names) - may <= set(place) <= set(self._names):
            return None
        take = np.array([place.get(name, -1) for name in self._names])
        fields = {}
        for field in ("position", "velocity", "effort"):
            values = getattr(sample, field)
            if values.size not in ((0, len(place)) if field == "effort" else (len(place),)):
                return None
            fields[field] = np.where(take >= 0, values[take], np.nan) if values.size else values
        return JointSample(sample.stamp_ns, self._names, **fields)
