"""The gate: one safe command per period, whatever comes in.

A policy's command moves the set-point only while everything is there: a fresh permit, a fresh robot state, an
unlatched stop, the sole sender, a command that passes every check. When anything is missing the set-point brakes
within its acceleration limits and stands. What interrupted a motion burns its epoch: the policy starts again from
the measured pose under a new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS, age_reason
from humanoid_core.types import JointCommand, Level, Mode, Permit, RobotState
from safety_nodes.core.command_check import SOFT, Accepted, CommandCheck
from safety_nodes.core.config import GateConfig
from safety_nodes.core.identity import SoleSender
from safety_nodes.core.setpoint import SetPoint
from safety_nodes.core.types import Received

GROUP = "upper_body"
_EXTRAPOLATE = 0.02  # s: a set-point's target moves on between two commands, at most two periods
_YIELD_SPEED = 0.3  # share of the command speed
_REMEMBER = NS // 5  # how long a refusal stands as the reason for holding


@dataclass(frozen=True)
class GateInputs:
    """What arrived since the last tick, oldest first; the newest robot state or None."""

    permits: Sequence[Received[Permit]] = ()
    commands: Sequence[Received[JointCommand]] = ()
    state: Received[RobotState] | None = None


@dataclass(frozen=True)
class GateOutput:
    """``command`` is None only until a measured pose is known."""

    command: JointCommand | None
    mode: Mode
    state: str  # starting, holding, passing, halting, latched
    reason: str  # reason code, '' while passing
    permit_age: float  # s, NaN: none yet


class Gate:
    """One gate; ``step`` once per period. Reads no clock: it is told monotonic and ROS time."""

    def __init__(self, robot: RobotModel, config: GateConfig) -> None:
        group = robot.groups[GROUP]
        rows = np.array(group, dtype=np.intp)
        self.config = config
        self.names = tuple(robot.joint_names[i] for i in group)
        self.refused = Refusals()
        self.passed = self.held = 0
        self._rows, self._n = rows, robot.n
        self._check = CommandCheck(robot, group, config)
        self.setpoint = SetPoint(robot.lower[rows], robot.upper[rows], robot.command_velocity[rows],
                                 robot.command_acceleration[rows], 1.0 / config.rate)
        silence = int(config.sender_silence * NS)
        self._permit_sender, self._command_sender = SoleSender(silence), SoleSender(silence)
        self._emergency_mode = Mode[config.emergency_mode]
        self._permit: Received[Permit] | None = None
        self._reset_count: int | None = None
        self._latched = False
        self._state: Received[RobotState] | None = None
        self._pose: Array | None = None  # measured, of the controlled joints
        self._last: Accepted | None = None
        self._epoch: int | None = None
        self._seen: int | None = None  # sequence number of the last good command of this epoch
        self._burned: deque[int] = deque(maxlen=256)  # epochs that may not go on
        self._refusal = ("", 0)
        self._ready = False  # the set-point is at the measured pose and the robot may follow it
        self._based = False
        self._mode_reached = False  # latched, standing still, and the emergency mode asked for
        self._seq = 0
        self._tick_ns: int | None = None

    # --- one period

    def step(self, mono_ns: int, ros_ns: int, inputs: GateInputs) -> GateOutput:
        """Take what arrived, and say what the robot shall do for the next period."""
        if self._tick_ns is not None and mono_ns - self._tick_ns > self.config.suspend_gap * NS:
            self._distrust()
            self.setpoint.rebase(self.setpoint.position)  # the robot has stopped by itself meanwhile
            inputs = GateInputs()
        self._tick_ns = mono_ns
        self._take_state(inputs.state)
        hard = self._take_permits(inputs.permits)
        block = self._blocked(mono_ns, ros_ns)
        hard = self._take_commands(inputs.commands, block, mono_ns, ros_ns) or hard
        reason = block or hard or self._idle(mono_ns, ros_ns)
        if block or hard:
            self._interrupt()
        self._move(reason, ros_ns)
        return self._output(reason, mono_ns, ros_ns)

    def _blocked(self, mono_ns: int, ros_ns: int) -> str:
        """Reason code for what forbids any motion, '' when there is leave to move."""
        if self._latched:
            return "ESTOP"
        state, config = self._state, self.config
        if state is None or state.value is None or mono_ns - state.mono_ns > config.state_timeout * NS:
            return "NO_STATE"
        if age_reason(state.value.stamp_ns, ros_ns, int(config.state_max_age * NS)):
            return "NO_STATE"
        if not self._ready:
            return "JUMP"
        permit = self._permit
        if permit is None or permit.value is None or mono_ns - permit.mono_ns > permit.value.validity * NS:
            return "NO_PERMIT"
        return "" if permit.value.level < Level.DANGER and permit.value.scale > 0.0 else "NO_PERMIT"

    def _idle(self, mono_ns: int, ros_ns: int) -> str:
        """Reason code when no command is fresh enough to follow."""
        last, limit = self._last, self.config.command_max_age * NS
        if last is None or mono_ns - last.mono_ns > limit or ros_ns - last.command.stamp_ns > limit:
            self._last = None
            code, at_ns = self._refusal
            return code if code and mono_ns - at_ns <= _REMEMBER else "NO_COMMAND"
        return ""

    def _move(self, reason: str, ros_ns: int) -> None:
        """Advance the set-point by one period."""
        point, last = self.setpoint, self._last
        if self._pose is None:
            return
        if not self._based:
            point.rebase(self._pose)
            self._based = True
        if not reason and last is not None and self._permit is not None and self._permit.value is not None:
            ahead = min(max((ros_ns - last.command.stamp_ns) / NS, -_EXTRAPOLATE), _EXTRAPOLATE)
            target, velocity = point.position.copy(), np.zeros(len(self.names))
            target[last.index] = np.clip(last.position + last.velocity * ahead, point.lower[last.index],
                                         point.upper[last.index])
            if ahead < _EXTRAPOLATE:  # beyond that the target stands still
                velocity[last.index] = last.velocity
            point.towards(target, velocity, self._permit.value.scale)
            self.passed += 1
            return
        self.held += 1
        if self._following():
            point.towards(np.clip(self._pose, point.lower, point.upper), np.zeros(len(self.names)), 1.0)
        elif reason == "NO_STATE":
            point.stop()
        else:
            self._give_way(self._pose)

    def _give_way(self, pose: Array) -> None:
        """Hold; a joint that is kept further off than `yield_error` (an obstacle, a weak motor) is not pressed on:
        its set-point comes back to that distance."""
        point, limit = self.setpoint, self.config.yield_error
        error = pose - point.position
        far = np.abs(error) > limit
        if bool(far.any()):
            target = np.clip(pose - np.sign(error) * limit, point.lower, point.upper)
            point.give_way(target, far, _YIELD_SPEED)
        else:
            point.stop()

    def _following(self) -> bool:
        """While the robot does not listen (any mode but RUN) the set-point goes with the measured pose."""
        return not self._ready or (self._latched and self._mode_reached)

    # --- what arrived

    def _take_state(self, state: Received[RobotState] | None) -> None:
        if state is None or state.value is None:
            return
        q = state.value.position
        if q.shape != (self._n,):
            self.refused.refuse("WRONG_LENGTH", "robot state")
        elif not bool(np.isfinite(q).all()):
            self.refused.refuse("NON_FINITE", "robot state")
        else:
            self._state, self._pose = state, q[self._rows]
            self._become_ready()

    def _become_ready(self) -> None:
        """RUN may be asked for once the set-point stands at the measured pose."""
        if self._ready or self._pose is None:
            return
        if not self._based:
            self.setpoint.rebase(self._pose)
            self._based = True
        near = np.abs(self.setpoint.position - np.clip(self._pose, self.setpoint.lower, self.setpoint.upper))
        self._ready = bool((near <= self.config.rebase_tolerance).all()) and not self._latched

    def _take_permits(self, permits: Sequence[Received[Permit]]) -> str:
        hard = ""
        for permit in permits:
            value = permit.value
            fine, new = self._permit_sender.accept(permit.sender, permit.mono_ns)
            if not fine:
                hard = self.refused.refuse("PUBLISHER", "safety/permit")
            elif value is None or not (0.0 <= value.scale <= 1.0 and 0.0 < value.validity <= self._longest):
                self._permit = None
                self.refused.refuse("OUT_OF_RANGE", "safety/permit")
            elif not new and self._permit is not None and self._permit.value is not None \
                    and value.seq <= self._permit.value.seq:
                self.refused.refuse("OLD_SEQUENCE", "safety/permit")
            else:
                self._heed(permit, value, new)
        return hard

    @property
    def _longest(self) -> float:
        return self.config.permit_validity + 1e-9

    def _heed(self, permit: Received[Permit], value: Permit, new_sender: bool) -> None:
        """Take a good permit. A counted reset unlatches, flushes and re-bases; a restarted monitor does not."""
        if self._reset_count is not None and not new_sender and value.reset_count != self._reset_count:
            self._distrust()
            self._latched = False
        self._reset_count = value.reset_count
        if value.estop_latched or value.level >= Level.EMERGENCY:
            self._latched = True
        self._permit = permit

    def _take_commands(self, commands: Sequence[Received[JointCommand]], block: str, mono_ns: int,
                       ros_ns: int) -> str:
        """Judge every command; the newest good one is followed. Returns the last refusal that stops motion."""
        hard = ""
        for received in commands:
            code = self._judge(received, block, ros_ns)
            if not code:
                continue
            self._refusal = (code, mono_ns)
            if code not in SOFT:
                hard = code
                self._interrupt()
        return hard

    def _judge(self, received: Received[JointCommand], block: str, ros_ns: int) -> str:
        """Keep a good command as the last one and return '', or the reason code of its refusal."""
        refuse, c = self.refused.refuse, received.value
        fine, new_sender = self._command_sender.accept(received.sender, received.mono_ns)
        if not fine:
            return refuse("PUBLISHER", "vla/joint_command")
        if c is None:
            return refuse("OUT_OF_RANGE", "vla/joint_command")
        if new_sender:
            self._burned.clear()
            self._epoch, self._last = None, None
        fit = self._check.fit(c, ros_ns, received.mono_ns)
        if isinstance(fit, str):
            self._burn(c.epoch if fit not in SOFT else None)
            return refuse(fit, c.source)
        if c.epoch in self._burned:
            return refuse("OLD_EPOCH", c.source)
        if block:
            self._burn(c.epoch)
            return refuse("NO_PERMIT" if block != "NO_STATE" else "NO_STATE", c.source)
        if c.epoch != self._epoch:
            if self._permit is None or self._permit.value is None or not self._permit.value.accept_new:
                self._burn(c.epoch)
                return refuse("NO_PERMIT", "no new motion at this level")
            self._burn(self._epoch)
            self._epoch, self._last, self._seen = c.epoch, None, None
        if self._seen is not None and c.seq <= self._seen:
            return refuse("OLD_SEQUENCE", c.source)
        if self._last is not None:
            code = self._check.follows(fit, self._last)
            if code:
                return refuse(code, c.source)
        self._last, self._seen = fit, c.seq
        return ""

    def _burn(self, epoch: int | None) -> None:
        if epoch is not None and epoch not in self._burned:
            self._burned.append(epoch)

    def _interrupt(self) -> None:
        """The running motion may not go on by itself."""
        self._burn(self._epoch)
        self._epoch, self._last = None, None

    def _distrust(self) -> None:
        """Forget everything heard; the set-point comes to the measured pose before the robot follows again."""
        self._interrupt()
        self._permit, self._state = None, None
        self._ready = False

    # --- what leaves

    def _output(self, reason: str, mono_ns: int, ros_ns: int) -> GateOutput:
        moving = self.setpoint.moving
        if self._latched:
            self._mode_reached = self._mode_reached or not moving or not self._ready
            mode = self._emergency_mode if self._mode_reached else Mode.RUN
            if self._mode_reached:
                self._ready = False
            word = "latched"
        else:
            self._mode_reached = False
            mode = Mode.RUN if self._ready else Mode.HOLD
            word = "starting" if not self._ready else "passing" if not reason else "halting" if moving else "holding"
        age = float("nan") if self._permit is None else (mono_ns - self._permit.mono_ns) / NS
        return GateOutput(self._command(ros_ns), mode, word, reason, age)

    def _command(self, ros_ns: int) -> JointCommand | None:
        if not self._based:
            return None
        self._seq += 1
        return JointCommand(ros_ns, self._seq, self._epoch or 0, "command_gate", self.names,
                            self.setpoint.position.copy(), self.setpoint.velocity.copy())
