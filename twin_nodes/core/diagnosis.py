"""What is wrong with the robot, from what does not fit: which encoder, motor, arm or clock, how much, and since when.

Isolation, by which residual speaks (see residuals.py): a jump, a drift or a standstill of the encoder is SENSOR; a
motor that does not give what its drive was asked for, while its encoder is sound, is ACTUATOR; torques on an arm that
its motors know nothing of are PAYLOAD (along gravity), CONTACT, or an ACTUATOR whose drive reports what it was asked
for instead of what it gives; many joints at once that do not follow their law are MODEL; stamps that move against now
are CLOCK.

While an anomaly is open nothing is learned on the joints it touches, on none at all while the clock is in doubt; and
the model is never changed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import RobotState
from twin_nodes.core.anomaly import Anomaly, Pace, overall
from twin_nodes.core.clock_watch import ClockWatch
from twin_nodes.core.cusum import jump_sigmas, threshold
from twin_nodes.core.drives import Drive
from twin_nodes.core.estimate import Estimate
from twin_nodes.core.explain import Arms, Evidence
from twin_nodes.core.joint_dynamics import JointDynamics, Motion
from twin_nodes.core.residuals import Residual, Residuals
from twin_nodes.core.revision import Revision
from twin_nodes.core.watches import BLOCK, EncoderWatch, ForceWatch, MotorWatch

#: Time before anything is judged: the watches learn how noisy the residuals are, s.
WARM_UP = 2.0
#: So many joints at once that do not follow their law are not so many broken motors.
MANY = 4
#: An arm on which nothing pushed for so long, s, is free again: a load has moments without leverage.
QUIET = 1.0
#: A motor is sound again when this long, s, has shown it.
RECOVERY = 1.5
#: Samples per second that the false alarm rate is worked out for.
RATE = 200.0


@dataclass(frozen=True)
class DiagnosisConfig:
    """SI units. ``command_jitter``: by how much the moments at which commands begin to act vary; ``gain`` of the
    momentum observer in 1/s; ``false_alarms``: how often per hour all watches together may cry wolf if noise were all
    there is; ``weakness``: share of its torque that a weak motor gives, for which the watch is sharpest."""

    position_noise: float = 5e-4
    velocity_noise: float = 2e-2
    torque_noise: float = 5e-2
    command_jitter: float = 2e-3
    gain: float = 20.0
    false_alarms: float = 0.1
    weakness: float = 0.7
    pace: Pace = field(default_factory=lambda: Pace(0.1, 0.4))
    joint_pace: Pace = field(default_factory=lambda: Pace(0.05, 0.1))


@dataclass(frozen=True)
class Diagnosed:
    """``anomalies``: reasons of the causes that are named; ``state``: the most advanced anomaly's."""

    anomalies: tuple[str, ...]
    state: str


