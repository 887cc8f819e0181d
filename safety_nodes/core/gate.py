"""The gate: one safe command per period, whatever comes in.

A policy's command moves the set-point only while everything is there: a fresh permit, a fresh robot state, an
unlatched stop, the sole sender, a command that passes every check, nobody who took over, nothing in the way. When
anything is missing the set-point brakes within its limits and stands.

It moves the set-point once per period (``step``). In between it looks at what came (``look``), and brakes at once when
that ends a motion.

Rooms: intake_permits, intake_commands and intake_override judge what comes in; actions/ says what the level asks for;
motion moves the set-point (setpoint); body says whether the robot has come low and to rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS, SteadyStamps
from humanoid_core.types import JointCommand, Level, Mode, OverrideState, Permit, Posture, RobotState
from safety_nodes.core.actions import ACTIONS, Arms, Orders, Situation
from safety_nodes.core.body import Body
from safety_nodes.core.clearance import Clearance
from safety_nodes.core.command_check import CommandCheck
from safety_nodes.core.config import GateConfig
from safety_nodes.core.intake_commands import CommandIntake
from safety_nodes.core.intake_override import OverrideIntake
from safety_nodes.core.intake_permits import PermitIntake
from safety_nodes.core.motion import Motion
from safety_nodes.core.setpoint import SetPoint
from safety_nodes.core.state_check import state_fault
from safety_nodes.core.types import Received

GROUP = "upper_body"


@dataclass(frozen=True)
class GateInputs:
    """What arrived since the last step or look, oldest first; the newest robot state or None."""

    permits: Sequence[Received[Permit]] = ()
    commands: Sequence[Received[JointCommand]] = ()
    state: Received[RobotState] | None = None
    overrides: Sequence[Received[OverrideState]] = ()
    active: bool = True  # the node may let commands through; when not, the robot is brought to rest and asked to HOLD


@dataclass(frozen=True)
class GateOutput:
    """``command`` is None only until a measured pose is known."""

    command: JointCommand | None
    mode: Mode
    state: str  # inactive, starting, holding, passing, jogging, halting, latched
    reason: str  # reason code, '' while passing
    permit_age: float  # s, NaN: none yet


@dataclass(frozen=True)
class _Heard:
    """What the level asks for; reason codes for what forbids any motion, and for what just stopped one."""

    orders: Orders
    block: str
    hard: str


class Gate:
    """One gate; ``step`` once per period, ``look`` as often as wanted in between. Reads no clock: it is told monotonic
    and ROS time. ``clearance`` None: nothing is known of shapes, and collisions are not looked for."""

    def __init__(self, robot: RobotModel, config: GateConfig, clearance: Clearance | None = None) -> None:
        group = robot.groups[GROUP]
        self.config = config
        self.refused = Refusals()
        self.passed = self.held = 0
        self.motion = Motion(robot, group, config, clearance)
        self.names = self.motion.names
        self.permits = PermitIntake(config, self.refused)
        self.commands = CommandIntake(CommandCheck(robot, group, config), config, self.refused)
        self.override = OverrideIntake(self.names, config, self.refused)
        self.stamps = SteadyStamps()
        self._body = Body(robot)
        self._n = robot.n
        self._state: Received[RobotState] | None = None
        self._fresh = False  # the measured state is
        self._active = True
        self._mode = Mode.RUN  # asked for in this emergency so far
        self._ready = False  # the set-point is at the measured pose and the robot may follow it
        self._based = False
        self._seq = 0
        self._period = 1.0 / config.rate
        self._heard_ns: int | None = None
        self._step_ns = 0
        self._ahead = 0.0  # s that a look has moved the set-point since the last step
        self._hard = ""  # what was refused since the set-point was last moved
        self.going = False  # the set-point follows a policy or a person: what a look may end

    @property
    def setpoint(self) -> SetPoint:
        return self.motion.point

    # --- one period

    def step(self, mono_ns: int, ros_ns: int, inputs: GateInputs) -> GateOutput:
        """Take what arrived, and say what the robot shall do for the next period."""
        heard = self._hear(mono_ns, ros_ns, inputs)
        self._step_ns, ahead, self._ahead = mono_ns, self._ahead, 0.0
        return self._advance(heard, self._period - ahead, mono_ns, ros_ns)

    def look(self, mono_ns: int, ros_ns: int, inputs: GateInputs) -> GateOutput | None:
        """Between two steps: take what arrived. When it ends the motion that goes on, what the robot shall do from now
        to the next step, else None. The set-point brakes for the time since the last step; the next one is shorter by
        as much."""
        heard = self._hear(mono_ns, ros_ns, inputs)
        since = (mono_ns - self._step_ns) / NS
        if not self.going or not 0.0 < since < self._period or not (heard.block or heard.hard or self._idle(mono_ns)):
            return None
        self._ahead = since
        return self._advance(heard, since, mono_ns, ros_ns)

    def _hear(self, mono_ns: int, ros_ns: int, inputs: GateInputs) -> _Heard:
        """Take what arrived and judge it."""
        self.stamps.tick(mono_ns, ros_ns)
        woken = self._heard_ns is not None and mono_ns - self._heard_ns > self.config.suspend_gap * NS
        if woken:
            self._distrust()
            self.permits.forget()
            self.override.forget()
            self.setpoint.rebase(self.setpoint.position)  # the robot has stopped by itself meanwhile
            inputs = GateInputs(overrides=inputs.overrides, active=inputs.active)
        self._heard_ns, self._active = mono_ns, inputs.active
        self._take_state(inputs.state)
        hard, reset = self.permits.take(inputs.permits, self.stamps)
        if reset:
            self._distrust()
        self.override.take(inputs.overrides, self.stamps, obey=not woken)
        self._fresh = self._is_fresh(mono_ns)
        orders = self._orders(mono_ns)
        block = self._blocked(orders, mono_ns)
        policy_block = block or ("OVERRIDE" if self.override.active else "")
        bad = self.commands.take(inputs.commands, policy_block, orders.scale, orders.accept_new, mono_ns, self.stamps)
        if not self.override.active:  # what a policy sends meanwhile does not stop the person
            hard = bad or hard
        if policy_block or hard:
            self.commands.interrupt()
        self._hard = hard or self._hard
        return _Heard(orders, block, self._hard)

    def _advance(self, heard: _Heard, dt: float, mono_ns: int, ros_ns: int) -> GateOutput:
        """Move the set-point by ``dt`` s."""
        self._hard, self.setpoint.dt = "", dt
        state, reason = self._move(heard.orders, heard.block, heard.hard, mono_ns)
        self.going = state in ("passing", "jogging")
        return self._output(heard.orders, state, reason, mono_ns, ros_ns)

    def _idle(self, mono_ns: int) -> bool:
        """Nobody says any more where to go."""
        if self.override.active:
            return self.override.jog(mono_ns) is None
        return bool(self.commands.idle(mono_ns))

    def _orders(self, mono_ns: int) -> Orders:
        """What the level asks for. Without a valid permit: as at DANGER."""
        permit = self.permits.valid(mono_ns)
        self.motion.remove(permit.removed_joints if permit is not None else self.motion.removed_names)
        if not self.permits.latched:
            self._mode = Mode.RUN
            level = permit.level if permit is not None else Level.DANGER
            scale, new = (permit.scale, permit.accept_new) if permit is not None else (0.0, False)
            return ACTIONS[level](Situation(scale, new))
        self._body.look(self._state.value if self._fresh and self._state is not None else None, mono_ns)
        orders = ACTIONS[Level.EMERGENCY](Situation(
            posture=self._posture(), mode=self._mode, still=not self.setpoint.moving or not self._ready,
            low=self._body.low(mono_ns), lying=self._body.lying(mono_ns), toppling=self._body.toppling,
            settle_time=self.config.settle_time, damp_crouched=self.config.crouch_end == "DAMP"))
        self._mode = orders.mode
        return orders

    def _posture(self) -> Posture:
        asked = self.config.emergency_mode
        return self.permits.posture if asked == "POSTURE" else Posture[asked]

    def _is_fresh(self, mono_ns: int) -> bool:
        state, config = self._state, self.config
        if state is None or state.value is None or mono_ns - state.mono_ns > config.state_timeout * NS:
            return False
        return not self.stamps.age_reason(state.value.stamp_ns, int(config.state_max_age * NS))

    def _blocked(self, orders: Orders, mono_ns: int) -> str:
        """Reason code for what forbids any motion, '' when there is leave to move."""
        if self.permits.latched:
            return "ESTOP"
        if not self._active:
            return "INACTIVE"
        if not self._fresh:
            return "NO_STATE"
        if not self._ready:
            return "JUMP"
        return "" if orders.arms == Arms.FOLLOW else "NO_PERMIT"

    def _move(self, orders: Orders, block: str, hard: str, mono_ns: int) -> tuple[str, str]:
        """Advance the set-point. Returns (what it does, reason code)."""
        motion = self.motion
        if motion.pose is None:
            return "halting", block or hard
        if not self._based:
            motion.point.rebase(motion.pose)
            self._based = True
        reason = block or hard
        if not reason and self.override.active:
            jog = self.override.jog(mono_ns)
            code = "OVERRIDE" if jog is None else motion.jog(*jog, orders.scale)
            if not code:
                self.held += 1
                return "jogging", "OVERRIDE"
            reason = code
        elif not reason:
            reason = self.commands.idle(mono_ns)
            last = self.commands.last
            if not reason and last is not None:
                reason = motion.follow(last, orders.scale, mono_ns)
                if not reason:
                    self.passed += 1
                    return "passing", ""
        self.held += 1
        if reason in ("SELF_COLLISION", "ENVIRONMENT"):
            self.refused.refuse(reason, motion.contact)  # the set-point has braked already
        elif orders.arms == Arms.TUCK:
            motion.tuck()
        elif not self._ready or self._mode != Mode.RUN:
            motion.accompany()
        else:
            motion.hold(self._fresh)
        return "halting", reason

    # --- what arrived

    def _take_state(self, state: Received[RobotState] | None) -> None:
        """A bad state is no state: silence brakes."""
        if state is None:
            return
        if state.value is None:
            self.refused.refuse("OUT_OF_RANGE", "robot state")
            return
        code, field = state_fault(state.value, self._n)
        if code:
            self.refused.refuse(code, f"robot state: {field}")
            return
        self._state = state
        self.motion.measure(state.value.position)
        self._become_ready()

    def _become_ready(self) -> None:
        """RUN may be asked for once the set-point stands at the measured pose."""
        motion = self.motion
        if self._ready or motion.pose is None:
            return
        if not self._based:
            motion.point.rebase(motion.pose)
            self._based = True
        self._ready = motion.near_pose() and not self.permits.latched

    def _distrust(self) -> None:
        """Forget what was measured; the set-point comes to the measured pose before the robot follows again."""
        self.commands.interrupt()
        self._state = None
        self._ready = False

    # --- what leaves

    def _output(self, orders: Orders, state: str, reason: str, mono_ns: int, ros_ns: int) -> GateOutput:
        if self.permits.latched:
            mode = orders.mode
            state = "latched"
            if mode != Mode.RUN:
                self._ready = False
        elif not self._active and not self.setpoint.moving:
            # The robot holds by itself; it follows again only from where it then stands.
            mode, state, self._ready = Mode.HOLD, "inactive", False
        else:
            mode = Mode.RUN if self._ready else Mode.HOLD
            if not self._ready:
                state = "starting"
            elif state == "halting" and not self.setpoint.moving:
                state = "holding"
        return GateOutput(self._command(ros_ns), mode, state, reason, self.permits.age(mono_ns))

    def _command(self, ros_ns: int) -> JointCommand | None:
        if not self._based:
            return None
        self._seq += 1
        return JointCommand(ros_ns, self._seq, self.commands.epoch or 0, "command_gate", self.names,
                            self.setpoint.position.copy(), self.setpoint.velocity.copy())
