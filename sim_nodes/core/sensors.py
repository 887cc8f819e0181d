"""Sensor models: what the robot's drivers would publish, with noise, bias, latency, jitter and dropout.

Every source has random numbers of its own, seeded by the run's seed and the topic's name, so that a change to
one sensor leaves the others as they were. The stamp is the capture time; latency and jitter delay the message
only, to the next tick, and never let two messages of one source overtake each other.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from humanoid_core.robot_model import Array, ImuSpec, RobotModel
from humanoid_core.timing import NS
from humanoid_core.topics import TOPICS
from humanoid_core.types import BatterySample, ImageSample, ImuSample, JointSample, MotorSample, WrenchSample
from sim_nodes.core.camera import Picture
from sim_nodes.core.faults import FaultBoard
from sim_nodes.core.plant import Plant

IMAGE, DEPTH = "camera/head/image_raw", "camera/head/depth"
#: Random numbers are drawn for so many samples at a time: one call costs as much as 100 numbers.
BLOCK = 64
#: The depth picture follows its colour picture by so much: the two together do not fit into the shared memory
#: (512 KiB) through which DDS hands them over, and the later one would wipe out the earlier one unread.
DEPTH_AFTER_NS = 5_000_000


@dataclass(frozen=True)
class Delivery:
    """How messages of one kind travel: latency and jitter (uniform, on top) in s, dropout as a share."""

    latency: float = 0.0
    jitter: float = 0.0
    dropout: float = 0.0


@dataclass(frozen=True)
class SensorParams:
    """Standard deviations. ``*_noise`` is drawn for each sample, ``*_bias`` once per run and channel. SI units."""

    seed: int = 0
    joint_position_noise: float = 2e-4  # rad
    joint_position_bias: float = 0.0
    joint_velocity_noise: float = 5e-3  # rad/s
    joint_effort_noise: float = 0.05  # N m
    orientation_noise: float = 5e-4  # rad, about each axis
    orientation_bias: float = 0.0
    gyro_noise: float = 2e-3  # rad/s
    gyro_bias: float = 1e-3
    accel_noise: float = 2e-2  # m/s^2
    accel_bias: float = 1e-2
    force_noise: float = 0.5  # N
    torque_noise: float = 0.02  # N m
    voltage_noise: float = 0.02  # V
    current_noise: float = 0.05  # A
    temperature_noise: float = 0.1  # K
    rgb_noise: float = 2.0  # of 255
    depth_noise: float = 1.5e-3  # m at 1 m; grows with the square of the distance, as stereo depth does
    delivery: dict[str, Delivery] = field(default_factory=dict)  # by kind of sensor, see KINDS


KINDS = ("joints", "imu", "wrench", "battery", "motors", "image", "depth")


def topics_of(robot: RobotModel) -> dict[str, str]:
    """Raw topics that a robot publishes -> kind of sensor."""
    found = {"joint_states": "joints"}
    found |= {imu.topic: "imu" for imu in robot.imus}
    found |= {foot.topic: "wrench" for foot in robot.feet}
    found |= {"battery_state": "battery", "motor_status": "motors"}
    if robot.camera is not None:
        found |= {IMAGE: "image", DEPTH: "depth"}
    return found


class _Noise:
    """Rows of normal numbers with given standard deviations around given offsets."""

    def __init__(self, rng: np.random.Generator, scale: Array, offset: Array) -> None:
        self._rng, self._scale, self._offset = rng, scale, offset
        self._rows: Array = np.zeros((0, len(scale)))
        self._next = 0

    def row(self) -> Array:
        if self._next >= len(self._rows):
            self._rows = self._rng.standard_normal((BLOCK, len(self._scale)))
            self._rows *= self._scale
            self._rows += self._offset
            self._next = 0
        self._next += 1
        row: Array = self._rows[self._next - 1]
        return row


@dataclass
class _Source:
    """One publishing sensor. ``period_ns`` 0: it is fed from outside (pictures)."""

    topic: str
    read: Callable[[int], Any] | None
    period_ns: int
    delivery: Delivery
    rng: np.random.Generator
    next_ns: int = 0
    last_release_ns: int = 0


class Sensors:
    """Reads a plant at the rates of its sources. Not for use from two threads at once."""

    def __init__(self, plant: Plant, faults: FaultBoard, params: SensorParams | None = None) -> None:
        self.plant, self.faults, self.params = plant, faults, params or SensorParams()
        self.robot = plant.robot
        self._pending: list[tuple[int, int, str, Any]] = []
        self._count = 0
        self._sources: dict[str, _Source] = {}
        readers = self._readers()
        for topic, kind in topics_of(self.robot).items():
            read = readers.get(topic)
            period = round(NS / rate_of(self.robot, topic)) if read else 0
            way = self.params.delivery.get(kind, Delivery())
            self._sources[topic] = _Source(topic, read, period, way, self._rng(topic, "way"), next_ns=period)
        self._periodic = [s for s in self._sources.values() if s.read]
        self._noise_of_pictures = PictureNoise(self.params, self._rng(IMAGE, "noise"))

    def tick(self, now_ns: int, stamp_ns: int) -> list[tuple[str, Any]]:
        """What is published now: (topic, sample) of every source that is due, and what was on its way.

        ``now_ns`` is simulated time, ``stamp_ns`` the ROS time of the plant's present state.
        """
        out = self._arrived(now_ns)
        for source in self._periodic:
            if now_ns < source.next_ns:
                continue
            source.next_ns = max(source.next_ns + source.period_ns, now_ns - source.period_ns)
            assert source.read is not None
            out += self._send(source, source.read(stamp_ns), now_ns, now_ns)
        return out

    def pictures(self, picture: Picture, taken_ns: int, stamp_ns: int, now_ns: int) -> list[tuple[str, Any]]:
        """The same for a ``developed`` picture of the state at ``taken_ns`` (simulated), ``stamp_ns`` (ROS time)."""
        out = self._send(self._sources[IMAGE], ImageSample(stamp_ns, "rgb8", picture.rgb), taken_ns, now_ns)
        # what is due "after now" is handed out by the next tick
        later = max(taken_ns, now_ns + DEPTH_AFTER_NS)
        return out + self._send(self._sources[DEPTH], ImageSample(stamp_ns, "32FC1", picture.depth), later, now_ns)

    def develop(self, picture: Picture) -> Picture:
        """The picture with its noise. Alone among the methods it may run while another thread uses this object."""
        return self._noise_of_pictures.apply(picture)

    def _send(self, source: _Source, sample: Any, start_ns: int, now_ns: int) -> list[tuple[str, Any]]:
        """Through faults, loss and latency, which counts from ``start_ns``."""
        topic, way = source.topic, source.delivery
        faulty = self.faults.touches(topic)
        samples = self.faults.apply(topic, sample, now_ns) if faulty else (sample,)
        out: list[tuple[str, Any]] = []
        for item in samples:
            if way.dropout > 0.0 and source.rng.random() < way.dropout:
                continue
            release = start_ns + round(way.latency * NS) + (self.faults.delay_ns(topic) if faulty else 0)
            if way.jitter > 0.0:
                release += round(way.jitter * source.rng.random() * NS)
            release = max(release, source.last_release_ns)
            source.last_release_ns = release
            if release <= now_ns:
                out.append((topic, item))
            else:
                self._count += 1
                heapq.heappush(self._pending, (release, self._count, topic, item))
        return out

    def _arrived(self, now_ns: int) -> list[tuple[str, Any]]:
        out: list[tuple[str, Any]] = []
        while self._pending and self._pending[0][0] <= now_ns:
            _, _, topic, item = heapq.heappop(self._pending)
            out.append((topic, item))
        return out

    def _rng(self, topic: str, what: str) -> np.random.Generator:
        return np.random.default_rng([self.params.seed, zlib.crc32(f"{topic} {what}".encode())])

    def _noise(self, topic: str, scale: list[float], bias: list[float], width: int) -> _Noise:
        """Channels in groups of ``width`` with the same standard deviations."""
        rng = self._rng(topic, "noise")
        offset = rng.standard_normal(width * len(bias)) * np.repeat(bias, width)
        return _Noise(rng, np.repeat(scale, width), offset)

    # --- readers: stamp -> sample

    def _readers(self) -> dict[str, Callable[[int], Any]]:
        found: dict[str, Callable[[int], Any]] = {"joint_states": self._joints(), "battery_state": self._battery(),
                                                  "motor_status": self._motors()}
        for imu in self.robot.imus:
            found[imu.topic] = self._imu(imu)
        for foot in self.robot.feet:
            found[foot.topic] = self._foot(foot.name, foot.topic)
        return found

    def _joints(self) -> Callable[[int], JointSample]:
        p, n, names, plant = self.params, self.robot.n, self.robot.joint_names, self.plant
        noise = self._noise("joint_states", [p.joint_position_noise, p.joint_velocity_noise, p.joint_effort_noise],
                            [p.joint_position_bias, 0.0, 0.0], n)

        def read(stamp_ns: int) -> JointSample:
            q, v, tau = plant.joints()
            row = noise.row()
            q += row[:n]
            v += row[n:2 * n]
            tau += row[2 * n:]
            return JointSample(stamp_ns, names, q, v, tau)

        return read

    def _imu(self, imu: ImuSpec) -> Callable[[int], ImuSample]:
        p, plant, name = self.params, self.plant, imu.name
        noise = self._noise(imu.topic, [p.orientation_noise, p.gyro_noise, p.accel_noise],
                            [p.orientation_bias, p.gyro_bias, p.accel_bias], 3)

        def read(stamp_ns: int) -> ImuSample:
            quat, gyro, accel = plant.imu(name)
            row = noise.row()
            gyro += row[3:6]
            accel += row[6:9]
            # The physics computes these at the start of its last step.
            return ImuSample(stamp_ns - plant.dt_ns, turned(quat, row), gyro, accel)

        return read

    def _foot(self, name: str, topic: str) -> Callable[[int], WrenchSample]:
        p, plant = self.params, self.plant
        noise = self._noise(topic, [p.force_noise, p.torque_noise], [0.0, 0.0], 3)

        def read(stamp_ns: int) -> WrenchSample:
            force, torque = plant.foot_wrench(name)
            row = noise.row()
            return WrenchSample(stamp_ns - plant.dt_ns, force + row[:3], torque + row[3:])

        return read

    def _battery(self) -> Callable[[int], BatterySample]:
        p, motors = self.params, self.plant.motors
        noise = self._noise("battery_state", [p.voltage_noise, p.current_noise], [0.0, 0.0], 1)

        def read(stamp_ns: int) -> BatterySample:
            volt, ampere = noise.row()
            # ROS: current is negative while the battery gives it
            return BatterySample(stamp_ns, motors.battery_voltage + float(volt),
                                 -(motors.battery_current + float(ampere)), motors.charge)

        return read

    def _motors(self) -> Callable[[int], MotorSample]:
        p, motors, n, names = self.params, self.plant.motors, self.robot.n, self.robot.joint_names
        noise = self._noise("motor_status", [p.temperature_noise, p.current_noise, p.voltage_noise], [0.0] * 3, n)

        def read(stamp_ns: int) -> MotorSample:
            row = noise.row()
            return MotorSample(stamp_ns, names, motors.temperature + row[:n], motors.current + row[n:2 * n],
                               motors.battery_voltage + row[2 * n:], motors.fault_bits())

        return read


def rate_of(robot: RobotModel, topic: str) -> float:
    """Hz: from the robot file, else from the table of topics, else 100."""
    if topic in robot.sources:
        return robot.sources[topic].rate
    return (TOPICS[topic].rate_hz if topic in TOPICS else None) or 100.0


def turned(quat: Array, rotation: Array) -> Array:
    """Unit quaternion w x y z turned by a small rotation vector (first three of ``rotation``, rad, own frame)."""
    w, x, y, z = quat.tolist()
    a, b, c = 0.5 * float(rotation[0]), 0.5 * float(rotation[1]), 0.5 * float(rotation[2])
    out = np.array((w - a * x - b * y - c * z, x + a * w + c * y - b * z, y + b * w + a * z - c * x,
                    z + c * w + b * x - a * y))
    unit: Array = out / np.sqrt(out @ out)
    return unit


class PictureNoise:
    """Noise of the camera: one seeded tile, cut at another place for each picture (drawing anew costs 4 ms)."""

    MARGIN = 61

    def __init__(self, params: SensorParams, rng: np.random.Generator) -> None:
        self._rgb, self._depth, self._rng = params.rgb_noise, params.depth_noise, rng
        self._tiles: tuple[Any, Any] | None = None

    def apply(self, picture: Picture) -> Picture:
        """A noisy copy; pixels without a depth stay without."""
        rgb, depth = picture.rgb, picture.depth
        height, width = depth.shape
        if self._tiles is None:
            shape = (height + self.MARGIN, width + self.MARGIN)
            colour = np.rint(self._rgb * self._rng.standard_normal((*shape, 3))).astype(np.int16)
            self._tiles = colour, (self._depth * self._rng.standard_normal(shape)).astype(np.float32)
        y, x = (int(v) for v in self._rng.integers(0, self.MARGIN, 2))
        cut = np.s_[y:y + height, x:x + width]
        if self._rgb > 0.0:
            rgb = np.clip(self._tiles[0][cut] + rgb, 0, 255).astype(np.uint8)
        if self._depth > 0.0:
            depth = depth + depth * depth * self._tiles[1][cut]
        return Picture(rgb, depth)
