"""twin_sync's core: robot states in, the twin's state out. It runs on the stamps of the states alone.

This version carries the measured joints through the model's kinematics; what each field means is said in
``TwinCore``. Dynamics, disturbance torques and calibration come with the full estimator.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from humanoid_core.kinematics import Kinematics
from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import EMPTY, RobotState, TwinState, TwinStatus
from twin_nodes.core.base import BaseEstimate, BaseEstimator
from twin_nodes.core.quality import Quality, age_part, completeness_part, consistency_part


@dataclass(frozen=True)
class TwinConfig:
    """SI units; times in ms."""

    stale_ms: float = 40.0
    position_noise: float = 5e-4
    velocity_noise: float = 2e-2
    contact_share: float = 0.05
    history_ms: float = 1000.0
    clock_reset_ms: float = 100.0


#: Share of a new innovation in the running mean of the quality score.
SHARE = 0.05
#: A joint's acceleration limit is about three standard deviations of what it does.
SIGMAS = 3.0


class TwinCore:
    """position, velocity: as measured. position_stddev: sensor noise, growing with half the acceleration (a third of
    the joint's limit) times age squared. nis: innovation of each position against the previous one moved on at its
    measured velocity, squared over its expected variance. external_torque: empty, not estimated here.
    support_margin: capture point to the edge of the polygon of the feet that carry load (of both soles when none
    does, with NO_CONTACT among the anomalies); 0 for a fixed base.
    """

    def __init__(self, robot: RobotModel, config: TwinConfig | None = None) -> None:
        self.robot, self.config = robot, config or TwinConfig()
        self.kinematics = Kinematics(robot)
        self.base = BaseEstimator(robot, self.kinematics, self.config.contact_share)
        self.refusals = Refusals()
        self.resets = Refusals()
        self.revision = 0
        self.quality = Quality(0.0, 0.0, 0.0, 0.0)
        self.latest: RobotState | None = None
        self._state: TwinState | None = None
        self._mean_nis = 1.0
        self._history: deque[TwinState] = deque()
        self._acceleration = robot.acceleration / SIGMAS

    @property
    def state(self) -> TwinState | None:
        """The newest one published."""
        return self._state

    def on_state(self, state: RobotState, now_ns: int) -> TwinState | None:
        """The twin after this measurement; None when it is refused (counted in ``refusals``)."""
        last = self.latest
        if last is not None and state.stamp_ns < last.stamp_ns - self.config.clock_reset_ms * MS:
            self._restart(last.stamp_ns - state.stamp_ns)
            last = None
        code = self._refusal(state, last)
        if code:
            return None
        nis = self._innovation(state, last)
        base = self.base.update(state)
        self.latest = state
        self.quality = self._quality(state, now_ns, nis)
        return self._keep(self._twin(state, base, nis, now_ns))

    def on_silence(self, now_ns: int, silent_ns: int = 0) -> TwinState | None:
        """What to publish when no measurement comes: STALE with growing uncertainty, WAITING before the first.

        ``silent_ns``: monotonic time since the last measurement, for a ROS clock that stands still.
        """
        if self._state is None or self.latest is None:
            return self._waiting(now_ns)
        age = max(now_ns - self.latest.stamp_ns, silent_ns) / NS
        if age * 1e3 <= self.config.stale_ms:
            return None
        self.quality = replace(self.quality, age=0.0)
        self.revision += 1
        # Not kept in the history: nothing was learnt.
        self._state = replace(
            self._state, revision=self.revision, position_stddev=self._stddev(age), sync_quality=0.0,
            latency=age, status=TwinStatus.STALE, anomalies=_with(self._state.anomalies, "STALE"))
        return self._state

    def snapshot(self, stamp_ns: int) -> tuple[TwinState | None, str]:
        """The state at or just before a past time (0: now); None and why when the history does not hold it."""
        if not self._history:
            return None, "NO_STATE: no measurement came yet"
        if stamp_ns == 0:
            return self._history[-1], ""
        if stamp_ns < self._history[0].stamp_ns:
            kept = (self._history[-1].stamp_ns - self._history[0].stamp_ns) / NS
            return None, f"EXPIRED: only the last {kept:.2f} s are kept"
        if stamp_ns > self._history[-1].stamp_ns + self.config.stale_ms * MS:
            return None, "FUTURE: after the newest measurement"
        return next(s for s in reversed(self._history) if s.stamp_ns <= stamp_ns), ""

    # --- what stands behind

    def _refusal(self, state: RobotState, last: RobotState | None) -> str:
        n = self.robot.n
        if state.position.shape != (n,) or state.velocity.shape != (n,):
            return self.refusals.refuse("WRONG_LENGTH", f"{state.position.size} positions, {state.velocity.size} "
                                        f"velocities for {n} joints")
        if not bool(np.isfinite(state.position).all() and np.isfinite(state.velocity).all()):
            return self.refusals.refuse("NON_FINITE", "a joint's position or velocity")
        if last is not None and state.stamp_ns <= last.stamp_ns:
            code = "DUPLICATE" if state.stamp_ns == last.stamp_ns else "OUT_OF_ORDER"
            return self.refusals.refuse(code, f"{(last.stamp_ns - state.stamp_ns) / MS:.1f} ms before the newest")
        return ""

    def _restart(self, back_ns: int) -> None:
        """Stamps jumped back: everything that rests on them starts anew, the revision counts on."""
        self.resets.refuse("CLOCK_RESET", f"stamps jumped back by {back_ns / NS:.3f} s")
        self.latest, self._state, self._mean_nis = None, None, 1.0
        self._history.clear()
        self.base.clear()

    def _innovation(self, state: RobotState, last: RobotState | None) -> Array:
        if last is None:
            return np.zeros(self.robot.n)
        dt = (state.stamp_ns - last.stamp_ns) / NS
        error = state.position - (last.position + dt * last.velocity)
        variance = (2.0 * self.config.position_noise**2 + (dt * self.config.velocity_noise) ** 2
                    + (0.5 * self._acceleration * dt * dt) ** 2)
        nis: Array = error * error / np.maximum(variance, 1e-18)
        self._mean_nis += SHARE * (float(nis.mean()) - self._mean_nis)
        return nis

    def _stddev(self, age_s: float) -> Array:
        grown: Array = np.sqrt(self.config.position_noise**2 + (0.5 * self._acceleration * age_s * age_s) ** 2)
        return grown

    def _quality(self, state: RobotState, now_ns: int, nis: Array) -> Quality:
        measured = not self.robot.feet or bool(np.isfinite(state.foot_force).all())
        return Quality(age_part((now_ns - state.stamp_ns) / NS, self.config.stale_ms / 1e3),
                       completeness_part(self.robot, state.stale_sources), consistency_part(self._mean_nis),
                       1.0 if measured else 0.7)

    def _twin(self, state: RobotState, base: BaseEstimate, nis: Array, now_ns: int) -> TwinState:
        age = max(0.0, (now_ns - state.stamp_ns) / NS)
        anomalies = base.anomalies + tuple(f"STALE {t}" for t in state.stale_sources)
        status = TwinStatus.OK if age * 1e3 <= self.config.stale_ms else TwinStatus.STALE
        self.revision += 1
        return TwinState(
            state.stamp_ns, self.revision, self.robot.hash, state.position, state.velocity, self._stddev(age), EMPTY,
            base.position, base.orientation, base.linear, base.angular, base.com, base.capture_point,
            base.support_margin, nis, self.quality.score, age, status, anomalies)

    def _keep(self, twin: TwinState) -> TwinState:
        self._state = twin
        self._history.append(twin)
        oldest = twin.stamp_ns - self.config.history_ms * MS
        while self._history[0].stamp_ns < oldest:
            self._history.popleft()
        return twin

    def _waiting(self, now_ns: int) -> TwinState:
        """Nothing is known yet: empty joint arrays, so that nobody takes it for a pose."""
        self.revision += 1
        zero, level = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
        return TwinState(now_ns, self.revision, self.robot.hash, EMPTY, EMPTY, EMPTY, EMPTY, zero, level, zero, zero,
                         zero, zero, 0.0, EMPTY, 0.0, 0.0, TwinStatus.WAITING, ("NO_STATE",))


def _with(codes: tuple[str, ...], code: str) -> tuple[str, ...]:
    return codes if code in codes else (*codes, code)
