"""lowstate -> samples with stamps, or a refusal with its reason. Nothing here reads a clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from humanoid_core.reasons import Refusals
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.ticks import TickClock
from humanoid_core.timing import MS, NS
from humanoid_core.types import EMPTY, ImuSample, JointSample, MotorSample
from robot_nodes.core.frames import Record, crc

#: A counter that went back for less than this is a datagram out of order; for longer, the robot was started anew.
BACK_NS = 100 * MS
#: The shortest way may grow by this with the drift of two oscillators, s/s; growth beyond it is lag.
DRIFT = 2e-4


@dataclass(frozen=True)
class IntakeConfig:
    """``mode_machine``: variant of the robot file; ``tick`` in s; ``lag_ns``: extra way beyond which a frame is stale;
    ``joints_ns``, ``motors_ns``: least time between two samples of a kind."""

    mode_machine: int
    tick: float
    lag_ns: int
    joints_ns: int
    motors_ns: int


@dataclass(frozen=True)
class Taken:
    """What came of one frame; ``reason`` '' when it was accepted. Samples that are not due are None.
    ``position`` (n,) rad as measured now, empty when refused."""

    reason: str = ""
    stamp_ns: int = 0
    position: Array = field(default_factory=lambda: EMPTY)
    joints: JointSample | None = None
    imu: ImuSample | None = None
    motors: MotorSample | None = None


class Intake:
    """Takes lowstate frames in the order in which they arrive."""

    def __init__(self, robot: RobotModel, config: IntakeConfig) -> None:
        self.robot, self.config = robot, config
        self.refused = Refusals()
        self.accepted = 0
        #: How often the robot's counter began anew: whoever commands starts again from the measured pose.
        self.restarts = 0
        self.mode_machine: int | None = None
        self.lag_ns = 0
        self._clock = TickClock(config.tick)
        self._forget()

    def _forget(self) -> None:
        self._last_tick: int | None = None
        self._back_since_ns = self._back_tick = 0
        self._device_ns, self._floor_ns = 0, 0
        self._last_arrival_ns: int | None = None
        self._next_joints_ns = self._next_motors_ns = 0
        self._stamp_ns = 0

    def take(self, frame: Record, arrival_ns: int) -> Taken:
        """Judge one LOW_STATE record that arrived at ROS time ``arrival_ns``."""
        if int(frame["crc"]) != crc(frame):
            return self._refuse("BAD_CRC", f"lowstate carries {int(frame['crc']):#010x}, its bytes make "
                                           f"{crc(frame):#010x}")
        self.mode_machine = int(frame["mode_machine"])
        if self.mode_machine != self.config.mode_machine:
            return self._refuse("WRONG_ROBOT", f"lowstate.mode_machine is {self.mode_machine}, the robot file is for "
                                               f"{self.config.mode_machine}")
        motors = frame["motor_state"][:self.robot.n]
        imu = frame["imu_state"]
        values = np.concatenate((motors["q"], motors["dq"], motors["tau_est"], imu["quaternion"], imu["gyroscope"],
                                 imu["accelerometer"]))
        if not np.all(np.isfinite(values)):
            return self._refuse("NON_FINITE", "lowstate holds NaN or infinity")
        code, detail = self._order(int(frame["tick"]), arrival_ns)
        if code:
            return self._refuse(code, detail)
        stamp = self._stamp_ns = self._clock.stamp(int(frame["tick"]), arrival_ns)
        late = self._late(arrival_ns)
        if late > self.config.lag_ns:
            return self._refuse("STALE", f"lowstate is {late / MS:.0f} ms longer under way than at its best")
        self.accepted += 1
        return self._samples(motors, imu, stamp)

    def _refuse(self, code: str, detail: str) -> Taken:
        return Taken(self.refused.refuse(code, detail))

    def _order(self, tick: int, arrival_ns: int) -> tuple[str, str]:
        """(code, detail) for a counter that does not advance; notices a robot that was started anew."""
        last = self._last_tick
        if last is not None:
            step = (tick - last) % (1 << 32)
            if step == 0:
                return "DUPLICATE", f"tick {tick} came already"
            if step > 1 << 31:
                if not self._back_since_ns or (tick - self._back_tick) % (1 << 32) > 1 << 31:
                    self._back_since_ns = arrival_ns
                self._back_tick = tick
                if arrival_ns - self._back_since_ns < BACK_NS:
                    return "TICK_BACK", f"tick {tick} after {last}"
                self.restarts += 1
                self._clock.clear()
                self._forget()
            else:
                self._device_ns += round(step * self.config.tick * NS)
        self._last_tick, self._back_since_ns = tick, 0
        return "", ""

    def _late(self, arrival_ns: int) -> int:
        """How much longer than at its best this frame was under way, ns."""
        way = arrival_ns - self._device_ns
        if self._last_arrival_ns is None:
            self._floor_ns = way
        else:
            self._floor_ns += round(DRIFT * max(arrival_ns - self._last_arrival_ns, 0))
        self._last_arrival_ns = arrival_ns
        self._floor_ns = min(self._floor_ns, way)
        self.lag_ns = way - self._floor_ns
        return self.lag_ns

    def _samples(self, motors: Record, imu: Record, stamp: int) -> Taken:
        names, config = self.robot.joint_names, self.config
        q = motors["q"].astype(np.float64)
        joints = torso = status = None
        if stamp >= self._next_joints_ns:
            self._next_joints_ns = max(self._next_joints_ns + config.joints_ns, stamp - config.joints_ns)
            joints = JointSample(stamp, names, q, motors["dq"].astype(np.float64), motors["tau_est"].astype(np.float64))
            torso = imu_sample(imu, stamp)
        if stamp >= self._next_motors_ns:
            self._next_motors_ns = max(self._next_motors_ns + config.motors_ns, stamp - config.motors_ns)
            # The drives tell no current, and a MotorStatus has no word for that: it stays 0, nobody reads it.
            status = MotorSample(stamp, names, motors["temperature"].max(axis=1).astype(np.float64),
                                 np.zeros(self.robot.n), motors["vol"].astype(np.float64),
                                 tuple(motors["motorstate"].tolist()))
        return Taken("", stamp, q, joints, torso, status)


def imu_sample(imu: Record, stamp_ns: int) -> ImuSample:
    """Orientation w x y z, gyroscope rad/s, accelerometer m/s^2 of an IMU_STATE record."""
    return ImuSample(stamp_ns, imu["quaternion"].astype(np.float64), imu["gyroscope"].astype(np.float64),
                     imu["accelerometer"].astype(np.float64))
