"""Corrections of the model: what was identified becomes a numbered revision only when somebody asks for it.

A request is refused, with the reason, while an anomaly is open that the correction would not explain, and when the
motion so far does not tell the numbers apart. ``rollback`` takes the last revision back, as a new revision; ``clock``
accepts how far stamps lie back now as the normal distance, which is no part of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from humanoid_core.robot_model import RobotModel
from twin_nodes.core.anomaly import Anomaly
from twin_nodes.core.diagnosis import Diagnosis
from twin_nodes.core.identification import COULOMB, SCALE, VISCOUS, Identification, Value
from twin_nodes.core.observer import Friction
from twin_nodes.core.revision import Revision

WHAT = ("encoder_offsets", "friction", "torque_scale", "payload", "rollback", "clock")
#: What an open anomaly may be for a correction that takes care of it.
EXPLAINS = {"encoder_offsets": "SENSOR", "payload": "PAYLOAD", "friction": "MODEL", "torque_scale": "MODEL",
            "rollback": ""}
#: What is physically possible: N m s/rad, share of the joint's torque limit, kg, rad, true over reported torque.
MOST_VISCOUS, MOST_COULOMB, MOST_MASS, MOST_OFFSET = 5.0, 0.3, 10.0, 0.35
LEAST_SCALE, MOST_SCALE = 0.5, 1.5
#: What statistics do not show of a torque scale: light joints of a sound robot were found 0.94 to 1.00 (2 x 40 s).
LEAST_CHANGE = 0.05
IMPOSSIBLE = "is not possible"
#: A load below this is an empty hand, kg.
EMPTY_HAND = 0.05


@dataclass(frozen=True)
class Answer:
    """``revision``: number of the model in use after the request."""

    ok: bool
    reason: str
    report: str
    revision: int


class Calibration:
    """Keeps the revisions; whoever uses the model asks for ``current``."""

    def __init__(self, robot: RobotModel, diagnosis: Diagnosis, identification: Identification) -> None:
        self.robot, self._diagnosis, self._identification = robot, diagnosis, identification
        self.history: list[Revision] = [Revision.of(robot)]
        self._made = 0

    @property
    def current(self) -> Revision:
        return self.history[-1]

    def request(self, what: str, apply: bool, now_ns: int) -> Answer:
        """Report what would change, and change it when ``apply``."""
        if what not in WHAT:
            return self._refuse(f"'{what}' is nothing that can be calibrated; valid: {', '.join(WHAT)}")
        if what == "clock":
            return self._clock(apply, now_ns)
        blocked = self._blocked_by(what)
        if blocked is not None and what != "rollback":
            told = blocked.reason or f"{blocked.subject} is {blocked.state}"
            way = ", or calibrate 'clock' to accept it" if told.startswith("CLOCK") else ""
            return self._refuse(f"an anomaly is open: {told}; clear its cause first{way}")
        found, report = getattr(self, f"_{what}")()
        if found is None:
            return self._refuse(report)
        if apply:
            self._made += 1
            found = replace(found, number=self._made)
            if what == "rollback":
                self.history.pop()
                self.history[-1] = found
            else:
                self.history.append(found)
            self._diagnosis.apply(found, now_ns)
            self._identification.clear()
        return Answer(True, "" if apply else "not applied, as asked", report, self.current.number)

    # --- what stands behind

    def _refuse(self, reason: str) -> Answer:
        return Answer(False, reason, "", self.current.number)

    def _blocked_by(self, what: str) -> Anomaly | None:
        kind = EXPLAINS[what]
        return next((a for a in self._diagnosis.open if a.state != "cooling" and a.kind != kind), None)

    def _clock(self, apply: bool, now_ns: int) -> Answer:
        reason = self._diagnosis.clock_reason
        if not reason:
            return self._refuse("stamps keep their distance from now; there is nothing to accept")
        if apply:
            self._diagnosis.accept_clock(now_ns)
        return Answer(True, "" if apply else "not applied, as asked", f"accepted as normal: {reason}",
                      self.current.number)

    def _encoder_offsets(self) -> tuple[Revision | None, str]:
        offset, error = self._diagnosis.encoder_offset()
        index = np.flatnonzero((np.abs(offset) > 3.0 * error) & (error > 0.0))
        if not index.size:
            return None, "no encoder jumped since the start or the last correction; there is nothing to correct"
        names = self.robot.joint_names
        total = self.current.encoder_offset.copy()
        total[index] += offset[index]
        lines = [f"{names[i]}: {offset[i]:+.4f} rad +-{2.0 * error[i]:.4f}" for i in index]
        far = [names[i] for i in index if abs(total[i]) > MOST_OFFSET]
        if far:
            return None, f"{far[0]} would be off by more than {MOST_OFFSET} rad: that is a broken encoder"
        return replace(self.current, encoder_offset=total, why="encoder offsets"), "\n".join(lines)

    def _friction(self) -> tuple[Revision | None, str]:
        viscous, coulomb = self.current.friction.viscous.copy(), self.current.friction.coulomb.copy()
        lines, problems = [], []
        for i in np.flatnonzero(self._diagnosis.residuals.seen):
            name = self.robot.joint_names[i]
            values = self._identification.joint(int(i))
            v, c = values[VISCOUS], values[COULOMB]
            problem = v.problem or _outside(v, 0.0, MOST_VISCOUS) or _outside(
                c, 0.0, MOST_COULOMB * float(self.robot.effort[i]))
            if problem:
                problems.append(f"{name}: {problem}")
                continue
            viscous[i], coulomb[i] = max(v.value, 0.0), max(c.value, 0.0)
            lines.append(f"{name}: viscous {v.value:.4f} +-{v.error:.4f} N m s/rad, Coulomb {c.value:.3f} "
                         f"+-{c.error:.3f} N m")
        if not lines:
            return None, _why(problems) or "EXCITATION: no joint reports its torque"
        report = "\n".join(lines + [f"left as it was: {p}" for p in problems])
        return replace(self.current, friction=Friction(viscous, coulomb), why="friction"), report

    def _torque_scale(self) -> tuple[Revision | None, str]:
        """While the hands hold what the model knows: a forearm's torque grows with a load and with its scale alike. Of
        joints that are off by twice their interval, since one of many is off by once for nothing."""
        scale, lines, problems, fine = self.current.torque_scale.copy(), [], [], 0
        for i in np.flatnonzero(self._diagnosis.residuals.seen):
            name, known = self.robot.joint_names[i], float(scale[i])
            left = self._identification.joint(int(i), (VISCOUS, COULOMB, SCALE))[SCALE]
            found = Value(known * (1.0 - left.value), known * (1.0 - left.high), known * (1.0 - left.low), left.problem)
            problem = found.problem or _outside(found, LEAST_SCALE, MOST_SCALE)
            if problem:
                problems.append(f"{name}: {problem}")
            elif abs(found.value - known) <= max(2.0 * found.error, LEAST_CHANGE):
                fine += 1
            else:
                scale[i] = found.value
                lines.append(f"{name}: torque scale {found.value:.3f} +-{found.error:.3f}")
        if not lines:
            why = _why(problems) or "EXCITATION: no joint reports its torque"
            return None, (why if not fine or why.startswith("IMPOSSIBLE") else
                          f"there is nothing to correct at {fine} joints; of the others it cannot be told")
        report = "\n".join(lines + [f"left as it was: {p}" for p in problems])
        return replace(self.current, torque_scale=scale, why="torque scale"), report

    def _payload(self) -> tuple[Revision | None, str]:
        payload, lines, problems = dict(self.current.payload), [], []
        for side in payload:
            mass = self._identification.load(side)
            problem = mass.problem or _outside(mass, -payload[side], MOST_MASS - payload[side])
            if problem:
                problems.append(f"{side} hand: {problem}")
                continue
            total = payload[side] + mass.value  # what was known is no longer in the motion
            payload[side] = total if total > EMPTY_HAND else 0.0
            lines.append(f"{side} hand: {total:.3f} kg +-{mass.error:.3f}")
        if not lines:
            return None, _why(problems) or "EXCITATION: the robot has no hands"
        report = "\n".join(lines + [f"left as it was: {p}" for p in problems])
        return replace(self.current, payload=payload, why="payload"), report

    def _rollback(self) -> tuple[Revision | None, str]:
        if len(self.history) < 2:
            return None, "the model is the robot file as it is; there is nothing to take back"
        before = self.history[-2]
        return before, f"back to {before.why} (revision {before.number}) from {self.current.why}"


def _outside(value: Value, low: float, high: float) -> str:
    """Why an identified value is not physical, '' when its interval allows one that is."""
    if value.high >= low and value.value <= high:
        return ""
    return f"{value.value:.3f} {IMPOSSIBLE}, {low:g} to {high:g} is"


def _why(problems: list[str]) -> str:
    """The reason of a refusal: a number that cannot be before motion that does not tell, '' without either."""
    cannot = [p for p in problems if IMPOSSIBLE in p]
    if cannot:
        return f"IMPOSSIBLE: {cannot[0]}"
    return f"EXCITATION: {problems[0]}" if problems else ""
