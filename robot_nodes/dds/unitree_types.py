"""unitree_hg and unitree_api as IDL dataclasses: names, order and widths as on the vendor's wire.

``LowState_`` is received, and ``LowCmd_`` sent, as numpy records (``core/frames``): 35 motors as Python objects,
500 times a second, would take a third of a core. Both keep the generic way (``__idl__``), which tests compare with.
"""
# mypy: ignore-errors
# Annotations must be objects here: cyclonedds reads them when the class is made.

from dataclasses import dataclass

import cyclonedds.idl.annotations as annotate
import cyclonedds.idl.types as types
from cyclonedds.idl import IdlStruct

from robot_nodes.core.frames import LOW_STATE, MOTORS, from_cdr, to_cdr


def _of(cls, record):
    """A sample that is sent as this record."""
    made = cls.__new__(cls)
    made.record = record
    return made


def _serialize(self, buffer=None, endianness=None, use_version_2=None):
    record = getattr(self, "record", None)
    if record is not None and not use_version_2:
        return to_cdr(record)
    return self.__idl__.serialize(self, buffer=buffer, endianness=endianness, use_version_2=use_version_2)


@dataclass
@annotate.final
@annotate.autoid("sequential")
class IMUState_(IdlStruct, typename="unitree_hg.msg.dds_.IMUState_"):
    """Quaternion w x y z, rad/s, m/s^2."""

    quaternion: types.array[types.float32, 4]
    gyroscope: types.array[types.float32, 3]
    accelerometer: types.array[types.float32, 3]
    rpy: types.array[types.float32, 3]
    temperature: types.int16


@dataclass
@annotate.final
@annotate.autoid("sequential")
class MotorState_(IdlStruct, typename="unitree_hg.msg.dds_.MotorState_"):
    """rad, rad/s, rad/s^2, N m, degrees Celsius, V."""

    mode: types.uint8
    q: types.float32
    dq: types.float32
    ddq: types.float32
    tau_est: types.float32
    temperature: types.array[types.int16, 2]
    vol: types.float32
    sensor: types.array[types.uint32, 2]
    motorstate: types.uint32
    reserve: types.array[types.uint32, 4]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class LowState_(IdlStruct, typename="unitree_hg.msg.dds_.LowState_"):
    """What the robot says 500 times a second. ``deserialize`` gives a ``Frame``."""

    version: types.array[types.uint32, 2]
    mode_pr: types.uint8
    mode_machine: types.uint8
    tick: types.uint32
    imu_state: IMUState_
    motor_state: types.array[MotorState_, MOTORS]
    wireless_remote: types.array[types.uint8, 40]
    reserve: types.array[types.uint32, 4]
    crc: types.uint32

    @classmethod
    def deserialize(cls, data, has_header=True, use_version_2=None):
        return Frame(bytes(data))


class Frame:
    """A LowState_ as it came. ``record`` raises ValueError when the bytes are not one."""

    def __init__(self, data):
        self._data = data
        self.sample_info = None

    @property
    def record(self):
        return from_cdr(LOW_STATE, self._data)


@dataclass
@annotate.final
@annotate.autoid("sequential")
class MotorCmd_(IdlStruct, typename="unitree_hg.msg.dds_.MotorCmd_"):
    """tau + kp (q - q_measured) + kd (dq - dq_measured)."""

    mode: types.uint8
    q: types.float32
    dq: types.float32
    tau: types.float32
    kp: types.float32
    kd: types.float32
    reserve: types.uint32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class LowCmd_(IdlStruct, typename="unitree_hg.msg.dds_.LowCmd_"):
    """What goes to the motors; made with ``of`` from a record."""

    mode_pr: types.uint8
    mode_machine: types.uint8
    motor_cmd: types.array[MotorCmd_, MOTORS]
    reserve: types.array[types.uint32, 4]
    crc: types.uint32

    of = classmethod(_of)
    serialize = _serialize


@dataclass
@annotate.final
@annotate.autoid("sequential")
class BmsState_(IdlStruct, typename="unitree_hg.msg.dds_.BmsState_"):
    """The battery: mV, mA (negative: discharging), percent, degrees Celsius."""

    version_high: types.uint8
    version_low: types.uint8
    fn: types.uint8
    cell_vol: types.array[types.uint16, 40]
    bmsvoltage: types.array[types.uint32, 3]
    current: types.int32
    soc: types.uint8
    soh: types.uint8
    temperature: types.array[types.int16, 12]
    cycle: types.uint16
    manufacturer_date: types.uint16
    bmsstate: types.array[types.uint32, 5]
    reserve: types.array[types.uint32, 3]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class RequestIdentity_(IdlStruct, typename="unitree_api.msg.dds_.RequestIdentity_"):
    id: types.int64
    api_id: types.int64


@dataclass
@annotate.final
@annotate.autoid("sequential")
class RequestLease_(IdlStruct, typename="unitree_api.msg.dds_.RequestLease_"):
    id: types.int64


@dataclass
@annotate.final
@annotate.autoid("sequential")
class RequestPolicy_(IdlStruct, typename="unitree_api.msg.dds_.RequestPolicy_"):
    priority: types.int32
    noreply: bool


@dataclass
@annotate.final
@annotate.autoid("sequential")
class RequestHeader_(IdlStruct, typename="unitree_api.msg.dds_.RequestHeader_"):
    identity: RequestIdentity_
    lease: RequestLease_
    policy: RequestPolicy_


@dataclass
@annotate.final
@annotate.autoid("sequential")
class Request_(IdlStruct, typename="unitree_api.msg.dds_.Request_"):
    """A call of a service, its parameter as JSON."""

    header: RequestHeader_
    parameter: str
    binary: types.sequence[types.uint8]


@dataclass
@annotate.final
@annotate.autoid("sequential")
class ResponseStatus_(IdlStruct, typename="unitree_api.msg.dds_.ResponseStatus_"):
    code: types.int32


@dataclass
@annotate.final
@annotate.autoid("sequential")
class ResponseHeader_(IdlStruct, typename="unitree_api.msg.dds_.ResponseHeader_"):
    identity: RequestIdentity_
    status: ResponseStatus_


@dataclass
@annotate.final
@annotate.autoid("sequential")
class Response_(IdlStruct, typename="unitree_api.msg.dds_.Response_"):
    """The answer, its data as JSON."""

    header: ResponseHeader_
    data: str
    binary: types.sequence[types.uint8]
