"""Faults that a test or a person can switch on: on what a sensor says, on its stamps, and on the motors.

A fault has a name, a target, a value and a duration on simulated time. An unknown name, a target it cannot act
on or a value outside its bounds is refused with the nearest valid word and the list. Value 0 means the fault's
default.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from humanoid_core.robot_model import RobotModel
from humanoid_core.timing import NS
from sim_nodes.core.fault_effects import EFFECTS, Active
from sim_nodes.core.fault_list import CAMERA, FAULTS, HAND, MOTOR, FaultKind, nearest
from sim_nodes.core.motors import Motors


class FaultError(ValueError):
    """A fault that cannot be set; the message names the word, the nearest valid one and the list."""


class FaultBoard:
    """Which faults are at work on one robot. Times are simulated nanoseconds."""

    def __init__(self, robot: RobotModel, topics: Mapping[str, str], seed: int = 0) -> None:
        """``topics``: topic -> kind of sensor, as published."""
        self._robot, self._topics, self._seed = robot, dict(topics), seed
        self._active: dict[tuple[str, str], Active] = {}
        self._by_topic: dict[str, list[Active]] = {}

    def active(self) -> tuple[str, ...]:
        """Faults at work as 'name target', sorted."""
        return tuple(sorted(f"{name} {target}" for name, target in self._active))

    def touches(self, topic: str) -> bool:
        """Whether a fault acts on a topic."""
        return topic in self._by_topic

    def set(self, name: str, target: str, value: float, duration_s: float, now_ns: int) -> Active:
        """Switch a fault on (again: with the new value); raises FaultError, then nothing has changed."""
        kind = self._kind(name)
        target = target or self._default_target(kind)
        topics, channel = self._resolve(kind, target)
        if not np.isfinite(value):
            raise FaultError(f"{name}: value {value} must be a finite number")
        value = float(value) or kind.value
        if not kind.low <= value <= kind.high:
            raise FaultError(f"{name}: value {value:g} {kind.unit} is outside {kind.low:g} … {kind.high:g}")
        if not 0.0 <= duration_s <= 86400.0:
            raise FaultError(f"{name}: duration {duration_s} s must be 0 (until cleared) … 86400")
        end = now_ns + round(duration_s * NS) if duration_s else None
        rng = np.random.default_rng([self._seed, zlib.crc32(f"{name} {target}".encode())])
        fault = Active(kind, target, topics, channel, value, now_ns, end, rng)
        self._active[name, target] = fault
        self._index()
        return fault

    def clear(self, name: str = "", target: str = "") -> int:
        """End faults: all, those of one name, or one on one target. Returns how many ended."""
        if name:
            self._kind(name)
        ended = [key for key in self._active if name in ("", key[0]) and target in ("", key[1])]
        for key in ended:
            del self._active[key]
        self._index()
        return len(ended)

    def expire(self, now_ns: int) -> None:
        """End what has lasted its time."""
        ended = [key for key, f in self._active.items() if f.end_ns is not None and now_ns >= f.end_ns]
        for key in ended:
            del self._active[key]
        if ended:
            self._index()

    def apply(self, topic: str, sample: Any, now_ns: int) -> tuple[Any, ...]:
        """What is published in place of a sample: nothing, it, something else, or several."""
        samples: tuple[Any, ...] = (sample,)
        for fault in self._by_topic.get(topic, ()):
            effect = EFFECTS[fault.kind.name]
            made: list[Any] = []
            for item in samples:
                made += effect(fault, topic, self._topics[topic], item, (now_ns - fault.start_ns) / NS)
            samples = tuple(made)
        return samples

    def delay_ns(self, topic: str) -> int:
        """Extra time on the way of a topic's messages."""
        faults = self._by_topic.get(topic, ())
        return sum(round(f.value * NS) for f in faults if f.kind.name == "delay")

    def drive(self, motors: Motors, dt: float) -> None:
        """Let motor faults act; call every ``dt`` s of simulated time, and once after the last has ended."""
        at_motors = [f for f in self._active.values() if f.kind.on in ((MOTOR,), (HAND,))]
        if not at_motors and not motors.faulty:
            return
        motors.clear_faults()
        for f in at_motors:
            i = f.channel
            strength, stuck = float(motors.strength[i]), bool(motors.stuck[i])
            if f.kind.name == "payload":
                motors.carry(f.target, f.value)
            elif f.kind.name == "encoder_bias":
                motors.turn_encoder(f.target, f.value)
            elif f.kind.name == "overheating":
                motors.temperature[i] += f.value * dt
            elif f.kind.name == "actuator_stuck":
                motors.set_fault(f.target, strength, stuck=True)
            else:
                share = f.value if f.kind.name == "actuator_weak" else 0.0
                motors.set_fault(f.target, min(strength, share), stuck)

    def _index(self) -> None:
        self._by_topic = {}
        for fault in self._active.values():
            for topic in fault.topics:
                self._by_topic.setdefault(topic, []).append(fault)

    def _kind(self, name: str) -> FaultKind:
        if name not in FAULTS:
            raise FaultError(f"unknown fault '{name}'; {nearest(name, FAULTS)}")
        return FAULTS[name]

    def _default_target(self, kind: FaultKind) -> str:
        """The row's default, or on another robot the first thing the fault can act on."""
        if kind.on == (HAND,):
            known: Iterable[str] = self._robot.hands
        elif kind.on in ((MOTOR,), ("motors",)):
            known = self._robot.joint_names
        elif kind.target == CAMERA:
            return CAMERA
        else:
            known = [t for t, what in self._topics.items() if what in kind.on]
        names = list(known)
        if kind.target in names or not names:
            return kind.target
        return names[-1] if kind.on in ((MOTOR,), ("motors",)) else names[0]

    def _resolve(self, kind: FaultKind, target: str) -> tuple[tuple[str, ...], int]:
        """Topics and joint channel of a target: a joint, a topic, or a folder of topics such as 'imu'."""
        joints = self._robot.joint_names
        if kind.on == (HAND,):
            if target not in self._robot.hands:
                raise FaultError(f"{kind.name}: no hand '{target}'; {nearest(target, self._robot.hands)}")
            return (), -1
        if kind.on == (MOTOR,):
            if target not in joints:
                raise FaultError(f"{kind.name}: no joint '{target}'; {nearest(target, joints)}")
            return (), self._robot.index(target)
        if target in joints and "joints" in kind.on:
            return ("joint_states",), self._robot.index(target)
        if target in joints and kind.on == ("motors",):
            return tuple(t for t, what in self._topics.items() if what == "motors"), self._robot.index(target)
        usable = [t for t, what in self._topics.items() if what in kind.on]
        found = tuple(t for t in usable if t == target or t.startswith(f"{target}/"))
        if not found:
            raise FaultError(f"{kind.name}: cannot act on '{target}'; {nearest(target, usable)}")
        return found, -1
