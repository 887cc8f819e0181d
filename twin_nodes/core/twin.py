"""twin_sync's core: robot states and commands in, the twin's state out. It runs on stamps and arrivals alone.

Measurements go into a ring of recent moments, each where its stamp says; one that comes late is put in its place and
everything after it is worked out anew, so the order of arrival changes nothing. What is published carries the stamp of
the newest measurement; ``predicted_position`` and ``predicted_velocity`` are moved on from there to now by the model
and the commands on their way.

What a measurement teaches beside that (causes, numbers of the model, trends) nobody waits for: ``learn`` does it when
the state is out, and the next state says it.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from humanoid_core.types import EMPTY, JointCommand, RobotState, SensorHealth, TwinHealth, TwinState, TwinStatus
from twin_nodes.core.calibration import Answer
from twin_nodes.core.diagnosis import Diagnosed, DiagnosisConfig
from twin_nodes.core.drives import Drives
from twin_nodes.core.estimate import Estimate
from twin_nodes.core.estimator import EstimatorConfig, JointBelief, JointEstimator, JointInput
from twin_nodes.core.learning import Learning, Lesson, Report, mean_effort, told
from twin_nodes.core.model_check import check_model
from twin_nodes.core.quality import Quality, Trend, age_part, consistency_part, coverage_part, error_part
from twin_nodes.core.ring import Ring
from twin_nodes.core.timing import SourceDelay
from twin_nodes.core.track import Moment, Track


@dataclass(frozen=True)
class TwinConfig:
    """SI units; times in ms. ``cell_ms``: of the states whose stamps lie in one cell of this length the first is used:
    of 200 a second every second one, of slower ones each. A step costs what the rest of the robot's computer needs."""

    stale_ms: float = 40.0
    position_noise: float = 5e-4
    velocity_noise: float = 2e-2
    effort_noise: float = 0.05
    contact_share: float = 0.05
    history_ms: float = 1000.0
    ring_ms: float = 500.0
    clock_reset_ms: float = 100.0
    cell_ms: float = 10.0
    command_jitter_ms: float = 2.0

    def estimator(self) -> EstimatorConfig:
        return EstimatorConfig(self.position_noise, self.velocity_noise, self.effort_noise,
                               command_jitter=self.command_jitter_ms / 1e3)

    def diagnosis(self) -> DiagnosisConfig:
        return DiagnosisConfig(self.position_noise, self.velocity_noise, self.effort_noise,
                               command_jitter=self.command_jitter_ms / 1e3)


#: States closer together than this share of a cell, in one cell, are one too many.
SAME_CELL = 0.75
#: Of so many states left out in a row the torques are kept.
BETWEEN = 16
#: Share of a new innovation in the running mean of the quality score.
SHARE = 0.05
#: How long an anomaly of a joint that is over is still told, so that nobody who listens at 10 Hz misses it.
TELL_NS = 500 * MS
#: The longest time that the model alone is trusted to move the joints on.
LONGEST_NS = 200 * MS
#: A drive's report is the mean since the one before: what it was asked for lies this far back.
HALF_SAMPLE_NS = 5 * MS // 2
#: No sample is under way for so long, whatever its number: ingest was started anew, and the clock set back.
LONG_MS = 3000.0
#: A command that is dated so far after the newest measurement and the command before it is not from now.
FUTURE_NS = NS
COMMAND, JOINTS = "robot/joint_command", "joint_states"


