"""A Unitree G1 as DDS shows it: lowstate, torso IMU and battery out, arm_sdk and lowcmd in, the two services.

It builds its frames the generic way (CycloneDDS serializes every field, the CRC word by word), so that it shares no
short cut with the bridge. Joints follow what is asked of them at a limited speed; there is no physics. `python -m
peers.unitree_g1 --domain N` runs it as a process that reads one switch per line: `dead`, `lag 0.2`, `crc`,
`mode_machine 11`, `back 5000`, `restart`, `nan`, `fsm 1`, `mute`, `ok`.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cyclonedds.domain import DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from humanoid_core.robot import load_robot
from robot_nodes.core.frames import LOW_CMD, from_cdr
from robot_nodes.dds import unitree_types as t

RELIABLE = Qos(Policy.Reliability.Reliable(duration(milliseconds=10)), Policy.History.KeepLast(10))
WEIGHT = 29


def _shifted(value: int, bits: int) -> int:
    """The remainder after ``bits`` zeros, as the vendor's text says it: most significant bit first, 0x04C11DB7."""
    for _ in range(bits):
        value = ((value << 1) ^ 0x04C11DB7) & 0xFFFFFFFF if value & 0x80000000 else (value << 1) & 0xFFFFFFFF
    return value


#: Of each leading byte. Bit by bit a frame takes 5 ms, and a robot that is late is a robot that is not believed.
_BYTES = [_shifted(byte << 24, 8) for byte in range(256)]


def crc_of(words: list[int]) -> int:
    """The vendor's CRC: start all ones, 32-bit words."""
    value = 0xFFFFFFFF
    for word in words:
        value ^= word
        for _ in range(4):
            value = ((value << 8) & 0xFFFFFFFF) ^ _BYTES[value >> 24]
    return value


def words_of(state: Any) -> list[int]:
    """The 32-bit words of the C structure, the last one (the CRC) left out."""
    import struct

    i = state.imu_state
    raw = struct.pack("<2I2B2xI", *state.version, state.mode_pr, state.mode_machine, state.tick)
    raw += struct.pack("<13fh2x", *i.quaternion, *i.gyroscope, *i.accelerometer, *i.rpy, i.temperature)
    for m in state.motor_state:
        raw += struct.pack("<B3x4f2hf7I", m.mode, m.q, m.dq, m.ddq, m.tau_est, *m.temperature, m.vol, *m.sensor,
                           m.motorstate, *m.reserve)
    raw += struct.pack("<40B4I", *state.wireless_remote, *state.reserve)
    return list(struct.unpack(f"<{len(raw) // 4}I", raw))


@dataclass
class Switches:
    """What it does wrong at the moment."""

    dead: bool = False
    mute: bool = False  # services do not answer
    lag: float = 0.0
    crc: bool = False
    nan: bool = False
    tick_offset: int = 0
    mode_machine: int = 5
    heard: list[Any] = field(default_factory=list)


