"""What goes to the motors: set-points blended in and out, held when something is missing, damped when asked for.

One frame each period, or none. Over ``arm_sdk`` the onboard controller balances and blends with ours by a weight w from
0 to 1; over ``lowcmd`` every motor is ours and the gains are scaled by w instead. Over a period dt, w moves by
dt / engage_time up and by dt / release_time down, and no frame is sent while it is 0 and nothing is asked for::

    WAITING -> ENGAGING -> ACTIVE <-> HOLDING -> RELEASING -> WAITING         DAMPING from anywhere

No clock is read: times come in as monotonic ns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import NS
from humanoid_core.types import JointCommand, Mode
from robot_nodes.core.command_check import indices, refusal_of
from robot_nodes.core.frames import LOW_CMD, Record, new, sealed

ARM_SDK, LOWCMD = "arm_sdk", "lowcmd"
#: While the body is lowered the arms give way to this share of their stiffness.
CROUCH_SOFTNESS = 0.3
#: The set-point follows commands at no more than this share of the robot file's command velocity: the gate keeps below
#: it, so it shows only where the first command after a hold lies elsewhere.
CATCH_UP = 1.5


class Phase(Enum):
    WAITING = "waiting"
    ENGAGING = "engaging"
    ACTIVE = "active"
    HOLDING = "holding"
    RELEASING = "releasing"
    DAMPING = "damping"


@dataclass(frozen=True)
class ActuationConfig:
    """Times in ns. ``jump`` rad: how far a first set-point may lie from the measured pose.

    ``command_timeout``: silence before the set-point is held; ``hold_time``: further silence before it is let go;
    ``state_timeout``: age of the robot's state beyond which nothing new is done; ``lost_time``: further absence before
    the set-point is let go (over lowcmd: damped at once).
    """

    control: str = ARM_SDK
    weight_motor: int = 29
    engage_ns: int = NS
    release_ns: int = 3 * NS
    command_timeout_ns: int = 45 * NS // 1000
    hold_ns: int = 5 * NS
    state_timeout_ns: int = NS // 25
    lost_ns: int = NS
    jump: float = 0.3


@dataclass(frozen=True)
class Seen:
    """What is known at a tick: ``position`` (n,) rad of the newest accepted frame, its arrival (monotonic ns, 0: none
    yet), restarts of the robot's counter, why the onboard controller cannot be commanded ('' when it can)."""

    position: Array
    arrival_ns: int
    restarts: int = 0
    onboard: str = ""


