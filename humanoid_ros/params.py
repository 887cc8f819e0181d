"""ROS parameters from one frozen dataclass per node: the default, unit, bounds and text live there only.

A key that no field has is refused with the nearest one that exists; safety limits are read-only, so nobody can
loosen them while the robot moves.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
from typing import Any, TypeVar, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from humanoid_ros.params_files import mistyped, params_files

T = TypeVar("T")
#: Of every node (humanoid_ros/managed.py), beside those of its dataclass.
AUTOSTART = "autostart"
_OF_EVERY_NODE = ("use_sim_time", "qos_overrides", "start_type_description_service", AUTOSTART)


class ParameterError(ValueError):
    """A parameter that cannot be used; the text names node, key, value and the way out."""


def param(
    default: Any,
    doc: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    read_only: bool = True,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a parameter dataclass. Bounds are inclusive; an int or float outside them is refused."""
    meta = {"doc": doc, "unit": unit, "low": low, "high": high, "read_only": read_only, "choices": choices}
    return dataclasses.field(default=default, metadata=meta)


def check(owner: str, field: dataclasses.Field[Any], value: Any) -> None:
    """Refuse a value outside its bounds or choices. NaN fails, as in every comparison here."""
    meta = field.metadata
    low, high, choices = meta.get("low"), meta.get("high"), meta.get("choices")
    unit = f" {meta['unit']}" if meta.get("unit") else ""
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{owner}: {field.name} = {value}: must be a finite number ({meta.get('doc')})")
    if low is not None and not value >= low:
        raise ParameterError(f"{owner}: {field.name} = {value}{unit}: must be at least {low}{unit}")
    if high is not None and not value <= high:
        raise ParameterError(f"{owner}: {field.name} = {value}{unit}: must be at most {high}{unit}")
    if choices and value not in choices:
        raise ParameterError(f"{owner}: {field.name} = '{value}': must be one of {', '.join(choices)}")


def _descriptor(field: dataclasses.Field[Any], kind: type) -> ParameterDescriptor:
    meta = field.metadata
    unit = f" [{meta['unit']}]" if meta.get("unit") else ""
    descriptor = ParameterDescriptor(description=f"{meta.get('doc', '')}{unit}",
                                     read_only=meta.get("read_only", True))
    low, high = meta.get("low"), meta.get("high")
    if kind is float and low is not None and high is not None:
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    if kind is int and low is not None and high is not None:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return descriptor


def _refuse_unknown(node: Node, known: set[str]) -> None:
    for name in node._parameter_overrides:  # rclpy has no public view of what the command line gave
        if name in known or name.split(".")[0] in _OF_EVERY_NODE:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(sorted(known))}"
        raise ParameterError(f"{node.get_name()}: unknown parameter '{name}'{hint}")


def declare(node: Node, cls: type[T]) -> T:
    """Declare every field of the dataclass `cls` as a ROS parameter and return its values."""
    if wrong := mistyped(params_files(sys.argv, node.get_name()), node.get_name()):
        raise ParameterError(wrong)
    hints = get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    _refuse_unknown(node, {f.name for f in fields})
    values: dict[str, Any] = {}
    for field in fields:
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        kind = hints[field.name]
        override = node._parameter_overrides.get(field.name)
        if kind is float and override is not None and isinstance(override.value, int):
            node._parameter_overrides[field.name] = type(override)(field.name, value=float(override.value))
            override = node._parameter_overrides[field.name]
        if override is not None:
            _check_type(node.get_name(), field.name, override.value, default)
            check(node.get_name(), field, override.value)
        value = node.declare_parameter(field.name, default, _descriptor(field, kind)).value
        values[field.name] = tuple(value) if isinstance(field.default, tuple) else value
    return cls(**values)


def _check_type(owner: str, name: str, value: Any, default: Any) -> None:
    if type(value) is not type(default):
        raise ParameterError(f"{owner}: {name} = {value!r}: must be {type(default).__name__}, "
                             f"is {type(value).__name__}")


def from_mapping(owner: str, cls: type[T], data: dict[str, Any]) -> T:
    """The same dataclass from a plain mapping (a YAML file, a test); refuses what `declare` refuses."""
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name, value in data.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1, cutoff=0.4)
            raise ParameterError(f"{owner}: unknown parameter '{name}'"
                                 + (f"; did you mean '{near[0]}'?" if near else ""))
        default = fields[name].default
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(default, tuple):
            _check_type(owner, name, value, default)
        check(owner, fields[name], value)
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
