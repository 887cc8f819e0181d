"""The house in lockstep with a Unitree robot at its door: states and commands pass the bridge as frames."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from humanoid_bench.lockstep import Lockstep
from humanoid_core.robot import load_robot
from humanoid_core.timing import MS
from humanoid_core.types import JointCommand, JointSample, Mode
from robot_nodes.core.actuation import ARM_SDK
from robot_nodes.core.bridge import Bridge
from robot_nodes.core.frames import LOW_CMD, LOW_STATE, crc, from_cdr, new, sealed, to_cdr
from robot_nodes.core.intake import Taken
from robot_nodes.core.onboard import Answer, Onboard
from robot_nodes.core.unitree_spec import load_spec
from robot_nodes.params import UnitreeParams
from sim_nodes.core.plant import PlantParams

SPEC = load_spec()
MODES = {SPEC.onboard.damp: Mode.DAMP, SPEC.onboard.crouch: Mode.CROUCH}


class UnitreeHouse(Lockstep):
    """``dead``, ``bad_crc``, ``mode_machine``, ``tick_offset`` (ms), ``lag`` (frames): what the robot does wrong."""

    def __init__(self, seed: int = 1, actuate: bool = True) -> None:
        robot = load_robot("g1")
        p = UnitreeParams()
        self.bridge = Bridge(robot, p.intake(SPEC, robot), p.actuation(SPEC), Onboard(SPEC.onboard, ARM_SDK), actuate)
        self.dead = self.bad_crc = False
        self.mode_machine, self.tick_offset, self.lag, self.fsm = 5, 0, 0, 500
        self.frames_refused = 0
        self._taken = Taken()
        self._on_the_way: list[bytes] = []
        self._commands: list[JointCommand] = []
        self._mode, self._answers = Mode.HOLD, list[Answer]()
        self._upper = np.array(robot.groups["upper_body"])
        super().__init__(robot, seed=seed, plant=PlantParams(objects=""), policy="reach")
        self._ask(np.zeros(0), 0.0)
        self.filter("joint_states", self._through)
        self.filter("imu/pelvis", lambda _sample: self._taken.imu)
        self.filter("motor_status", lambda _sample: self._taken.motors)
        for foot in robot.feet:
            self.filter(foot.topic, lambda _sample: None)  # a G1 has no force sensors there

    # --- the robot speaks

    def _through(self, sample: JointSample) -> JointSample | None:
        """A sample of the simulated drives as lowstate, CDR and all, and what the bridge makes of it."""
        frame = new(LOW_STATE)
        frame["mode_machine"] = self.mode_machine
        frame["tick"] = (self.plant.time_ns // MS + 1_000_000 + self.tick_offset) % (1 << 32)
        motors, n = frame["motor_state"], self.robot.n
        motors["q"][:n], motors["dq"][:n], motors["tau_est"][:n] = sample.position, sample.velocity, sample.effort
        motors["temperature"][:n], motors["vol"][:n] = (35, 36), 48.0
        imu = frame["imu_state"]
        imu["quaternion"], imu["gyroscope"], imu["accelerometer"] = self.plant.imu("pelvis")
        imu["gyroscope"] += 1e-4 * np.sin(0.01 * float(frame["tick"]))  # no sensor is without noise
        sealed(frame)
        if self.bad_crc:
            frame["crc"] ^= 1
        self._taken = Taken()
        self._on_the_way.append(to_cdr(frame))
        if self.dead or len(self._on_the_way) <= self.lag:
            self._on_the_way = self._on_the_way[-self.lag:] if self.lag and not self.dead else []
            return None
        while len(self._on_the_way) > self.lag:
            record = from_cdr(LOW_STATE, self._on_the_way.pop(0))
            self._taken = self.bridge.hear(record, self.ros_ns, self.now_ns)
        return self._taken.joints

    # --- the robot obeys

    def to_robot(self, topic: str, value: Any, sender: bytes) -> None:
        if topic == "robot/joint_command":
            self._commands.append(value)
        elif topic == "robot/mode":
            self._mode = value.mode

    def step(self) -> None:
        super().step()
        if self._ticks % 2:
            return
        out = self.bridge.step(self.now_ns, self._commands, self._mode, self._answers)
        self._commands, self._answers = [], []
        for r in out.requests:
            if r.api == SPEC.onboard.set_fsm:
                self.fsm = json.loads(r.parameter)["data"]
            data = json.dumps({"data": self.fsm}) if r.api == SPEC.onboard.get_fsm else ""
            if not self.dead:
                self._answers.append(Answer(r.number, r.api, 0, data))
        if out.frame is None:
            self._ask(np.zeros(0), 0.0)
            return
        frame = from_cdr(LOW_CMD, to_cdr(out.frame))
        if int(frame["crc"]) != crc(frame) or int(frame["mode_machine"]) != 5:
            self.frames_refused += 1
            return
        motors = frame["motor_cmd"]
        self._ask(motors[self._upper], float(motors["q"][SPEC.weight_motor]))

    def _ask(self, motors: np.ndarray, weight: float) -> None:
        """The onboard controller: blends what it was asked for with its own posture, balances, squats and damps."""
        self.plant.set_mode(MODES.get(self.fsm, Mode.RUN))
        rest, empty = self.robot.rest[self._upper], np.zeros(0)
        command = JointCommand(self.plant.time_ns, self.plant.steps, 1, "arm_sdk",
                               tuple(self.robot.joint_names[i] for i in self._upper), rest, empty, empty, empty, empty)
        if weight > 0.0:
            pose = weight * motors["q"].astype(np.float64) + (1.0 - weight) * rest
            command = replace(command, position=np.clip(pose, self.robot.lower[self._upper],
                                                        self.robot.upper[self._upper]),
                              kp=motors["kp"].astype(np.float64), kd=motors["kd"].astype(np.float64))
        self.plant.command(command)

    # --- what tests ask

    @property
    def at(self) -> tuple[str, str]:
        """(phase, reason) of the bridge."""
        return self.bridge.actuation.phase.value, self.bridge.actuation.reason

    def arm_speed(self, seconds: float = 0.2) -> float:
        """Largest speed of the upper body over a while, rad/s, by position."""
        before = self.plant.joints()[0][self._upper]
        self.run(seconds)
        return float(np.max(np.abs(self.plant.joints()[0][self._upper] - before))) / seconds


def reaching(seed: int = 1) -> UnitreeHouse:
    """A house whose robot follows its policy at full weight."""
    house = UnitreeHouse(seed)
    house.run(1.0)
    house.instruct("reach")
    assert house.run(20.0, lambda: house.at[0] == "active" and house.newest["safety/gate"].state == "passing")
    return house


