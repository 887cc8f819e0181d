"""The DDS side of a Unitree robot: a participant of its own, beside the one of ROS."""
# mypy: ignore-errors

from __future__ import annotations

import time
from xml.sax.saxutils import quoteattr

from cyclonedds.core import InstanceState, ReadCondition, SampleState, ViewState, WaitSet
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.pub import DataWriter
from cyclonedds.qos import Policy, Qos
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from robot_nodes.core.frames import Record
from robot_nodes.core.onboard import Answer, Request
from robot_nodes.core.unitree_spec import UnitreeSpec
from robot_nodes.dds.unitree_types import (
    BmsState_,
    Frame,
    IMUState_,
    LowCmd_,
    LowState_,
    Request_,
    RequestHeader_,
    RequestIdentity_,
    RequestLease_,
    RequestPolicy_,
    Response_,
)

#: A robot that does not answer must not hold the command loop up.
BLOCKING = duration(milliseconds=1)
CDR1 = Policy.DataRepresentation(use_cdrv0_representation=True, use_xcdrv2_representation=False)
READER = Qos(Policy.Reliability.BestEffort, Policy.History.KeepLast(8))
ANSWERS = Qos(Policy.Reliability.Reliable(BLOCKING), Policy.History.KeepLast(8))
WRITER = Qos(Policy.Reliability.Reliable(BLOCKING), Policy.History.KeepLast(1), CDR1)
ANY = SampleState.Any | ViewState.Any | InstanceState.Any


def configuration(interface: str) -> str:
    """CycloneDDS's configuration for one network interface, '' for the one it chooses by itself."""
    chosen = f"name={quoteattr(interface)}" if interface else 'autodetermine="true"'
    return (f"<CycloneDDS><Domain Id=\"any\"><General><Interfaces><NetworkInterface {chosen} /></Interfaces>"
            "</General></Domain></CycloneDDS>")


class Wire:
    """Readers and writers. ``wait``, ``take_states``, ``take_imu`` and ``take_battery`` belong to one thread,
    ``send``, ``ask`` and ``take_answers`` to another."""

    def __init__(self, spec: UnitreeSpec, domain: int, interface: str, control: str) -> None:
        self._domain = Domain(domain, configuration(interface))  # kept: it ends with the object
        self._participant = DomainParticipant(domain)
        topics, onboard = spec.topics, spec.onboard
        self._state = self._reader(topics.lowstate, LowState_)
        self._imu = self._reader(topics.torso_imu, IMUState_) if topics.torso_imu else None
        self._battery = self._reader(topics.battery, BmsState_) if topics.battery else None
        self._commands = self._writer(getattr(topics, control), LowCmd_)
        services = (onboard.service, onboard.switcher)
        self._asking = {s: self._writer(f"rt/api/{s}/request", Request_) for s in services}
        self._answers = [self._reader(f"rt/api/{s}/response", Response_, ANSWERS) for s in services]
        # Numbers of two clients of one service must not meet.
        self._offset = time.time_ns()
        self._ready = WaitSet(self._participant)
        self._ready.attach(ReadCondition(self._state, ANY))

    def _reader(self, name, kind, qos=READER):
        return DataReader(self._participant, Topic(self._participant, name, kind), qos=qos)

    def _writer(self, name, kind):
        return DataWriter(self._participant, Topic(self._participant, name, kind), qos=WRITER)

    def wait(self, timeout_s: float) -> None:
        """Return when a lowstate is there, or after the timeout."""
        self._ready.wait(duration(nanoseconds=round(timeout_s * 1e9)))

    def take_states(self) -> list[Frame]:
        return [x for x in self._state.take(N=16) if isinstance(x, Frame)]

    def take_imu(self) -> IMUState_ | None:
        return self._newest(self._imu, IMUState_)

    def take_battery(self) -> BmsState_ | None:
        return self._newest(self._battery, BmsState_)

    @staticmethod
    def _newest(reader, kind):
        samples = [x for x in reader.take(N=8) if isinstance(x, kind)] if reader is not None else []
        return samples[-1] if samples else None

    def take_answers(self) -> list[Answer]:
        """Answers to requests, also of other clients: numbers tell them apart."""
        out = []
        for reader in self._answers:
            for x in reader.take(N=16):
                if isinstance(x, Response_):
                    identity = x.header.identity
                    out.append(Answer(identity.id - self._offset, identity.api_id, x.header.status.code, x.data))
        return out

    def send(self, frame: Record) -> None:
        """One LOW_CMD record to the motors."""
        self._commands.write(LowCmd_.of(frame))

    def ask(self, request: Request) -> None:
        header = RequestHeader_(RequestIdentity_(request.number + self._offset, request.api), RequestLease_(0),
                                RequestPolicy_(0, False))
        self._asking[request.service].write(Request_(header, request.parameter, []))

    @property
    def heard(self) -> bool:
        """Whether anybody takes our commands."""
        return bool(self._commands.get_matched_subscriptions())
