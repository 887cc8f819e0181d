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


EMERGENCY_MODES = ("POSTURE", "HOLD", "CROUCH")
CROUCH_ENDS = ("CROUCH", "DAMP")


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
    support_fall: float
    com_caution: float
    com_warning: float
    com_danger: float
    tracking_caution: float
    tracking_warning: float
    tracking_danger: float
    approach_caution: float
    approach_warning: float
    approach_danger: float
    reaction_time: float
    brake_deceleration: float
    acceleration_caution: float
    acceleration_warning: float
    acceleration_danger: float
    jump_danger: float
    contact_caution: float
    contact_warning: float
    contact_danger: float
    foot_load_caution: float
    foot_load_warning: float
    foot_load_danger: float
    residual_caution: float
    residual_warning: float
    heat_time_caution: float
    heat_time_warning: float
    battery_time_caution: float
    battery_time_warning: float
    state_rate_caution: float
    state_rate_warning: float
    command_rate_caution: float
    command_rate_warning: float
    lost_caution: float
    overruns_caution: float
    caution_scale: float
    warning_scale: float
    permit_validity: float
    reset_interval: float
    recovery_dwell: float
    confidence_low: float
    required_stop_sources: tuple[str, ...]  # names; empty ones do not count

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                continue
            if not math.isfinite(value):
                raise ConfigError(f"{field.name} = {value} must be a finite number")
            if field.name.endswith(("timeout", "dwell", "max_age", "interval", "validity")) and not value > 0.0:
                raise ConfigError(f"{field.name} = {value} s must be above 0 s")
        for rule in ("position", "velocity", "runaway", "torque", "tracking", "acceleration", "contact", "foot_load"):
            _rising(self, f"{rule}_caution", f"{rule}_warning", f"{rule}_danger")
        _rising(self, "tilt_caution", "tilt_warning", "tilt_danger", "tilt_fallen")
        _rising(self, "support_caution", "support_warning", "support_danger", "support_fall", down=True)
        for key in ("lost_caution", "overruns_caution"):
            if not getattr(self, key) >= 1.0:
                raise ConfigError(f"{key} = {getattr(self, key)} must be 1 or more: none is no fault")
        _rising(self, "com_caution", "com_warning", "com_danger", down=True)
        _rising(self, "approach_caution", "approach_warning", "approach_danger", down=True)
        for rule in ("residual", "command_rate"):
            _rising(self, f"{rule}_caution", f"{rule}_warning")
        for rule in ("heat_time", "battery_time", "state_rate"):
            _rising(self, f"{rule}_caution", f"{rule}_warning", down=True)
        if not 0.0 <= self.warning_scale <= self.caution_scale <= 1.0:
            raise ConfigError(f"warning_scale = {self.warning_scale} must lie between 0 and caution_scale = "
                              f"{self.caution_scale}, and that below 1")

    def steps(self, rule: str) -> tuple[float, ...]:
        """Where CAUTION, WARNING and DANGER of a rule begin."""
        known: dict[str, tuple[float, ...]] = self.__dict__.setdefault("_steps", {})  # asked for in every tick
        if rule not in known:
            known[rule] = tuple(getattr(self, f"{rule}_{level}") for level in ("caution", "warning", "danger"))
        return known[rule]


@dataclass(frozen=True)
class GateConfig:
    """See safety_nodes/params.py for units and meaning of each field."""

    rate: float
    state_timeout: float
    state_max_age: float
    command_max_age: float
    command_future: float
    permit_validity: float
    permit_max_age: float
    sender_silence: float
    suspend_gap: float
    rate_tolerance: float
    rate_window: float
    acceleration_window: float
    rebase_tolerance: float
    yield_error: float
    emergency_mode: str
    crouch_end: str
    settle_time: float
    override_timeout: float
    jog_share: float
    scale_grace: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"{field.name} = {value} must be a finite number above 0")
        for key, known in (("emergency_mode", EMERGENCY_MODES), ("crouch_end", CROUCH_ENDS)):
            if getattr(self, key) not in known:
                raise ConfigError(f"{key} = '{getattr(self, key)}' must be one of {', '.join(known)}")