class Actuation:
    """Made once per robot; ``step`` once per period."""

    def __init__(self, robot: RobotModel, config: ActuationConfig) -> None:
        self.robot, self.config = robot, config
        self.refused = Refusals()
        self.phase, self.reason = Phase.WAITING, "NO_COMMAND"
        self.weight = 0.0
        self._arm = config.control == ARM_SDK
        self._ours = np.array(robot.groups["upper_body"] if self._arm else range(robot.n), dtype=np.intp)
        self._allowed = frozenset(int(i) for i in robot.groups["upper_body"])
        self._goal, self._target = np.zeros(robot.n), np.zeros(robot.n)
        self._velocity, self._effort = np.zeros(robot.n), np.zeros(robot.n)
        self._kp, self._kd = robot.kp.copy(), robot.kd.copy()
        self._command_ns: int | None = None
        self._held_ns: int | None = None
        self._last_ns: int | None = None
        self._restarts = 0
        self._fresh_start, self._refused_now, self._letting_go = True, "", False

    def step(self, now_ns: int, commands: list[JointCommand], mode: Mode, seen: Seen) -> Record | None:
        """One period: the commands that came since the last one, the gate's mode, what is known of the robot.
        Returns a LOW_CMD record that is still to be ``addressed``, or None when nothing is sent."""
        dt = 0 if self._last_ns is None else max(now_ns - self._last_ns, 0)
        self._last_ns = now_ns
        blind = not seen.arrival_ns or now_ns - seen.arrival_ns > self.config.state_timeout_ns
        if seen.restarts != self._restarts:  # another body may stand there now
            self._restarts, self._fresh_start = seen.restarts, True
            if self.phase is not Phase.WAITING:
                self._drop()
                self._letting_go = True
        if mode is Mode.DAMP and not (self._arm and self.phase is Phase.WAITING):
            # over arm_sdk the onboard controller damps; there is nothing of ours to damp while we hold nothing
            self._damp("robot/mode DAMP", seen, blind)
        elif self.phase is Phase.DAMPING and not (blind and not self._arm):
            self._fresh_start = True
            self._go(Phase.RELEASING if self._arm else Phase.HOLDING, "NO_COMMAND")
            self._hold_here(seen, blind)
        self._refused_now = ""
        for command in commands:
            self._take(command, now_ns, mode, seen, blind)
        if mode is not Mode.DAMP:
            self._watch(now_ns, mode, seen, blind)
        self._blend(dt)
        most = CATCH_UP * self.robot.command_velocity * (dt / NS)
        self._target += np.clip(self._goal - self._target, -most, most)
        return self._frame(mode)

    # --- what is taken

    def _take(self, command: JointCommand, now_ns: int, mode: Mode, seen: Seen, blind: bool) -> None:
        code, detail = refusal_of(command, self.robot, self._allowed)
        if not code and mode is not Mode.RUN:
            return  # the gate goes on publishing while it asks for HOLD; that is no fault
        if not code and blind:
            code, detail = "NO_STATE", "a command while the robot's state is missing"
        if not code and self._letting_go:
            code, detail = "NO_STATE", "the robot was started anew; the set-point is let go first"
        if not code and seen.onboard:
            code, detail = "ONBOARD", seen.onboard
        if not code and self.phase is Phase.RELEASING:
            self._fresh_start = True
        index = indices(command, self.robot) if not code else np.zeros(0, dtype=np.intp)
        if not code and self._fresh_start:
            far = np.abs(command.position - seen.position[index])
            if np.max(far) > self.config.jump:
                i = int(np.argmax(far))
                code = "JUMP"
                detail = f"{command.joint_names[i]} is {far[i]:.2f} rad away from the first set-point"
        if code:
            self._refused_now = self.refused.refuse(code, detail)
            return
        if self._fresh_start:
            self._hold_here(seen, blind)
            self._fresh_start = False
        self._goal[index] = command.position
        for own, given, usual in ((self._velocity, command.velocity, 0.0), (self._effort, command.effort, 0.0),
                                  (self._kp, command.kp, self.robot.kp[index]), (self._kd, command.kd,
                                                                                 self.robot.kd[index])):
            own[index] = given if len(given) else usual
        self._command_ns = now_ns
        self._held_ns = None
        self._go(Phase.ACTIVE if self.weight >= 1.0 else Phase.ENGAGING, "")

    def _hold_here(self, seen: Seen, blind: bool) -> None:
        """The set-point is the measured pose, at the robot's own gains."""
        if not blind:
            self._target[:] = np.clip(seen.position, self.robot.lower, self.robot.upper)
        self._still()

    def _still(self) -> None:
        self._goal[:] = self._target
        self._velocity[:], self._effort[:] = 0.0, 0.0
        self._kp[:], self._kd[:] = self.robot.kp, self.robot.kd

    # --- what is missing

    def _watch(self, now_ns: int, mode: Mode, seen: Seen, blind: bool) -> None:
        """The ladder ACTIVE -> HOLDING -> RELEASING -> WAITING."""
        config = self.config
        if self.phase is Phase.WAITING:
            self.reason = "NO_STATE" if blind else "ONBOARD" if seen.onboard else self._refused_now or "NO_COMMAND"
            return
        silent = self._command_ns is None or now_ns - self._command_ns >= config.command_timeout_ns
        missing = ("NO_STATE" if blind else "ONBOARD" if seen.onboard else
                   f"robot/mode {mode.name}" if mode is not Mode.RUN else "NO_COMMAND" if silent else "")
        if self.phase in (Phase.ACTIVE, Phase.ENGAGING) and missing:
            self._still()
            self._held_ns = now_ns
            self._go(Phase.HOLDING, missing)
        elif self.phase is Phase.HOLDING and missing:
            self._held_ns = now_ns if self._held_ns is None else self._held_ns
            if missing != self.reason:
                self._held_ns, self.reason = now_ns, missing
            patience = {"NO_STATE": config.lost_ns, "ONBOARD": config.lost_ns,
                        "NO_COMMAND": config.hold_ns}.get(missing)
            if missing == "NO_STATE" and not self._arm:
                self._damp("NO_STATE", seen, blind)
            elif patience is not None and now_ns - self._held_ns >= patience:
                self._drop()

    def _drop(self) -> None:
        """Let the set-point go; whoever comes next starts from the measured pose."""
        self._fresh_start = True
        self._still()
        self._go(Phase.RELEASING, self.reason or "NO_COMMAND")

    def _damp(self, why: str, seen: Seen, blind: bool) -> None:
        self._fresh_start = True
        if self.phase is not Phase.DAMPING:
            self._hold_here(seen, blind)
        self._go(Phase.DAMPING, why)

    def _go(self, phase: Phase, reason: str) -> None:
        self.phase, self.reason = phase, reason

    # --- what is sent

    def _blend(self, dt: int) -> None:
        rising = self.phase in (Phase.ENGAGING, Phase.ACTIVE) or (self.phase is Phase.DAMPING)
        if rising:
            self.weight = min(self.weight + dt / self.config.engage_ns, 1.0)
            if self.phase is Phase.ENGAGING and self.weight >= 1.0:
                self.phase = Phase.ACTIVE
        elif self.phase is Phase.RELEASING:
            self.weight = max(self.weight - dt / self.config.release_ns, 0.0)
            if self.weight == 0.0:
                self.phase, self._letting_go = Phase.WAITING, False

    def _frame(self, mode: Mode) -> Record | None:
        if self.phase is Phase.WAITING:
            return None
        frame = new(LOW_CMD)
        motors = frame["motor_cmd"]
        ours, damping = self._ours, self.phase is Phase.DAMPING
        motors["mode"][:self.robot.n] = 0 if self._arm else 1
        scale = 0.0 if damping else CROUCH_SOFTNESS if mode is Mode.CROUCH else 1.0
        scale *= 1.0 if self._arm else self.weight
        motors["q"][ours] = self._target[ours]
        motors["dq"][ours] = 0.0 if damping else self._velocity[ours]
        motors["tau"][ours] = 0.0 if damping else self._effort[ours] * (1.0 if self._arm else self.weight)
        motors["kp"][ours] = self._kp[ours] * scale
        motors["kd"][ours] = self._kd[ours]
        if self._arm:
            motors["q"][self.config.weight_motor] = self.weight
        return frame


def addressed(frame: Record, mode_machine: int) -> Record:
    """The frame for the variant that the robot says it is, with its CRC."""
    frame["mode_machine"] = mode_machine
    return sealed(frame)
