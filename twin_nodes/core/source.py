"""One sensor source: judges its samples, keeps the last good one, knows its own health."""

from __future__ import annotations

from typing import Any

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import RobotModel, SourceSpec
from humanoid_core.timing import MS, NS
from humanoid_core.types import SourceHealth
from twin_nodes.core.imu_check import ImuCheck
from twin_nodes.core.joint_check import JointCheck
from twin_nodes.core.meter import Meter
from twin_nodes.core.other_checks import BatteryCheck, MotorCheck, PictureCheck, WrenchCheck
from twin_nodes.core.stamps import stamp_reason
from twin_nodes.core.verdict import Check, IngestConfig

#: Refusals after which the source itself is as good as before: a copy came twice, or late.
HARMLESS = ("DUPLICATE", "OUT_OF_ORDER")


def make_check(kind: str, robot: RobotModel | None, config: IngestConfig) -> Check:
    """The contents check of a kind of source named in a robot file."""
    if kind == "joints":
        return JointCheck(robot, config)
    if kind == "imu":
        return ImuCheck(config)
    if kind == "wrench":
        return WrenchCheck(robot)
    if kind == "battery":
        return BatteryCheck(robot)
    if kind == "motors":
        return MotorCheck(robot)
    if kind in ("image", "depth"):
        return PictureCheck()
    raise ValueError(f"'{kind}' is not a kind of source that ingest knows")


class Source:
    """Not for use from two threads at once."""

    def __init__(self, spec: SourceSpec, robot: RobotModel | None, config: IngestConfig) -> None:
        self.spec, self.topic = spec, spec.topic
        self.check = make_check(spec.kind, robot, config)
        self.refusals = Refusals()
        self.last: Any = None
        self.stamp_ns = self.delay_ns = 0
        self.good_since_ns: int | None = None
        self.accepted = 0
        self.seen = False
        self.distrusted = False
        self.frozen = False
        self._max_age_ns = round(spec.max_age_ms * MS)
        self._future_ns = round(config.future_ms * MS)
        self._frozen_ns = round(spec.frozen_ms * MS)
        self._lag_ns = config.lag_periods * NS / spec.rate if spec.rate > 0.0 else float("inf")
        self._meter = Meter(spec.rate, round(config.window_ms * MS), config.gap_periods)
        self._values = b""
        self._changed_ns = 0
        self._refused_in_a_row = 0

    def stamped(self, sample: Any, now_ns: int) -> tuple[str, str]:
        """('', '') when the sample's stamp is one that may follow, else reason code and detail."""
        return stamp_reason(sample.stamp_ns, now_ns, self.stamp_ns, self._max_age_ns, self._future_ns)

    def offer(self, sample: Any, now_ns: int) -> tuple[str, str]:
        """Judge a sample; ('', '') when it is now ``last``, else its reason code and detail."""
        code, detail = self.stamped(sample, now_ns)
        if code:
            return self.refuse(code, detail)
        checked, code, detail = self.check.check(sample)
        if code:
            return self.refuse(code, detail)
        if self._frozen_ns:
            values = self.check.values(checked)
            if values != self._values:
                self._values, self._changed_ns = values, checked.stamp_ns
            elif checked.stamp_ns - self._changed_ns >= self._frozen_ns:
                self.frozen = True
                return self.refuse("FROZEN", f"unchanged for {(checked.stamp_ns - self._changed_ns) / MS:.0f} ms")
        if self.good_since_ns is None or checked.stamp_ns - self.stamp_ns > self._max_age_ns:
            self.good_since_ns = now_ns
        self.last, self.stamp_ns, self.delay_ns = checked, checked.stamp_ns, now_ns - checked.stamp_ns
        self.accepted += 1
        self.seen = True
        self.frozen = False
        self._refused_in_a_row = 0
        self._meter.add(checked.stamp_ns)
        return "", ""

    def refuse(self, code: str, detail: str) -> tuple[str, str]:
        """Count a sample that is not used; returns (code, detail)."""
        self.refusals.refuse(code, detail)
        if code not in HARMLESS:
            self.good_since_ns = None
            self._refused_in_a_row += 1
        return code, detail

    def fresh(self, now_ns: int) -> bool:
        """Whether the last good sample is young enough to speak for now."""
        return self.last is not None and now_ns - self.stamp_ns <= self._max_age_ns

    def usable(self, now_ns: int, moment_ns: int | None = None) -> bool:
        """``moment_ns``: the instant that it shall speak for, where there is one."""
        lags = moment_ns is not None and moment_ns - self.stamp_ns > self._lag_ns
        return not self.frozen and not self.distrusted and not lags and self.fresh(now_ns)

    def good_for_ns(self, now_ns: int) -> int:
        """How long it has been usable without a break."""
        if self.good_since_ns is None or not self.usable(now_ns):
            return 0
        return now_ns - self.good_since_ns

    def state(self, now_ns: int) -> str:
        """waiting, ok, stale, frozen or refusing."""
        if self.frozen:
            return "frozen"
        if self.distrusted or self._refused_in_a_row >= 3:
            return "refusing"
        if not self.seen:
            return "refusing" if self._refused_in_a_row else "waiting"
        if self.fresh(now_ns):
            return "ok"
        return "refusing" if self._refused_in_a_row else "stale"

    def clear(self) -> None:
        """Forget everything that rests on stamps; counters stay."""
        self.last, self.stamp_ns, self.good_since_ns = None, 0, None
        self.frozen = self.distrusted = False
        self._values, self._changed_ns, self._refused_in_a_row = b"", 0, 0
        self._meter.clear()

    def move(self, step_ns: int) -> None:
        """The clock of the stamps was set ahead by ``step_ns``: what was captured before is as old as it was."""
        if self.last is None:
            return
        self.stamp_ns, self._changed_ns = self.stamp_ns + step_ns, self._changed_ns + step_ns
        if self.good_since_ns is not None:
            self.good_since_ns += step_ns
        self._meter.move(step_ns)

    def health(self, now_ns: int, active: bool, backup: str) -> SourceHealth:
        rhythm = self._meter.rhythm(now_ns)
        age_ms, delay_ms = float("nan"), float("nan")
        if self.last is not None:
            age_ms, delay_ms = (now_ns - self.stamp_ns) / MS, self.delay_ns / MS
        last = self.refusals.last
        if not self.seen and not last:
            last = "NEVER_SEEN"
        return SourceHealth(self.topic, self.state(now_ns), active, backup, self.accepted, age_ms, rhythm.rate_hz,
                            self.spec.rate, rhythm.jitter_ms, rhythm.gap_ms, rhythm.gaps, self.refusals.items(), last,
                            delay_ms)
