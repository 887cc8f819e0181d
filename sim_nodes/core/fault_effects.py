"""What each fault does to a sample: (fault, topic, kind of sensor, sample, seconds since it began) -> samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from humanoid_core.timing import NS
from sim_nodes.core.fault_list import FIELDS, FaultKind


@dataclass
class Active:
    """One fault at work. ``channel``: the joint it is limited to, -1 for the first or all; ``hold``: what it keeps."""

    kind: FaultKind
    target: str
    topics: tuple[str, ...]
    channel: int
    value: float
    start_ns: int
    end_ns: int | None
    rng: np.random.Generator
    hold: dict[str, Any] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)


Effect = Callable[[Active, str, str, Any, float], Iterable[Any]]


def _shift(amount: Callable[[Active, float], float]) -> Effect:
    """Add something to one channel (a joint target) or to all."""

    def effect(fault: Active, _topic: str, kind: str, sample: Any, seconds: float) -> Iterable[Any]:
        return (_with(sample, kind, fault, lambda values: values + amount(fault, seconds)),)

    return effect


def _with(sample: Any, kind: str, fault: Active, change: Callable[[Any], Any], name: str = "") -> Any:
    """A copy of the sample with one field changed, on one channel when the fault has one."""
    name = name or FIELDS[kind]
    old = getattr(sample, name)
    if np.ndim(old) == 0:
        return dataclasses.replace(sample, **{name: float(change(old))})
    new = np.array(old, dtype=np.float64)
    where: Any = slice(None) if fault.channel < 0 else fault.channel
    new[where] = change(new[where])
    return dataclasses.replace(sample, **{name: new})


def _one(bad: float) -> Effect:
    """Put a bad number at the fault's channel, or the first place."""

    def effect(fault: Active, _topic: str, kind: str, sample: Any, _s: float) -> Iterable[Any]:
        name = FIELDS[kind]
        old = getattr(sample, name)
        if np.ndim(old) == 0:
            return (dataclasses.replace(sample, **{name: bad}),)
        if kind == "image":  # bytes cannot hold it; the depth picture does
            return (sample,)
        new = np.array(old)
        new.reshape(-1)[max(fault.channel, 0)] = bad
        return (dataclasses.replace(sample, **{name: new}),)

    return effect


def _stamp(move: Callable[[int, float], int]) -> Effect:
    def effect(fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
        return (dataclasses.replace(sample, stamp_ns=move(sample.stamp_ns, fault.value)),)

    return effect


def _freeze(fault: Active, topic: str, kind: str, sample: Any, _s: float) -> Iterable[Any]:
    held = fault.hold.setdefault(topic, sample)
    if fault.channel < 0:
        return (dataclasses.replace(held, stamp_ns=sample.stamp_ns),)
    now: dict[str, Any] = {name: getattr(sample, name).copy() for name in ("position", "velocity", "effort")}
    for name, values in now.items():
        values[fault.channel] = getattr(held, name)[fault.channel]
    return (dataclasses.replace(sample, **now),)


def _out_of_order(fault: Active, topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    held = fault.hold.pop(topic, None)
    if held is not None:
        return (sample, held)
    fault.count[topic] = fault.count.get(topic, 0) + 1
    if fault.count[topic] % max(int(fault.value), 2) == 0:
        fault.hold[topic] = sample
        return ()
    return (sample,)


def _spike(fault: Active, topic: str, kind: str, sample: Any, _s: float) -> Iterable[Any]:
    if fault.hold.setdefault(topic, False):
        return (sample,)
    fault.hold[topic] = True
    return (_with(sample, kind, fault, lambda values: values + fault.value),)


def _noise(fault: Active, _topic: str, kind: str, sample: Any, _s: float) -> Iterable[Any]:
    return (_with(sample, kind, fault, lambda v: v + fault.value * fault.rng.standard_normal(np.shape(v))),)


def _degrees(fault: Active, _topic: str, kind: str, sample: Any, _s: float) -> Iterable[Any]:
    for name in ("position", "velocity") if kind == "joints" else ("angular_velocity",):
        sample = _with(sample, kind, fault, np.degrees, name)
    return (sample,)


def _wrong_length(_fault: Active, _topic: str, kind: str, sample: Any, _s: float) -> Iterable[Any]:
    return (dataclasses.replace(sample, **{FIELDS[kind]: getattr(sample, FIELDS[kind])[:-1]}),)


def _wrong_names(fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    names = list(sample.names)
    names[max(fault.channel, 0)] += "_x"
    return (dataclasses.replace(sample, names=tuple(names)),)


def _joint_order(_fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    return (dataclasses.replace(sample, names=sample.names[::-1], position=sample.position[::-1],
                                velocity=sample.velocity[::-1], effort=sample.effort[::-1]),)


def _imu_tilt(fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    c, s = np.cos(fault.value / 2), np.sin(fault.value / 2)
    w, x, y, z = sample.orientation  # q (c + s i)
    turned = np.array((w * c - x * s, w * s + x * c, y * c + z * s, z * c - y * s))
    return (dataclasses.replace(sample, orientation=turned),)


def _norm(fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    return (dataclasses.replace(sample, orientation=sample.orientation * fault.value),)


def _no_contact(_fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    return (dataclasses.replace(sample, force=np.zeros(3), torque=np.zeros(3)),)


def _sag(fault: Active, _topic: str, kind: str, sample: Any, seconds: float) -> Iterable[Any]:
    return (_with(sample, kind, fault, lambda v: np.maximum(v - fault.value * seconds, 0.0), "voltage"),)


def _drive_fault(fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    bits = list(sample.fault)
    for i in range(len(bits)) if fault.channel < 0 else (fault.channel,):
        bits[i] = int(fault.value)
    return (dataclasses.replace(sample, fault=tuple(bits)),)


def _blackout(_fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    return (dataclasses.replace(sample, data=np.zeros_like(sample.data)),)


def _as_is(_fault: Active, _topic: str, _kind: str, sample: Any, _s: float) -> Iterable[Any]:
    return (sample,)


EFFECTS: dict[str, Effect] = {
    "stop": lambda *_: (),
    "camera_stop": lambda *_: (),
    "freeze": _freeze,
    "camera_freeze": _freeze,
    "blackout": _blackout,
    "nan": _one(float("nan")),
    "inf": _one(float("inf")),
    "stale_stamp": _stamp(lambda stamp, value: max(stamp - round(value * NS), 1)),
    "future_stamp": _stamp(lambda stamp, value: stamp + round(value * NS)),
    "zero_stamp": _stamp(lambda stamp, value: 0),
    "out_of_order": _out_of_order,
    "duplicate": lambda fault, topic, kind, sample, s: (sample, sample),
    "delay": _as_is,  # on the way, see delay_ns
    "dropout": lambda fault, topic, kind, sample, s: () if fault.rng.random() < fault.value else (sample,),
    "wrong_length": _wrong_length,
    "wrong_names": _wrong_names,
    "joint_order": _joint_order,
    "degrees": _degrees,
    "spike": _spike,
    "drift": _shift(lambda fault, seconds: fault.value * seconds),
    "bias": _shift(lambda fault, seconds: fault.value),
    "noise": _noise,
    "non_unit_quaternion": _norm,
    "imu_tilt": _imu_tilt,
    "no_contact": _no_contact,
    "battery_sag": _sag,
    "motor_fault": _drive_fault,
}