class FakeG1:
    """``rate`` Hz of lowstate. Everything that came on arm_sdk and lowcmd is in ``arm`` and ``low`` as records."""

    def __init__(self, domain: int, rate: float = 200.0, fsm: int = 500) -> None:
        self.robot = load_robot("g1")
        self.q = self.robot.stand.copy()
        self.dq = np.zeros(self.robot.n)
        self._before = self.q.copy()
        self.fsm, self.service = fsm, "ai"
        self.switch = Switches()
        self.arm: deque[Any] = deque(maxlen=2000)
        self.low: deque[Any] = deque(maxlen=2000)
        self.bad_crc = 0
        self.fsm_wishes: list[int] = []
        self._start_ns = time.monotonic_ns()
        self._rate, self._sent, self._queue = rate, 0, deque[tuple[float, Any]]()
        p = self._participant = DomainParticipant(domain)
        self._state = DataWriter(p, Topic(p, "rt/lowstate", t.LowState_))
        self._imu = DataWriter(p, Topic(p, "rt/secondary_imu", t.IMUState_))
        self._battery = DataWriter(p, Topic(p, "rt/lf/bmsstate", t.BmsState_))
        self._commands = {name: DataReader(p, Topic(p, f"rt/{name}", t.LowCmd_), qos=RELIABLE)
                          for name in ("arm_sdk", "lowcmd")}
        self._requests = {s: DataReader(p, Topic(p, f"rt/api/{s}/request", t.Request_), qos=RELIABLE)
                          for s in ("sport", "motion_switcher")}
        self._responses = {s: DataWriter(p, Topic(p, f"rt/api/{s}/response", t.Response_), qos=RELIABLE)
                           for s in self._requests}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> FakeG1:
        self._thread.start()
        return self

    def end(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def set(self, line: str) -> None:
        """One switch, as on standard input."""
        name, _, value = line.strip().partition(" ")
        s = self.switch
        if name == "ok":
            self.switch = Switches(tick_offset=s.tick_offset)
        elif name in ("dead", "mute", "crc", "nan"):
            setattr(s, name, True)
        elif name == "lag":
            s.lag = float(value)
        elif name == "mode_machine":
            s.mode_machine = int(value)
        elif name == "back":
            s.tick_offset -= int(value)
        elif name == "restart":
            self._start_ns = time.monotonic_ns()
            s.tick_offset = 0
        elif name == "fsm":
            self.fsm = int(value)
        elif name:
            raise ValueError(f"no switch '{name}'")

    def state(self) -> Any:
        """One lowstate with its CRC."""
        s = self.switch
        tick = ((time.monotonic_ns() - self._start_ns) // 1_000_000 + 1_000_000 + s.tick_offset) % (1 << 32)
        noise = 1e-4 * (self._sent % 7)
        # Commands come at another rate than states go: the speed is a mean over some 20 ms.
        self.dq += 0.25 * ((self.q - self._before) * self._rate - self.dq)
        self._before = self.q.copy()
        motors = [t.MotorState_(1, float(q) + noise, float(dq), 0.0, 0.5, [40, 42], 48.0, [0, 0], 0, [0] * 4)
                  for q, dq in zip(self.q, self.dq, strict=True)]
        motors += [t.MotorState_(0, 0.0, 0.0, 0.0, 0.0, [0, 0], 0.0, [0, 0], 0, [0] * 4)] * (35 - len(motors))
        if s.nan:
            motors[3] = t.MotorState_(1, float("nan"), 0.0, 0.0, 0.0, [40, 42], 48.0, [0, 0], 0, [0] * 4)
        state = t.LowState_([1, 0], 0, s.mode_machine, tick, self._imu_state(noise), motors, [0] * 40, [0] * 4, 0)
        state.crc = crc_of(words_of(state)) ^ (1 if s.crc else 0)
        return state

    def _imu_state(self, noise: float) -> Any:
        return t.IMUState_([1.0, 0.0, 0.0, 0.0], [noise, 0.0, 0.0], [0.0, 0.0, 9.81 + noise], [0.0] * 3, 35)

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            if not self.switch.dead:
                self._say()
            self._listen()
            self._sent += 1
            time.sleep(max(0.0, began + self._sent / self._rate - time.monotonic()))

    def _say(self) -> None:
        now = time.monotonic()
        self._queue.append((now + self.switch.lag, self.state()))
        while self._queue and self._queue[0][0] <= now:
            self._state.write(self._queue.popleft()[1])
        self._imu.write(self._imu_state(1e-4 * (self._sent % 7)))
        if self._sent % 40 == 0:
            self._battery.write(t.BmsState_(1, 0, 0, [3800] * 40, [50_400, 0, 0], -2500, 80, 100, [30] * 12, 5, 0,
                                            [0] * 5, [0] * 3))

    def _listen(self) -> None:
        for name, reader in self._commands.items():
            for x in reader.take(N=10):
                if isinstance(x, t.LowCmd_):
                    self._obey(name, x)
        if self.switch.mute or self.switch.dead:
            return
        for service, reader in self._requests.items():
            for x in reader.take(N=10):
                if isinstance(x, t.Request_):
                    code, data = self._answer(x.header.identity.api_id, x.parameter)
                    header = t.ResponseHeader_(x.header.identity, t.ResponseStatus_(code))
                    self._responses[service].write(t.Response_(header, data, []))

    def _obey(self, name: str, command: Any) -> None:
        record = from_cdr(LOW_CMD, t.LowCmd_.__idl__.serialize(command))
        words = [int.from_bytes(record.tobytes()[i:i + 4], "little") for i in range(0, LOW_CMD.itemsize - 4, 4)]
        if crc_of(words) != command.crc:
            self.bad_crc += 1
            return
        (self.arm if name == "arm_sdk" else self.low).append(record)
        weight = float(record["motor_cmd"]["q"][WEIGHT]) if name == "arm_sdk" else 1.0
        for i in range(self.robot.n):
            if record["motor_cmd"]["kp"][i] > 0.0:
                self.q[i] += min(max(weight * (float(record["motor_cmd"]["q"][i]) - self.q[i]), -0.03), 0.03)

    def _answer(self, api: int, parameter: str) -> tuple[int, str]:
        if api == 7001:
            return 0, json.dumps({"data": self.fsm})
        if api == 7101:
            self.fsm = int(json.loads(parameter)["data"])
            self.fsm_wishes.append(self.fsm)
            return 0, ""
        if api == 1001:
            return 0, json.dumps({"form": "0", "name": self.service})
        if api == 1003:
            self.service = ""
            return 0, ""
        return 3203, ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domain", type=int, default=0)
    parser.add_argument("--rate", type=float, default=200.0)
    arguments = parser.parse_args()
    robot = FakeG1(arguments.domain, arguments.rate).start()
    print("ready", flush=True)
    for line in sys.stdin:
        robot.set(line)
    robot.end()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