class TwinCore:
    """Not for two threads at once. ``latest``: the newest measurement, ``estimate``: what follows from it.

    position, velocity with their stddev: estimated at the stamp. nis: normalised innovation squared of each joint.
    desired_position: what was commanded last, as it was sent (see drives.py), NaN for a joint that nobody commanded.
    support_margin: capture point to the edge of the polygon of the feet that carry load (of both soles when none does,
    with NO_CONTACT among the anomalies); 0 for a fixed base.
    """

    def __init__(self, robot: RobotModel, config: TwinConfig | None = None) -> None:
        self.robot, self.config = robot, config or TwinConfig()
        c = self.config
        self.drives = Drives(robot, round(2.0 * c.ring_ms * MS))
        self.estimator = JointEstimator(robot, c.estimator(), self.drives)
        self.track = Track(robot, self.estimator, c.contact_share)
        self.kinematics = self.track.kinematics
        check_model(robot, self.kinematics.model)
        self.ring: Ring[RobotState, Moment] = Ring(self.track.step, round(c.ring_ms * MS))
        self.delays: dict[str, SourceDelay] = {JOINTS: SourceDelay()}
        self.refusals, self.resets, self.command_refusals = Refusals(), Refusals(), Refusals()
        self.learning = Learning(robot, c.estimator(), c.diagnosis(), self.estimator.dynamics)
        self.diagnosis, self.identification = self.learning.diagnosis, self.learning.identification
        self.command_delay = self.learning.command_delay
        #: What the drives reported in the states that were left out: (stamp, torques).
        self._between: deque[tuple[int, Array]] = deque(maxlen=BETWEEN)
        self._cell_ns = max(round(self.config.cell_ms * MS), 1)
        self.revision = self.model_revision = 0
        self.quality, self._trend = Quality(0.0, 0.0, 0.0, 0.0), Trend()
        self.estimate: Estimate | None = None
        self._state: TwinState | None = None
        self._mean_nis = 1.0
        self._history: deque[TwinState] = deque()
        self._told: dict[str, int] = {}
        self._external: Array | None = None
        self._relocks = self._repaired = np.zeros(robot.n, dtype=np.int64)
        self._slope = 0.0
        self._command_seq = self._command_ns = 0

    @property
    def state(self) -> TwinState | None:
        """The newest one published."""
        return self._state

    @property
    def diagnosed(self) -> Diagnosed | None:
        """What is wrong, as far as it was learnt."""
        return self.learning.diagnosed

    @property
    def latest(self) -> RobotState | None:
        """The newest measurement by its stamp."""
        return self.ring.newest_event

    def on_state(self, state: RobotState, now_ns: int) -> TwinState | None:
        """The twin after this measurement; None when it is refused (counted in ``refusals``) or not due yet. ``learn``
        when it is published."""
        self.learn()
        code = self._refusal(state)
        if code:
            return None
        last = self.latest
        if last is not None and self._jumped(last, state):
            self._restart(last.stamp_ns - state.stamp_ns)
            last = None
        if not self.due(state.stamp_ns):
            self.passed(state.stamp_ns, state.effort)
            return None
        code = self.ring.add(state)
        if code:
            behind = 0 if last is None else last.stamp_ns - state.stamp_ns
            self.refusals.refuse(code, f"{behind / MS:.1f} ms before the newest")
            return None
        moment = self.ring.newest
        assert moment is not None
        newest = last is None or state.stamp_ns > last.stamp_ns
        self.delays[JOINTS].add(state.stamp_ns, now_ns)
        if newest:
            self._hear(state, moment, now_ns)
        return self._keep(self._twin(moment, now_ns))

    def due(self, stamp_ns: int) -> bool:
        """Whether a state of this capture time is used. Cells of the stamp, not the distance to the last one used, so
        that a lost or a late state changes the choice for one cell and not for good, and a replay chooses as live. Of
        a source as slow as the cells each is used, wherever its jitter puts it."""
        if self.latest is None:
            return True
        last_ns = self.latest.stamp_ns
        return stamp_ns // self._cell_ns != last_ns // self._cell_ns \
            or not 0 < stamp_ns - last_ns < SAME_CELL * self._cell_ns

    def passed(self, stamp_ns: int, effort: Array) -> None:
        """What the drives reported in a state that is not ``due``, (n,) N m. A drive's torque goes up and down with the
        commands; seen at one phase of them alone, that would look like friction."""
        if effort.shape == (self.robot.n,):
            self._between.append((stamp_ns, effort))

    def learn(self) -> None:
        """What the newest measurement teaches. Whatever comes next calls it first, so that the moment changes nothing.
        """
        if self.learning.learn():
            self.track.spare(self.diagnosis.touched)

    def on_command(self, command: JointCommand) -> str:
        """What was sent to the robot; the reason code when it cannot be used. It acts its path's delay later."""
        self.learn()
        code, detail = self.drives.problem(command)
        if code:
            return self.command_refusals.refuse(code, detail)
        last = self.latest
        ahead_ns = command.stamp_ns - max(last.stamp_ns, self._command_ns) if last is not None else 0
        if ahead_ns > FUTURE_NS:
            return self.command_refusals.refuse("FUTURE", f"command {command.seq}: {ahead_ns / NS:.1f} s ahead")
        delay = self.command_delay.delay
        start_ns = command.stamp_ns + (0 if math.isnan(delay) else round(delay * NS))
        code = self.drives.add(command, start_ns)
        if code:
            return self.command_refusals.refuse(code, f"command {command.seq}")
        self._command_seq, self._command_ns = command.seq, command.stamp_ns
        self.command_delay.command(command.stamp_ns, self.drives.newest)
        self.ring.again(start_ns)
        return ""

    def calibrate(self, what: str, apply: bool, now_ns: int) -> Answer:
        """As the service twin/calibrate: what the model would be corrected by, and the correction when asked for."""
        self.learn()
        answer = self.learning.calibration.request(what, apply, now_ns)
        if answer.revision != self.model_revision:
            self.model_revision = answer.revision
            self.track.follow(self.learning.calibration.current)
        return answer

    def condition(self, now_ns: int) -> TwinHealth:
        """Of each actuator; call it once a second."""
        self.learn()
        return TwinHealth(now_ns, self.model_revision, self.learning.condition(now_ns))

    def on_health(self, health: SensorHealth) -> None:
        """The other sources' delays, as ingest saw them when their newest samples arrived."""
        for source in health.sources:
            if source.topic != JOINTS and math.isfinite(source.delay_ms) and source.state == "ok":
                self.delays.setdefault(source.topic, SourceDelay()).add(
                    health.stamp_ns - round(source.delay_ms * MS), health.stamp_ns)

    def on_silence(self, now_ns: int, silent_ns: int = 0) -> TwinState | None:
        """What to publish when no measurement comes: STALE with uncertainty that grows to a joint's range and greatest
        speed, WAITING before the first.

        ``silent_ns``: monotonic time since the last measurement, for a ROS clock that stands still.
        """
        moment, last = self.ring.newest, self.latest
        if self._state is None or moment is None or last is None:
            return self._waiting(now_ns)
        age = max(now_ns - last.stamp_ns, silent_ns) / NS
        if age * 1e3 <= self.config.stale_ms:
            return None
        var_q, var_v = self.estimator.grown(moment.joints, age)
        self.quality = replace(self.quality, age=0.0)
        self._slope = self._trend.add(last.stamp_ns + round(age * NS), 0.0)
        spread = np.minimum(np.sqrt(var_q), self.robot.upper - self.robot.lower)
        position, velocity = self._now(moment.joints, last.stamp_ns + round(age * NS))
        self.revision += 1
        # Not kept in the history: nothing was learnt.
        self._state = replace(
            self._state, revision=self.revision, position_stddev=spread,
            velocity_stddev=np.minimum(np.sqrt(var_v), self.robot.velocity),
            quality_trend=self._slope,
            sync_quality=0.0, latency=age, status=TwinStatus.STALE, anomalies=_with(self._state.anomalies, "STALE"),
            predicted_position=position, predicted_velocity=velocity,
            desired_position=self._desired(), quality_parts=self.quality.parts, command_seq=self._command_seq)
        return self._state

    def snapshot(self, stamp_ns: int) -> tuple[TwinState | None, str]:
        """The state at or just before a past time (0: the newest that was published, STALE or not); None and why when
        the history does not hold it."""
        if not self._history:
            return None, "NO_STATE: no measurement came yet"
        if stamp_ns == 0:
            return self._state, ""
        if stamp_ns < self._history[0].stamp_ns:
            kept = (self._history[-1].stamp_ns - self._history[0].stamp_ns) / NS
            return None, f"EXPIRED: only the last {kept:.2f} s are kept"
        if stamp_ns > self._history[-1].stamp_ns + self.config.stale_ms * MS:
            return None, "FUTURE: after the newest measurement"
        return next(s for s in reversed(self._history) if s.stamp_ns <= stamp_ns), ""

    # --- what stands behind

    def _refusal(self, state: RobotState) -> str:
        n = self.robot.n
        if state.position.shape != (n,) or state.velocity.shape != (n,):
            return self.refusals.refuse("WRONG_LENGTH", f"{state.position.size} positions, {state.velocity.size} "
                                        f"velocities for {n} joints")
        if not bool(np.isfinite(state.position).all() and np.isfinite(state.velocity).all()):
            return self.refusals.refuse("NON_FINITE", "a joint's position or velocity")
        return ""

    def _jumped(self, last: RobotState, state: RobotState) -> bool:
        """Whether stamps went back for good. Ingest numbers its states in the order in which it makes them: an older
        stamp with a lower number is a late sample, with a higher one the clock was set back."""
        back = (last.stamp_ns - state.stamp_ns) / MS
        return back > self.config.clock_reset_ms and (state.seq > last.seq or back > LONG_MS)

    def _restart(self, back_ns: int) -> None:
        """Stamps jumped back: everything that rests on them starts anew, the revision counts on."""
        self.resets.refuse("CLOCK_RESET", f"stamps jumped back by {back_ns / NS:.3f} s")
        self._state, self.estimate, self._external, self._mean_nis = None, None, None, 1.0
        self._relocks = self._repaired = np.zeros(self.robot.n, dtype=np.int64)
        self._command_ns = 0
        for kept in (self._history, self._told, self.ring, self.drives, self._trend, self.learning,
                     self._between):
            kept.clear()
        for delay in self.delays.values():
            delay.clear()

    def _hear(self, state: RobotState, moment: Moment, now_ns: int) -> None:
        """What only the newest measurement does, once: running means, and what does not fit."""
        joints, m = moment.joints, moment.measured
        self._mean_nis += SHARE * (float(joints.nis.mean()) - self._mean_nis)
        reports = self._reports(m, moment.terms.revision.torque_scale)
        self.estimate = self.estimator.estimate(joints, m, mean_effort(reports))
        self._external = self.learning.measure(Lesson(
            self.estimate, state, now_ns, self.drives.at(state.stamp_ns - HALF_SAMPLE_NS), joints.motion,
            joints.carried, reports))
        names = self.robot.joint_names
        for code, flags in (("OUTLIER", joints.gated), ("RELOCKED", joints.relocks > self._relocks),
                            ("REPAIRED", joints.repaired > self._repaired),
                            ("NO_EFFORT", ~np.isfinite(m.effort)), ("ESTIMATED", ~m.usable)):
            self._told |= dict.fromkeys(told(names, flags, code), state.stamp_ns)
        self._relocks, self._repaired = joints.relocks, joints.repaired

    def _reports(self, m: JointInput, scale: Array) -> list[Report]:
        """(stamp, torques) since the state used before, this one's last; ``scale``: true over reported torque."""
        before = self.estimate
        between = [(ns, scale * effort) for ns, effort in self._between
                   if before is not None and before.stamp_ns < ns < m.stamp_ns]
        self._between.clear()
        return [*between, (m.stamp_ns, m.effort)]

    def _twin(self, moment: Moment, now_ns: int) -> TwinState:
        state, joints, judged = self.latest, moment.joints, self.diagnosed
        assert state is not None
        base = self.track.describe(moment, state)
        age = max(0.0, (now_ns - state.stamp_ns) / NS)
        stddev = np.sqrt(joints.cov[:, 0, 0])
        measured = not self.robot.feet or bool(np.isfinite(state.foot_force).all())
        self.quality = Quality(age_part(age, self.config.stale_ms / 1e3), error_part(float(stddev.max())),
                               consistency_part(self._mean_nis), coverage_part(self.robot, state, measured))
        self._slope = self._trend.add(state.stamp_ns, self.quality.score)
        position, velocity = self._now(joints, now_ns)
        self.revision += 1
        return TwinState(
            state.stamp_ns, self.revision, self.robot.hash, joints.q, joints.v, stddev,
            joints.d if self._external is None else self._external, base.position,
            base.orientation, base.linear, base.angular, base.com, base.capture_point, base.support_margin,
            joints.nis, self.quality.score, age,
            TwinStatus.OK if age * 1e3 <= self.config.stale_ms else TwinStatus.STALE,
            base.anomalies + tuple(f"STALE {t}" for t in state.stale_sources) + self._telling(state.stamp_ns)
            + (() if judged is None else judged.anomalies),
            diagnosis="" if judged is None else judged.state,
            velocity_stddev=np.sqrt(joints.cov[:, 1, 1]), desired_position=self._desired(),
            predicted_position=position, predicted_velocity=velocity,
            outlier_threshold=self.estimator.threshold(joints), source_delay=self._delays(),
            model_revision=self.model_revision, quality_parts=self.quality.parts, quality_trend=self._slope,
            command_seq=self._command_seq)

    def _telling(self, now_ns: int) -> tuple[str, ...]:
        self._told = {what: ns for what, ns in self._told.items() if now_ns - ns <= TELL_NS}
        return tuple(self._told)

    def _desired(self) -> Array:
        drive = self.drives.newest
        return drive.position if drive.on.any() else EMPTY

    def _now(self, joints: JointBelief, now_ns: int) -> tuple[Array, Array]:
        """(position, velocity) moved on to now."""
        return self.estimator.ahead(joints, min(now_ns, joints.stamp_ns + LONGEST_NS))

    def _delays(self) -> tuple[tuple[str, float, float], ...]:
        """(topic, delay in s, its drift in s/s) of each source that is known; of the commands' path no drift is."""
        found = [(topic, d.typical, d.drift) for topic, s in self.delays.items() if (d := s.delay()) is not None]
        if not math.isnan(self.command_delay.delay):
            found.append((COMMAND, self.command_delay.delay, math.nan))
        return tuple(found)

    def _keep(self, twin: TwinState) -> TwinState:
        self._state = twin
        if self._history and self._history[-1].stamp_ns == twin.stamp_ns:
            self._history.pop()  # a late measurement made it better
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
