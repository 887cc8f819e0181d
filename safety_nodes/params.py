"""Parameters of the safety nodes: each default once, here. All are read-only: nobody loosens a limit while the
robot moves. config/nodes/*.yaml repeats them for people who tune, and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from humanoid_ros.params import ParameterError, param
from safety_nodes.core.config import CROUCH_ENDS, EMERGENCY_MODES, ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class MonitorParams:
    """safety_monitor. Three steps of a rule = where CAUTION, WARNING and DANGER begin."""

    robot: str = param("g1", "robot file: a name in config/robots or a path")
    environment: str = param("", "what stands around: a name in config/environments or a path, '' for nothing")
    self_margin: float = param(0.001, "links keep this far from one another", "m", low=0.0, high=0.05)
    rate: float = param(100.0, "ticks per second", "Hz", low=50.0, high=1000.0)

    state_timeout: float = param(0.04, "silence of ingest/robot_state that stops motion", "s", low=0.005, high=0.1)
    state_max_age: float = param(0.04, "age of the joint sample that stops motion", "s", low=0.005, high=0.1)
    health_timeout: float = param(0.5, "silence of ingest/sensor_health", "s", low=0.1, high=2.0)
    twin_timeout: float = param(0.1, "silence of twin/state", "s", low=0.02, high=1.0)
    gate_timeout: float = param(0.1, "silence of robot/joint_command after it was heard once", "s",
                                low=0.03, high=1.0)
    estop_timeout: float = param(0.5, "silence of a stop source that counts as pressed", "s", low=0.1, high=1.0)
    override_timeout: float = param(0.5, "silence of an override that counts as a lost link", "s", low=0.1, high=1.0)
    suspend_gap: float = param(0.1, "pause of the monitor itself after which nothing heard is believed", "s",
                               low=0.03, high=0.5)
    dwell: float = param(0.4, "time below a level before it comes down by one", "s", low=0.05, high=10.0)

    position_caution: float = param(0.01, "joint beyond its limit", "rad", low=0.0, high=0.2)
    position_warning: float = param(0.04, "joint beyond its limit", "rad", low=0.0, high=0.2)
    position_danger: float = param(0.1, "joint beyond its limit", "rad", low=0.0, high=0.2)
    velocity_caution: float = param(0.5, "joint speed, share of the motor's limit", "", low=0.1, high=1.0)
    velocity_warning: float = param(0.7, "joint speed, share of the motor's limit", "", low=0.1, high=1.0)
    velocity_danger: float = param(0.9, "joint speed, share of the motor's limit", "", low=0.1, high=1.0)
    runaway_caution: float = param(2.0, "speed of a policy joint, share of its command limit", "", low=1.1, high=20.0)
    runaway_warning: float = param(3.0, "speed of a policy joint, share of its command limit", "", low=1.1, high=20.0)
    runaway_danger: float = param(4.0, "speed of a policy joint, share of its command limit", "", low=1.1, high=20.0)
    torque_caution: float = param(0.98, "joint torque, share of its limit", "", low=0.5, high=2.0)
    torque_warning: float = param(1.1, "joint torque, share of its limit", "", low=0.5, high=2.0)
    torque_danger: float = param(1.3, "joint torque, share of its limit", "", low=0.5, high=2.0)
    tilt_caution: float = param(0.25, "base off the vertical", "rad", low=0.05, high=1.5)
    tilt_warning: float = param(0.4, "base off the vertical", "rad", low=0.05, high=1.5)
    tilt_danger: float = param(0.6, "base off the vertical", "rad", low=0.05, high=1.5)
    tilt_fallen: float = param(0.9, "base off the vertical: the robot falls, EMERGENCY", "rad", low=0.05, high=1.5)
    support_caution: float = param(0.02, "capture point inside the support polygon by less", "m", low=-0.5, high=0.2)
    support_warning: float = param(-0.03, "capture point inside the support polygon by less", "m", low=-0.5, high=0.2)
    support_danger: float = param(-0.05, "capture point inside the support polygon by less", "m", low=-0.5, high=0.2)
    support_fall: float = param(-0.08, "capture point inside by less, going outward: a fall, EMERGENCY", "m",
                                low=-0.5, high=0.2)
    com_caution: float = param(0.01, "centre of mass inside the support polygon by less", "m", low=-0.5, high=0.2)
    com_warning: float = param(0.0, "centre of mass inside the support polygon by less", "m", low=-0.5, high=0.2)
    com_danger: float = param(-0.03, "centre of mass inside the support polygon by less", "m", low=-0.5, high=0.2)
    tracking_caution: float = param(0.35, "joint away from its command", "rad", low=0.05, high=2.0)
    tracking_warning: float = param(0.5, "joint away from its command", "rad", low=0.05, high=2.0)
    tracking_danger: float = param(0.8, "joint away from its command", "rad", low=0.05, high=2.0)

    approach_caution: float = param(0.3, "time until braking must begin before a link touches something", "s",
                                    low=-1.0, high=5.0)
    approach_warning: float = param(0.1, "time until braking must begin before a link touches something", "s",
                                    low=-1.0, high=5.0)
    approach_danger: float = param(0.0, "time until braking must begin before a link touches something", "s",
                                   low=-1.0, high=5.0)
    reaction_time: float = param(0.03, "from measurement to the brake's effect", "s", low=0.01, high=0.5)
    brake_deceleration: float = param(3.0, "deceleration of a link that can be counted on", "m/s^2", low=0.1, high=50.0)
    acceleration_caution: float = param(1.0, "measured joint acceleration, share of its limit", "", low=0.1, high=10.0)
    acceleration_warning: float = param(1.5, "measured joint acceleration, share of its limit", "", low=0.1, high=10.0)
    acceleration_danger: float = param(2.5, "measured joint acceleration, share of its limit", "", low=0.1, high=10.0)
    jump_danger: float = param(1.0, "command of the gate away from the measured joint", "rad", low=0.2, high=3.0)
    contact_caution: float = param(0.5, "force on a part of the robot, share of its limit", "", low=0.05, high=2.0)
    contact_warning: float = param(0.75, "force on a part of the robot, share of its limit", "", low=0.05, high=2.0)
    contact_danger: float = param(1.0, "force on a part of the robot, share of its limit", "", low=0.05, high=2.0)
    foot_load_caution: float = param(1.5, "vertical force on one foot, share of the robot's weight", "",
                                     low=0.5, high=20.0)
    foot_load_warning: float = param(2.5, "vertical force on one foot, share of the robot's weight", "",
                                     low=0.5, high=20.0)
    foot_load_danger: float = param(4.0, "vertical force on one foot, share of the robot's weight", "",
                                    low=0.5, high=20.0)
    residual_caution: float = param(25.0, "normalised innovation squared of a joint in the twin", "",
                                    low=4.0, high=1e6)
    residual_warning: float = param(100.0, "normalised innovation squared of a joint in the twin", "",
                                    low=4.0, high=1e6)
    heat_time_caution: float = param(120.0, "time until a motor reaches its temperature limit", "s",
                                     low=1.0, high=3600.0)
    heat_time_warning: float = param(30.0, "time until a motor reaches its temperature limit", "s",
                                     low=1.0, high=3600.0)
    battery_time_caution: float = param(300.0, "time until the battery browns out", "s", low=1.0, high=7200.0)
    battery_time_warning: float = param(60.0, "time until the battery browns out", "s", low=1.0, high=7200.0)
    state_rate_caution: float = param(0.6, "robot states that come, share of the nominal rate", "", low=0.05, high=1.0)
    state_rate_warning: float = param(0.3, "robot states that come, share of the nominal rate", "", low=0.05, high=1.0)
    command_rate_caution: float = param(250.0, "commands of the policy that come in a second", "Hz",
                                        low=50.0, high=10000.0)
    command_rate_warning: float = param(500.0, "commands of the policy that come in a second", "Hz",
                                        low=50.0, high=10000.0)
    lost_caution: float = param(10.0, "robot states lost on the way within a second", "", low=1.0, high=1000.0)
    overruns_caution: float = param(5.0, "periods that the gate missed within a second", "", low=1.0, high=1000.0)

    caution_scale: float = param(0.5, "share of the command speed at CAUTION", "", low=0.0, high=1.0)
    warning_scale: float = param(0.25, "share of the command speed at WARNING", "", low=0.0, high=1.0)
    permit_validity: float = param(0.03, "how long the gate may go on without the next permit", "s",
                                   low=0.005, high=0.03)
    reset_interval: float = param(1.0, "time between two resets", "s", low=0.1, high=60.0)
    recovery_dwell: float = param(1.0, "how long a motor's fault, or a policy's doubt, must be gone", "s",
                                  low=0.1, high=60.0)
    confidence_low: float = param(0.4, "policy's own confidence below which it moves at half speed", "",
                                  low=0.0, high=1.0)
    required_stop_sources: tuple[str, ...] = param(("",), "stop sources without which nothing moves; one empty name: "
                                                   "none")
    log_dir: str = param("", "folder of the event log; empty: $HUMANOID_TWIN_LOG or ~/.humanoid_twin/log")


@dataclass(frozen=True)
class GateParams:
    """command_gate."""

    robot: str = param("g1", "robot file: a name in config/robots or a path")
    environment: str = param("", "what stands around: a name in config/environments or a path, '' for nothing")
    self_margin: float = param(0.001, "links keep this far from one another", "m", low=0.0, high=0.05)
    rate: float = param(100.0, "ticks and commands per second", "Hz", low=50.0, high=1000.0)
    state_timeout: float = param(0.025, "silence of ingest/robot_state that stops motion", "s", low=0.005, high=0.1)
    state_max_age: float = param(0.04, "age of the joint sample that stops motion", "s", low=0.005, high=0.1)
    command_max_age: float = param(0.06, "age of a policy's command", "s", low=0.01, high=0.2)
    command_future: float = param(0.02, "how far ahead of now a command may be stamped", "s", low=0.001, high=0.1)
    permit_validity: float = param(0.03, "a permit that claims to hold longer is refused", "s", low=0.005, high=0.03)
    permit_max_age: float = param(0.05, "how far a permit's stamp may lie from now", "s", low=0.02, high=0.2)
    sender_silence: float = param(0.5, "silence after which another sender may take over a gated topic", "s",
                                  low=0.1, high=10.0)
    suspend_gap: float = param(0.06, "pause of the gate itself after which nothing heard is believed", "s",
                               low=0.02, high=0.5)
    rate_tolerance: float = param(1.1, "factor on the command speed limit when a command is judged", "",
                                  low=1.0, high=2.0)
    rate_window: float = param(0.005, "stamp jitter allowed when a command's speed is judged", "s",
                               low=0.001, high=0.05)
    acceleration_window: float = param(0.1, "a commanded velocity may step by acceleration limit x this", "s",
                                       low=0.005, high=0.5)
    rebase_tolerance: float = param(0.05, "set-point this near the measured pose before RUN is asked for", "rad",
                                    low=0.005, high=0.5)
    yield_error: float = param(0.25, "a held joint kept further off its set-point gives way", "rad",
                               low=0.05, high=1.0)
    emergency_mode: str = param("POSTURE", "how an emergency ends; POSTURE: as the monitor asks for",
                                choices=EMERGENCY_MODES)
    crouch_end: str = param("CROUCH", "a crouched robot goes on balancing, or (DAMP) is let go of once it is at rest",
                            choices=CROUCH_ENDS)
    settle_time: float = param(1.0, "how long a body must be low and at rest before it is let go of", "s",
                               low=0.2, high=10.0)
    override_timeout: float = param(0.3, "silence of a person who jogs after which the joints halt", "s",
                                    low=0.05, high=1.0)
    jog_share: float = param(0.25, "speed at which a person jogs, share of the command limit", "", low=0.01, high=1.0)
    scale_grace: float = param(1.0, "time in which a policy must have slowed down from full speed to the permit's "
                               "scale", "s", low=0.1, high=10.0)
    log_dir: str = param("", "folder of the event log; empty: $HUMANOID_TWIN_LOG or ~/.humanoid_twin/log")


def core_config(owner: str, cls: type[T], params: Any) -> T:
    """The core's settings out of a node's parameters; a contradiction is refused like a bad parameter."""
    try:
        return cls(**{f.name: getattr(params, f.name) for f in fields(cls)})  # type: ignore[arg-type]
    except ConfigError as error:
        raise ParameterError(f"{owner}: {error}") from None
