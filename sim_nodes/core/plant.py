"""The simulated robot: MuJoCo physics, PD at every step, an onboard balance controller, motors and battery.

Torque of a joint, N m, clipped to its limit at every physics step::

    tau = kp (q* - q) + kd (v* - v) + effort_ff + gravity

where `gravity` (gravity and Coriolis bias of the joint) is added to the joints of `upper_body`, as the
vendor's onboard controller does, and the legs get the balance controller's ankle torque instead.

The plant falls back by itself, judged on simulated time: no command for `command_timeout` -> HOLD of the
upper body; `hold_time` later -> DAMP of the arms: stiffness 0, gravity still carried, so that they stay and
give way. Waist and legs go on, since a humanoid without leg torque falls. Only a DAMP that is asked for
reaches them.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from humanoid_core.kinematics import Indices, joint_addresses
from humanoid_core.physics import build_spec, standing_height
from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.types import JointCommand, Mode
from sim_nodes.core.balance import Balance, BalanceGains
from sim_nodes.core.motors import Motors
from sim_nodes.core.payload import Payload, add_hands
from sim_nodes.core.scene import DEFAULT_OBJECTS, Scene, add_scene, plan_scene

#: A base lower than this share of its standing height, or tilted more than this (rad), has fallen.
FALLEN_SHARE, FALLEN_TILT = 0.66, 0.8
#: Arms give way to this share of their stiffness while the body is lowered, so that a table lifts them.
CROUCH_SOFTNESS = 0.3
SETTLE_TIME = 6.0
#: Physics steps between updates of temperatures and battery.
MOTOR_EVERY = 50


@dataclass(frozen=True)
class PlantParams:
    """objects: what the table carries, '' for no table; times in s of simulated time; dt the physics step in
    s, two to a sample at 200 Hz."""

    objects: str = DEFAULT_OBJECTS
    free_objects: bool = True
    seed: int = 0
    dt: float = 0.0025
    command_timeout: float = 0.04
    hold_time: float = 5.0
    settle: bool = True
    ambient: float = 25.0


class Plant:
    """Steps the physics; not for use from two threads at once. Joint arrays are float64[n] in robot order."""

    def __init__(self, robot: RobotModel, params: PlantParams | None = None, gains: BalanceGains | None = None) -> None:
        self.robot, self.params = robot, params or PlantParams()
        p = self.params
        self.dt_ns = round(p.dt * 1e9)
        self.scene = plan_scene(p.objects, p.seed, free=p.free_objects) if p.objects else Scene((), table=False)
        spec = build_spec(robot)
        add_scene(spec, self.scene, robot.foot_friction)
        add_hands(spec, robot)
        spec.option.timestep = p.dt
        _add_sensors(spec, robot)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.balance = Balance(robot, self.model, gains)
        self.refused = Refusals()
        self._setup_arrays()
        self.motors = Motors(robot, p.ambient)
        self.payload = Payload(robot, self.model)
        self.reset()

    def _setup_arrays(self) -> None:
        """Views and scratch arrays, so that a step looks nothing up by name."""
        robot, model, data, n = self.robot, self.model, self.data, self.robot.n
        qpos_adr, dof_adr = joint_addresses(model, robot.joint_names)
        self._qadr, self._vadr = _as_slice(qpos_adr), _as_slice(dof_adr)
        self._qpos, self._qvel, self._bias, self._ctrl = data.qpos, data.qvel, data.qfrc_bias, data.ctrl
        self._upper = np.array(robot.groups["upper_body"], dtype=np.intp)
        self._is_upper = np.zeros(n, dtype=bool)
        self._is_upper[self._upper] = True
        waist = robot.groups.get("waist", ())
        self._arms = np.array([i for i in self._upper if i not in waist], dtype=np.intp)
        self._gravity_share = self._is_upper.astype(np.float64)
        self._base = model.body(robot.base_link).id
        self._com_velocity = self._sensor("com_velocity")
        self._imu = {
            i.name: tuple(self._sensor(f"{i.name}_{kind}") for kind in ("quat", "gyro", "accel")) for i in robot.imus
        }
        self._feet = {f.name: model.body(f.link).id for f in robot.feet}
        self._tau, self._work = np.zeros(n), np.zeros(n)
        # A drive reports the torque averaged since its last report, which single steps of a torque that jumps with
        # each command are not: the last few steps' torques, overwritten in turn.
        self._recent = np.zeros((max(round(1.0 / (rate_of_joints(robot) * self.params.dt)), 1), n))
        self._kp, self._kd, self._ff = robot.kp.copy(), robot.kd.copy(), np.zeros(n)
        self._q_ref, self._v_ref = np.zeros(n), np.zeros(n)

    def _sensor(self, name: str) -> Array:
        s = self.model.sensor(name)
        view: Array = self.data.sensordata[s.adr[0] : s.adr[0] + s.dim[0]]
        return view

    def reset(self) -> None:
        """Stand still in the rest posture at time 0; the first call finds the equilibrium by letting it
        settle."""
        robot, data = self.robot, self.data
        mujoco.mj_resetData(self.model, data)
        self._qpos[self._qadr] = robot.rest
        if not robot.base_fixed:
            height = standing_height(robot, self.model, robot.rest)
            data.qpos[2] = height
        self.stand_height = float(data.qpos[2]) if not robot.base_fixed else 0.0
        self.balance.reset()
        self._pushes: list[tuple[int, Array, int]] = []
        self.steps = 0
        self.mode = Mode.HOLD
        self._active, self.reason = Mode.HOLD, "NO_COMMAND"
        self._last_command: int | None = None
        self._q_ref[:] = robot.rest
        self._reset_gains()
        if self.params.settle:
            self.step(round(SETTLE_TIME / self.params.dt))
            data.qvel[:] = 0.0
            data.qacc_warmstart[:] = 0.0
            data.time = 0.0
            self.steps = 0
        self.motors.reset()
        self._recent[:] = self._ctrl
        mujoco.mj_forward(self.model, data)

    def place(self, posture: Array) -> None:
        """Put the upper body at rest into ``posture`` (n,), rad in robot order, and hold it there; the legs stay."""
        if posture.shape != (self.robot.n,) or not np.all(np.isfinite(posture)):
            raise ValueError(f"place: {posture.shape} with only finite numbers must be ({self.robot.n},)")
        q, v = self._qpos[self._qadr].copy(), self._qvel[self._vadr].copy()
        q[self._upper], v[self._upper] = posture[self._upper], 0.0
        self._qpos[self._qadr], self._qvel[self._vadr] = q, v
        self._q_ref[self._upper] = posture[self._upper]
        mujoco.mj_forward(self.model, self.data)

    @property
    def time_ns(self) -> int:
        """Simulated time in ns since ``reset``."""
        return self.steps * self.dt_ns

    @property
    def active(self) -> Mode:
        """What the upper body does now; differs from ``mode`` while the plant has fallen back."""
        return self._active

    def _reset_gains(self) -> None:
        self._kp[:], self._kd[:] = self.robot.kp, self.robot.kd
        self._ff[:] = 0.0
        self._v_ref[:] = 0.0

    # --- what may be asked of the robot

    def command(self, command: JointCommand) -> str:
        """Take a command for upper body joints. Returns '' or the reason code of the refusal (nothing is
        taken)."""
        names = command.joint_names
        try:
            index = np.array([self.robot.index(name) for name in names], dtype=np.intp)
        except KeyError as error:
            return self.refused.refuse("WRONG_NAMES", f"no joint {error.args[0]!r}")
        if len(set(names)) != len(names) or not names:
            return self.refused.refuse("WRONG_NAMES", "no joint named" if not names else "a joint is named twice")
        if not np.all(self._is_upper[index]):
            first = names[int(np.argmin(self._is_upper[index]))]
            return self.refused.refuse("NOT_CONTROLLED", f"'{first}' belongs to the balance controller")
        for field in ("position", "velocity", "effort", "kp", "kd"):
            values = getattr(command, field)
            if len(values) != len(names) and (len(values) or field == "position"):
                return self.refused.refuse("WRONG_LENGTH", f"{field} has {len(values)} values, {len(names)} names")
            if not np.all(np.isfinite(values)):
                return self.refused.refuse("NON_FINITE", field)
        for field in ("kp", "kd"):
            if not np.all(np.asarray(getattr(command, field)) >= 0.0):
                return self.refused.refuse("OUT_OF_RANGE", f"{field} is negative")
        q, robot = np.asarray(command.position), self.robot
        if not np.all((robot.lower[index] - 1e-6 <= q) & (q <= robot.upper[index] + 1e-6)):
            return self.refused.refuse("LIMIT_POSITION", f"{names[int(np.argmax(np.abs(q)))]} or another joint")
        self._last_command = self.steps
        if self.mode == Mode.RUN:
            self._activate(Mode.RUN, "")
            self._q_ref[index] = q
            self._v_ref[index] = command.velocity if len(command.velocity) else 0.0
            self._ff[index] = command.effort if len(command.effort) else 0.0
            self._kp[index] = command.kp if len(command.kp) else robot.kp[index]
            self._kd[index] = command.kd if len(command.kd) else robot.kd[index]
        return ""

    def set_mode(self, mode: Mode, reason: str = "") -> None:
        """RUN: follow commands. HOLD: upper body stays where it is. CROUCH: lower the body slowly, arms soft, and once
        it is down, arms damped (stiffness 0, gravity still carried).
        DAMP: all joints, legs too, only damp (the robot sinks down). Legs balance in all but DAMP."""
        if mode == self.mode:
            return
        self.mode = mode
        if mode == Mode.RUN:
            self._last_command = self.steps
            self._activate(Mode.HOLD, "NO_COMMAND")
        else:
            self._activate(mode, reason)

    def push(self, impulse: Array, duration: float = 0.1, link: str = "") -> None:
        """Push a link (default: the base) at its centre of mass: impulse (3,) N s in the world, over s."""
        impulse = np.asarray(impulse, dtype=np.float64)
        if impulse.shape != (3,) or not np.all(np.isfinite(impulse)):
            raise ValueError(f"push: impulse {impulse.tolist()} must be three finite numbers in N s")
        if not self.params.dt <= duration <= 10.0:
            raise ValueError(f"push: duration {duration} s is outside {self.params.dt} … 10")
        body = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, link or self.robot.base_link)
        if body < 0:
            raise ValueError(f"push: the robot has no link '{link}'")
        steps = max(round(duration / self.params.dt), 1)
        self._pushes.append((body, impulse / (steps * self.params.dt), self.steps + steps))

    # --- what its sensors measure, without noise

    def joints(self) -> tuple[Array, Array, Array]:
        """(position rad, velocity rad/s, mean torque N m since the sample before), each (n,), copies."""
        return (self._qpos[self._qadr] + self.motors.encoder_offset, self._qvel[self._vadr].copy(),
                self._recent.mean(axis=0))

    def imu(self, name: str) -> tuple[Array, Array, Array]:
        """(orientation w x y z, angular velocity rad/s, proper acceleration m/s^2) in the IMU's frame."""
        quat, gyro, accel = self._imu[name]
        return quat.copy(), gyro.copy(), accel.copy()

    def foot_wrench(self, name: str) -> tuple[Array, Array]:
        """(force N, torque N m) of the ground on a foot, in and about the foot link's frame."""
        body = self._feet[name]
        external, rotation = self.data.cfrc_ext[body], self.data.xmat[body].reshape(3, 3)
        # cfrc_ext is world-aligned about the centre of mass of the whole tree (MuJoCo, "com-based")
        arm = self.data.subtree_com[self._base] - self.data.xpos[body]
        force = external[3:]
        return rotation.T @ force, rotation.T @ (external[:3] + np.cross(arm, force))

    # --- stepping

    def step(self, count: int = 1) -> None:
        """Advance ``count`` physics steps."""
        for _ in range(count):
            self._watch()
            self._torques()
            if self._pushes:
                self._apply_pushes()
            mujoco.mj_step(self.model, self.data)
            self._recent[self.steps % len(self._recent)] = self._ctrl
            self.steps += 1
            if self.steps % MOTOR_EVERY == 0:
                self.motors.step(self._ctrl, self._qvel[self._vadr], MOTOR_EVERY * self.params.dt)

    def _watch(self) -> None:
        """The fallback ladder RUN -> HOLD -> DAMP for the upper body."""
        if self._last_command is None or self.mode != Mode.RUN:
            return
        silent = (self.steps - self._last_command) * self.params.dt
        if self._active == Mode.RUN and silent >= self.params.command_timeout:
            self._activate(Mode.HOLD, "NO_COMMAND")
        elif self._active == Mode.HOLD and silent >= self.params.command_timeout + self.params.hold_time:
            self._activate(Mode.DAMP, "NO_COMMAND")

    def _activate(self, mode: Mode, reason: str) -> None:
        """Enter what the upper body (and, when asked for, the legs) does."""
        self.reason = reason
        if mode == self._active:
            return
        self._active = mode
        self._reset_gains()
        if mode != Mode.RUN:
            self._q_ref[self._upper] = self._qpos[self._qadr][self._upper]
        if mode == Mode.DAMP:
            self._kp[slice(None) if self.mode == Mode.DAMP else self._arms] = 0.0
        if mode == Mode.CROUCH:
            self._kp[self._upper] *= CROUCH_SOFTNESS

    def _torques(self) -> None:
        q, v = self._qpos[self._qadr], self._qvel[self._vadr]
        tau, work = self._tau, self._work
        limp = self.mode == Mode.DAMP
        balance = self.balance
        if not limp:
            balance.reference(self._q_ref, self.params.dt, self._active == Mode.CROUCH)
            if self._active == Mode.CROUCH and balance.depth >= 1.0:
                self._kp[self._arms] = 0.0
        np.subtract(self._q_ref, q, out=tau)
        motors = self.motors
        if motors.faulty or self.payload.heavy:
            tau -= motors.encoder_offset
            self.payload.weigh(motors.carried)
        tau *= self._kp
        np.subtract(self._v_ref, v, out=work)
        work *= self._kd
        tau += work
        tau += self._ff
        if not limp:
            np.multiply(self._bias[self._vadr], self._gravity_share, out=work)
            if self.payload.heavy:  # the controller knows nothing of it
                work -= self.payload.torque(self.data)[self._vadr] * self._gravity_share
            tau += work
            if balance.active:
                pitch, roll = balance.ankles(self.data, self._com_velocity, self.params.dt)
                tau[balance.pitch] += pitch
                tau[balance.roll] += roll
        self.motors.limit(tau, self._ctrl)

    def _apply_pushes(self) -> None:
        force = self.data.xfrc_applied
        force[:] = 0.0
        for body, newton, end in self._pushes:
            if self.steps < end:
                force[body, :3] += newton
        self._pushes = [p for p in self._pushes if self.steps < p[2]]


def rate_of_joints(robot: RobotModel) -> float:
    """Hz at which the drives report."""
    return next((s.rate for s in robot.sources.values() if s.kind == "joints"), 200.0)


def _as_slice(index: Indices) -> slice | Indices:
    """A slice when the addresses are consecutive (views instead of copies)."""
    first, last = int(index[0]), int(index[-1])
    return slice(first, last + 1) if np.array_equal(index, np.arange(first, last + 1)) else index


def _add_sensors(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    """Centre of mass velocity for the balance controller; orientation, gyro, accelerometer of every IMU."""
    kind, obj = mujoco.mjtSensor, mujoco.mjtObj
    spec.add_sensor(
        name="com_velocity", type=kind.mjSENS_SUBTREELINVEL, objtype=obj.mjOBJ_BODY, objname=robot.base_link
    )
    for imu in robot.imus:
        site = f"imu_{imu.name}"
        for name, sensor in (
            ("quat", kind.mjSENS_FRAMEQUAT),
            ("gyro", kind.mjSENS_GYRO),
            ("accel", kind.mjSENS_ACCELEROMETER),
        ):
            spec.add_sensor(name=f"{imu.name}_{name}", type=sensor, objtype=obj.mjOBJ_SITE, objname=site)