class Diagnosis:
    """Deterministic in what it is given. Not for two threads at once."""

    def __init__(self, robot: RobotModel, config: DiagnosisConfig | None = None,
                 dynamics: JointDynamics | None = None) -> None:
        self.robot, self.config = robot, config or DiagnosisConfig()
        c = self.config
        self.residuals = Residuals(robot, c.position_noise, c.velocity_noise, c.torque_noise, c.gain, dynamics,
                                   c.command_jitter)
        self.arms = Arms(robot, self.residuals.dynamics)
        self.revision = Revision.of(robot)
        self._waist = np.array(sorted(set(np.flatnonzero(self.residuals.seen).tolist())
                                      - {int(i) for a in self.arms.joints.values() for i in a}), dtype=np.intp)
        self._nothing = np.full(robot.n, np.nan)
        self.clear()

    def clear(self) -> None:
        """Begin anew, for stamps that jumped."""
        n, c = self.robot.n, self.config
        # each of the five watches gets its share of the false alarms, per joint
        per_sample = c.false_alarms / 5.0 / 3600.0 / RATE / max(int(self.residuals.seen.sum()), 1)
        self.residuals.clear()
        block = 1.0 / (per_sample * BLOCK)
        self._encoders = EncoderWatch(n, jump_sigmas(per_sample), 0.5, threshold(0.5, block))
        self._motors = MotorWatch(n, c.weakness, float(np.log(1.0 / per_sample)), 1.5, threshold(1.5, 1.0 / per_sample))
        self._forces = ForceWatch(n, 2.0, threshold(2.0, block))
        self._clock = ClockWatch()
        names = self.robot.joint_names
        self._joints = {int(i): Anomaly(names[i], c.joint_pace) for i in np.flatnonzero(self.residuals.seen)}
        self._arms = {side: Anomaly(f"{side} arm", c.pace) for side in self.arms.joints}
        self._body = Anomaly("body", c.pace)
        self._law = Anomaly("law", c.pace)
        self._time = Anomaly("clock", c.pace)
        self._begin_ns, self._settled, self._every = 0, False, np.ones(n, dtype=bool)
        self._pushed: NDArray[np.bool_] = np.zeros(n, dtype=bool)
        self._evidence: dict[str, Evidence] = {}
        self.residual: Residual | None = None
        #: Joints whose numbers may be identified now.
        self.learnable: NDArray[np.bool_] = np.zeros(n, dtype=bool)
        #: Arms whose load became known since somebody asked last: what was learned of them before no longer holds.
        self.changed: set[str] = set()
        self._lost: tuple[str, ...] = ()  # joints that were estimated in the sample before
        self.mass = dict.fromkeys(self.arms.joints, 0.0)

    @property
    def open(self) -> tuple[Anomaly, ...]:
        """Anomalies that are not at rest."""
        return tuple(a for a in self._all() if a.open)

    @property
    def touched(self) -> NDArray[np.bool_]:
        """(n,) joints on which an open anomaly forbids to learn; when the law, the body or the clock is in doubt, all.
        """
        touched = np.zeros(self.robot.n, dtype=bool)
        for i, anomaly in self._joints.items():
            touched[i] = anomaly.open
        for side, anomaly in self._arms.items():
            if anomaly.open:
                touched[self.arms.joints[side]] = True
        return touched | (self._law.open or self._body.open or self._time.open)

    def apply(self, revision: Revision, now_ns: int) -> None:
        """Judge by this model from now on; what it explains is no anomaly any more."""
        before, self.revision = self.revision, revision
        self.residuals.restart()
        self.residuals.friction, self.residuals.scale = revision.friction, revision.torque_scale
        self.residuals.dynamics.carry(revision.payload)  # its own, or the estimator's
        change = revision.encoder_offset - before.encoder_offset
        self._encoders.believe(change, self.config.position_noise)
        for i in np.flatnonzero(change):
            if int(i) in self._joints and self._joints[int(i)].kind == "SENSOR":
                self._joints[int(i)].close(now_ns)
        for side, anomaly in self._arms.items():
            if before.payload.get(side, 0.0) != revision.payload.get(side, 0.0) and anomaly.open:
                anomaly.close(now_ns)
                self._forces.clear(self._mask(self.arms.joints[side]))

    @property
    def clock_reason(self) -> str:
        """What is wrong with the stamps, '' while all is well."""
        return self._clock.reason

    def accept_clock(self, now_ns: int) -> None:
        """The stamps' distance from now is the normal one as it is."""
        self._clock.accept()
        self._time.close(now_ns)

    def encoder_offset(self) -> tuple[Array, Array]:
        """(rad, standard error) (n,) of the encoders that jumped and were not corrected, or no longer are."""
        return self._encoders.offset.copy(), self._encoders.offset_error.copy()

    def measure(self, estimate: Estimate, state: RobotState, drive: Drive | None = None,
                motion: Motion | None = None) -> Array:
        """What does not fit: the external torque of each joint, (n,) N m, NaN where it means nothing (the legs of a
        standing robot, or no torque reported). ``drive``: what was asked of the motors during the sample; ``motion``:
        mass matrix and bias of the model, when somebody has worked them out already."""
        r = self.residual = self.residuals.update(estimate, state, drive, motion)
        return self._nothing if r is None else r.external

    def judge(self, stamp_ns: int, state: RobotState, now_ns: int, commanded: Array) -> Diagnosed:
        """What that means: of the sample measured last. ``commanded`` positions (n,)."""
        if not self._begin_ns:
            self._begin_ns = stamp_ns
        r = self.residual
        self._time.step(now_ns, self._clock.update(stamp_ns, now_ns), not self._clock.reason)
        self._time.reason = self._clock.reason or self._time.reason
        if r is None:
            return self._said()
        lost, self._lost = {*state.estimated_joints, *self._lost}, state.estimated_joints
        if lost:
            r = self.residual = self._forget(r, lost, now_ns)
        sound = self._sound(state)
        self.learnable = sound | self._loaded(state)
        wrong = self._encoders.update(r, commanded, sound)
        if self._encoders.stuck.any():
            self._motors.clear(self._encoders.stuck)  # what a motor gives is judged by where its encoder says it is
        weak = self._motors.update(r, self._heard(state) & ~wrong & ~self._encoders.stuck, sound)
        coulomb, viscous = self.revision.friction.coulomb, self.revision.friction.viscous
        push = self._forces.update(r, 0.6 * coulomb + 0.5 * viscous * np.abs(r.velocity) + 0.02, sound)
        if push is not None:
            self._pushed = push
            self._add_block(r)
        if (stamp_ns - self._begin_ns) / NS < WARM_UP:
            self._motors.clear(self._every)
            self._forces.clear(self._every)
            return self._said()
        if not self._settled:
            self.residuals.settle()
            self._settled = True
        self._judge_law(now_ns, weak & ~wrong)
        self._judge_joints(now_ns, wrong, weak)
        self._judge_arms(now_ns)
        return self._said()

    # --- what stands behind

    def _all(self) -> list[Anomaly]:
        return [*self._joints.values(), *self._arms.values(), self._body, self._law, self._time]

    def _mask(self, index: NDArray[np.intp]) -> NDArray[np.bool_]:
        mask = np.zeros(self.robot.n, dtype=bool)
        mask[index] = True
        return mask

    def _sound(self, state: RobotState) -> NDArray[np.bool_]:
        """Joints on which the watches may learn: no anomaly touches them, and their sensors speak."""
        return ~self.touched & self._heard(state)

    def _loaded(self, state: RobotState) -> NDArray[np.bool_]:
        """Joints of arms with a named load: the load itself is what may be identified there."""
        loaded = np.zeros(self.robot.n, dtype=bool)
        if self._time.open:
            return loaded
        for side, anomaly in self._arms.items():
            if anomaly.named and anomaly.kind == "PAYLOAD":
                index = self.arms.joints[side]
                loaded[index] = not any(self._joints[int(i)].open for i in index)
        return loaded & self._heard(state)

    def _heard(self, state: RobotState) -> NDArray[np.bool_]:
        """Joints whose sensors speak."""
        heard = self.residuals.seen.copy()
        for name in state.estimated_joints:
            heard[self.robot.index(name)] = False
        return heard

    def _forget(self, r: Residual, lost: set[str], now_ns: int) -> Residual:
        """The residual without the steps of joints whose sensors are lost, or just came back. What a sensor said
        before it was found lost (it froze, say) is no evidence that it is off."""
        index = np.array([self.robot.index(name) for name in lost], dtype=np.intp)
        self._encoders.correct(index)
        self._motors.clear(self._mask(index))
        for i in index.tolist():
            if i in self._joints and self._joints[i].kind == "SENSOR":
                self._joints[i].close(now_ns)
        return replace(r, step=np.where(self._mask(index), 0.0, r.step))

    def _judge_law(self, now_ns: int, weak: NDArray[np.bool_]) -> None:
        many = int(weak.sum()) >= MANY
        if self._law.step(now_ns, many, not many):
            self._law.kind = "MODEL"
            self._law.reason = (f"MODEL {int(weak.sum())} joints do not give what they were commanded: does the robot "
                                "follow somebody else, or hold by itself?")

    def _judge_joints(self, now_ns: int, wrong: NDArray[np.bool_], weak: NDArray[np.bool_]) -> None:
        # a blow shakes the drives for a moment; what pushes is the arm's own affair
        shaken = np.zeros_like(wrong)
        for side, arm in self._arms.items():
            shaken[self.arms.joints[side]] = arm.open
        noticed = wrong | (weak & ~shaken & (not self._law.open))
        for i, anomaly in self._joints.items():
            if not anomaly.open and not noticed[i]:
                continue
            long = now_ns - anomaly.since_ns > RECOVERY * NS
            over = not wrong[i] if anomaly.kind == "SENSOR" else long and self._motors.recovered(i)
            if anomaly.step(now_ns, bool(noticed[i]), over):
                self._name_joint(anomaly, i, bool(wrong[i]))
            elif anomaly.named:
                self._follow_joint(anomaly, i)
            # What was noticed for a moment only goes on being evidence.
            if anomaly.confirmed and anomaly.state in ("cooling", "listening"):
                self._motors.clear(self._mask(np.array([i])))

    def _follow_joint(self, anomaly: Anomaly, i: int) -> None:
        """How much is said again as evidence grows; what it is stays."""
        if anomaly.kind == "ACTUATOR":
            share, error, _ = self._motors.share(i)
            anomaly.reason = _weak(self.robot.joint_names[i], share, error)

    def _name_joint(self, anomaly: Anomaly, i: int, wrong: bool) -> None:
        name, encoders = self.robot.joint_names[i], self._encoders
        if wrong:
            anomaly.kind = "SENSOR"
            if encoders.frozen[i]:
                anomaly.reason = f"SENSOR {name} stands still while it is moved"
            elif encoders.drifting[i]:
                anomaly.reason = f"SENSOR {name} drifts by {encoders.rate[i]:+.3f} rad/s"
            else:
                anomaly.reason = f"SENSOR {name} off by {encoders.offset[i]:+.3f} rad"
            return
        share, error, scaled = self._motors.share(i)
        if scaled and share < 1.0 - 2.0 * error:
            anomaly.kind = "ACTUATOR"
            anomaly.reason = _weak(name, share, error)
        else:
            off = self._motors.offset(i, float(self.robot.kp[i] * self.revision.torque_scale[i]))
            anomaly.kind = "SENSOR"
            anomaly.reason = f"SENSOR {name} off by {off:+.3f} rad"

    # --- forces

    def _add_block(self, r: Residual) -> None:
        """Evidence of an arm's anomaly since it began to be gathered; once it is named, its size is followed."""
        for side, anomaly in self._arms.items():
            if anomaly.state not in ("gathering", "calibrating"):
                self._evidence.pop(side, None)
                continue
            if side not in self._evidence:
                self._evidence[side] = Evidence(self.arms, side)
            mean = self._forces.mean
            self._evidence[side].add(mean, np.hypot(self._forces.std, 0.05 * np.abs(mean)), r.torque)
            if anomaly.named:
                self._name_arm(anomaly, side)

    def _judge_arms(self, now_ns: int) -> None:
        for side, anomaly in self._arms.items():
            index = self.arms.joints[side]
            sick = any(self._joints[int(i)].kind == "SENSOR" for i in index)
            noticed = bool(self._pushed[index].any()) and not sick
            quiet = now_ns - anomaly.seen_ns > QUIET * NS
            over = quiet and bool((np.abs(self._forces.z[index]) < 3.0).all())
            state = anomaly.state
            if anomaly.step(now_ns, noticed, over):
                self._name_arm(anomaly, side)
            if anomaly.state != state and anomaly.state in ("calibrating", "cooling"):
                self.changed.add(side)
        anomaly = self._body
        # what hangs on an arm is felt in the waist as well
        others = any(a.open or bool((np.abs(self._forces.z[self.arms.joints[side]]) > 2.0).any())
                     for side, a in self._arms.items())
        noticed = bool(self._pushed[self._waist].any()) and not others
        if anomaly.step(now_ns, noticed, bool((np.abs(self._forces.z[self._waist]) < 3.0).all())):
            k = int(self._waist[np.argmax(np.abs(self._forces.z[self._waist]))])
            anomaly.kind = "CONTACT"
            anomaly.reason = f"CONTACT body, {self._forces.mean[k]:+.1f} N m about {self.robot.joint_names[k]}"

    def _name_arm(self, anomaly: Anomaly, side: str) -> None:
        evidence = self._evidence.get(side)
        if evidence is None:
            return  # no block of samples came since: it is named with the first one
        cause = evidence.cause()
        anomaly.kind = cause.kind
        if cause.kind == "PAYLOAD":
            self.mass[side] = cause.value
            anomaly.reason = f"PAYLOAD {side} arm {cause.value:.1f} kg +-{max(2.0 * cause.error, 0.1):.1f}"
        elif cause.kind == "ACTUATOR":
            anomaly.reason = _weak(self.robot.joint_names[cause.joint], cause.value, cause.error)
        else:
            anomaly.reason = f"CONTACT {side} arm {cause.value:.0f} N"

    def _said(self) -> Diagnosed:
        anomalies = self._all()
        return Diagnosed(tuple(a.reason for a in anomalies if a.named and a.reason), overall(anomalies))


def _weak(joint: str, share: float, error: float) -> str:
    return f"ACTUATOR {joint} gives {100.0 * share:.0f} % of its torque (+-{max(200.0 * error, 1.0):.0f})"
