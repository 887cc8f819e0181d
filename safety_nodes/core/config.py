"""The monitor's and the gate's settings. Values, units and texts live in safety_nodes/params.py."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


class ConfigError(ValueError):
    """Settings that contradict one another; the text names key and value."""


def _rising(owner: object, *names: str, down: bool = False) -> None:
    values = [getattr(owner, name) for name in names]
    for (low, a), (high, b) in zip(zip(names, values), zip(names[1:], values[1:])):  # noqa: B905
        if not (a > b if down else a < b):
            raise ConfigError(f"{low} = {a} must be {'above' if down else 'below'} {high} = {b}")


@dataclass(frozen=True)
class MonitorConfig:
    """See safety_nodes/params.py for units and meaning of each field."""

    state_timeout: float
    state_max_age: float
    health_timeout: float
    twin_timeout: float
    gate_timeout: float
    estop_timeout: float
    override_timeout: float
    suspend_gap: float
    dwell: float
    position_caution: float
    position_warning: float
    position_danger: float
    velocity_caution: float
    velocity_warning: float
    velocity_danger: float
    runaway_caution: float
    runaway_warning: float
    runaway_danger: float
    torque_caution: float
    torque_warning: float
    torque_danger: float
    tilt_caution: float
    tilt_warning: float
    tilt_danger: float
    tilt_fallen: float
    support_caution: float
    support_warning: float
    support_danger: float
    tracking_caution: float
    tracking_warning: float
    tracking_danger: float
    caution_scale: float
    warning_scale: float
    permit_validity: float
    reset_interval: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise ConfigError(f"{field.name} = {value} must be a finite number")
            if field.name.endswith(("timeout", "dwell", "max_age", "interval", "validity")) and not value > 0.0:
                raise ConfigError(f"{field.name} = {value} s must be above 0 s")
        for rule in ("position", "velocity", "runaway", "torque", "tracking"):
            _rising(self, f"{rule}_caution", f"{rule}_warning", f"{rule}_danger")
        _rising(self, "tilt_caution", "tilt_warning", "tilt_danger", "tilt_fallen")
        _rising(self, "support_caution", "support_warning", "support_danger", down=True)
        if not 0.0 <= self.warning_scale <= self.caution_scale <= 1.0:
            raise ConfigError(f"warning_scale = {self.warning_scale} must lie between 0 and caution_scale = "
                              f"{self.caution_scale}, and that below 1")

    def steps(self, rule: str) -> tuple[float, ...]:
        """Where CAUTION, WARNING and DANGER of a rule begin."""
        return tuple(getattr(self, f"{rule}_{level}") for level in ("caution", "warning", "danger"))


@dataclass(frozen=True)
class GateConfig:
    """See safety_nodes/params.py for units and meaning of each field."""

    rate: float
    state_timeout: float
    state_max_age: float
    command_max_age: float
    command_future: float
    permit_validity: float
    sender_silence: float
    suspend_gap: float
    rate_tolerance: float
    rate_window: float
    acceleration_window: float
    rebase_tolerance: float
    yield_error: float
    emergency_mode: str

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"{field.name} = {value} must be a finite number above 0")
        if self.emergency_mode not in ("HOLD", "CROUCH", "DAMP"):
            raise ConfigError(f"emergency_mode = '{self.emergency_mode}' must be HOLD, CROUCH or DAMP")
