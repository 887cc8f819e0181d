"""Motors and battery: torque limits, faults, temperature, current and the battery's voltage under load.

Models are first order and made for exercising monitors, not for sizing a robot:
temperature  T' = (T_ambient + rise (tau / tau_max)^2 - T) / time constant
battery      V = V_open(charge) - R I, with V_open linear from full to min, I = (idle + mechanical + copper) /
V
"""

from __future__ import annotations

import numpy as np

from humanoid_core.robot_model import Array, RobotModel

#: Steady temperature rise in K at full torque, and time constant in s.
RISE, TIME_CONSTANT = 90.0, 240.0
#: Phase current in A at full torque; copper loss in W at full torque; idle power of computer and drives in W.
FULL_CURRENT, COPPER_LOSS, IDLE_POWER = 30.0, 120.0, 60.0
#: Drive fault bits.
FAULT_NONE, FAULT_NO_TORQUE, FAULT_STUCK, FAULT_OVERHEATED = 0, 1, 2, 4


class Motors:
    """State of all motors and the battery. Arrays float64[n] in robot order."""

    def __init__(self, robot: RobotModel, ambient: float = 25.0) -> None:
        self.robot, self.ambient = robot, ambient
        #: Fault hooks: share of the torque that arrives (0 = dropped out); stuck motors keep their torque.
        self.strength: Array = np.ones(robot.n)
        self.stuck = np.zeros(robot.n, dtype=bool)
        #: What each encoder adds to its joint's position, rad; mass in each hand, kg.
        self.encoder_offset: Array = np.zeros(robot.n)
        self.carried: dict[str, float] = dict.fromkeys(robot.hands, 0.0)
        self.faulty = False
        self.reset()

    def reset(self) -> None:
        """Cool motors, full battery, no fault."""
        self.temperature: Array = np.full(self.robot.n, self.ambient + 8.0)
        self.current: Array = np.zeros(self.robot.n)
        self.charge = 0.9
        self.battery_current = 0.0
        self.battery_voltage = self._open_voltage()
        self.clear_faults()

    def clear_faults(self) -> None:
        """All motors and encoders work again, the hands are empty."""
        self.strength[:] = 1.0
        self.stuck[:] = False
        self.encoder_offset[:] = 0.0
        self.carried = dict.fromkeys(self.carried, 0.0)
        self.faulty = False

    def set_fault(self, joint: str, strength: float = 1.0, stuck: bool = False) -> None:
        """Let one motor give only a share of its torque, or keep the torque it gives now whatever is
        asked."""
        i = self.robot.index(joint)
        self.strength[i], self.stuck[i] = strength, stuck
        self.faulty = True

    def turn_encoder(self, joint: str, offset: float) -> None:
        """Let one encoder tell a position that is off by ``offset`` rad."""
        self.encoder_offset[self.robot.index(joint)] = offset
        self.faulty = True

    def carry(self, hand: str, mass: float) -> None:
        """Put a mass in kg into a hand."""
        self.carried[hand] = mass
        self.faulty = True

    def limit(self, torque: Array, out: Array) -> None:
        """Write to ``out`` what the motors give when asked for ``torque`` (n,), N m."""
        if self.faulty:
            torque = np.where(self.stuck, out, torque * self.strength)
        # two ufuncs: np.clip costs four times as much on short arrays
        np.minimum(torque, self.robot.effort, out=out)
        np.maximum(out, -self.robot.effort, out=out)

    def step(self, torque: Array, velocity: Array, dt: float) -> None:
        """Advance temperatures and charge by ``dt`` s at the given torque (N m) and velocity (rad/s)."""
        load = torque / self.robot.effort
        load2 = load * load
        self.temperature += (self.ambient + RISE * load2 - self.temperature) * (dt / TIME_CONSTANT)
        self.current = np.abs(load) * FULL_CURRENT
        power = IDLE_POWER + float(np.maximum(torque * velocity, 0.0).sum() + COPPER_LOSS * load2.sum())
        self.battery_current = power / self.battery_voltage
        self.charge = max(self.charge - self.battery_current * dt / (3600.0 * self.robot.battery.capacity_ah), 0.0)
        self.battery_voltage = self._open_voltage() - self.robot.battery.resistance * self.battery_current

    def _open_voltage(self) -> float:
        b = self.robot.battery
        return b.min_v + (b.full_v - b.min_v) * self.charge

    def fault_bits(self) -> tuple[int, ...]:
        """Drive fault bits of each motor."""
        bits = np.where(self.strength < 1.0, FAULT_NO_TORQUE, 0) | np.where(self.stuck, FAULT_STUCK, 0)
        bits |= np.where(self.temperature > self.robot.thermal.limit, FAULT_OVERHEATED, 0)
        return tuple(int(b) for b in bits)
