"""Parameters of sim_robot: the one home of their defaults, units and bounds."""

from __future__ import annotations

from dataclasses import dataclass, fields

from humanoid_core.timing import NS
from humanoid_ros.params import ParameterError, param
from sim_nodes.core.plant import PlantParams
from sim_nodes.core.scene import DEFAULT_OBJECTS
from sim_nodes.core.sensors import Delivery, SensorParams

#: The simulation wakes so often: sensors publish, commands take effect.
TICK_NS = NS // 200


def _latency() -> float:
    value: float = param(0.0, "time from capture to publication", "s", low=0.0, high=5.0)
    return value


def _jitter() -> float:
    value: float = param(0.0, "greatest extra time on the way, uniform", "s", low=0.0, high=5.0)
    return value


def _dropout() -> float:
    value: float = param(0.0, "share of lost messages", low=0.0, high=1.0)
    return value


def _sigma(default: float, doc: str, unit: str) -> float:
    value: float = param(default, f"standard deviation of {doc}", unit, low=0.0, high=1e4)
    return value


@dataclass(frozen=True)
class SimParams:
    """Everything that can be chosen from outside."""

    robot: str = param("g1", "name in config/robots or path to a robot file")
    seed: int = param(0, "seed of the scene and of every sensor's noise", low=0, high=2**31)
    mode: str = param("real_time", "how time runs", choices=("real_time", "stepped"))
    speed: float = param(0.0, "stepped: simulated seconds per second, 0: as fast as possible", low=0.0, high=50.0)
    publish_clock: bool = param(False, "stamps in simulated time, on /clock (always so when stepped)")
    objects: str = param(DEFAULT_OBJECTS, "things on the table, '' for no table")
    free_objects: bool = param(True, "things can be pushed")
    # A whole number of steps per tick gives evenly spaced samples; 2.5 ms balances as well as 2 ms.
    physics_step: float = param(0.0025, "step of the physics, a whole part of 5 ms", "s", low=0.0005, high=0.005)
    command_timeout: float = param(0.04, "silence of robot/joint_command before HOLD", "s", low=0.005, high=10.0)
    hold_time: float = param(5.0, "further silence before DAMP", "s", low=0.0, high=3600.0)
    camera: bool = param(True, "render the head camera")
    camera_rate: float = param(0.0, "pictures per second, 0: the robot file's", "Hz", low=0.0, high=60.0)

    joint_position_noise: float = _sigma(2e-4, "joint position", "rad")
    joint_position_bias: float = _sigma(0.0, "constant joint offsets", "rad")
    joint_velocity_noise: float = _sigma(5e-3, "joint velocity", "rad/s")
    joint_effort_noise: float = _sigma(0.05, "joint torque", "N m")
    orientation_noise: float = _sigma(5e-4, "IMU orientation about each axis", "rad")
    orientation_bias: float = _sigma(0.0, "constant IMU misalignment", "rad")
    gyro_noise: float = _sigma(2e-3, "gyro", "rad/s")
    gyro_bias: float = _sigma(1e-3, "constant gyro offset", "rad/s")
    accel_noise: float = _sigma(2e-2, "accelerometer", "m/s^2")
    accel_bias: float = _sigma(1e-2, "constant accelerometer offset", "m/s^2")
    force_noise: float = _sigma(0.5, "foot force", "N")
    torque_noise: float = _sigma(0.02, "foot torque", "N m")
    voltage_noise: float = _sigma(0.02, "voltage", "V")
    current_noise: float = _sigma(0.05, "current", "A")
    temperature_noise: float = _sigma(0.1, "motor temperature", "K")
    rgb_noise: float = _sigma(2.0, "colour, of 255", "")
    depth_noise: float = _sigma(1.5e-3, "depth at 1 m, growing with its square", "m")

    joints_latency: float = _latency()
    joints_jitter: float = _jitter()
    joints_dropout: float = _dropout()
    imu_latency: float = _latency()
    imu_jitter: float = _jitter()
    imu_dropout: float = _dropout()
    wrench_latency: float = _latency()
    wrench_jitter: float = _jitter()
    wrench_dropout: float = _dropout()
    battery_latency: float = _latency()
    battery_jitter: float = _jitter()
    battery_dropout: float = _dropout()
    motors_latency: float = _latency()
    motors_jitter: float = _jitter()
    motors_dropout: float = _dropout()
    camera_latency: float = _latency()
    camera_jitter: float = _jitter()
    camera_dropout: float = _dropout()

    @property
    def own_clock(self) -> bool:
        return self.publish_clock or self.mode == "stepped"

    @property
    def steps_per_tick(self) -> int:
        """Refuses a physics step that does not divide the tick."""
        steps = round(TICK_NS / NS / self.physics_step)
        if abs(steps * self.physics_step - TICK_NS / NS) > 1e-9:
            raise ParameterError(f"sim_robot: physics_step = {self.physics_step} s: must divide {TICK_NS / NS} s; "
                                 "0.0025, 0.00125, 0.001 and 0.0005 do")
        return steps

    def plant(self) -> PlantParams:
        return PlantParams(objects=self.objects, free_objects=self.free_objects, seed=self.seed, dt=self.physics_step,
                           command_timeout=self.command_timeout, hold_time=self.hold_time)

    def sensors(self) -> SensorParams:
        own = {f.name for f in fields(SensorParams)} - {"delivery"}
        ways = {kind: Delivery(*(getattr(self, f"{name}_{what}") for what in ("latency", "jitter", "dropout")))
                for kind, name in (("joints", "joints"), ("imu", "imu"), ("wrench", "wrench"), ("battery", "battery"),
                                   ("motors", "motors"), ("image", "camera"), ("depth", "camera"))}
        return SensorParams(**{name: getattr(self, name) for name in own}, delivery=ways)
