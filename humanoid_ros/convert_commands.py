"""What is asked of the robot, and the leave to do it."""

from __future__ import annotations

from humanoid_twin import msg as m

from humanoid_core import types as t
from humanoid_ros.convert import (
    dataclass_of,
    doubles,
    join,
    message_of,
    split,
    stamp_from_msg,
    stamp_to_msg,
    stamped,
    vector,
)


@message_of(t.ActionChunk)
def action_chunk_to_msg(v: t.ActionChunk) -> m.ActionChunk:
    message = m.ActionChunk(
        seq=v.seq, epoch=v.epoch, policy_id=v.policy_id, instruction=v.instruction,
        joint_names=list(v.joint_names), step_dt=v.step_dt, steps=len(v.positions),
        positions=doubles(v.positions), confidence=v.confidence,
        inference_start=stamp_to_msg(v.inference_start_ns), inference_end=stamp_to_msg(v.inference_end_ns))
    return stamped(message, v.stamp_ns)


@dataclass_of(m.ActionChunk)
def action_chunk_from_msg(x: m.ActionChunk) -> t.ActionChunk:
    flat = vector(x.positions)
    shape = (x.steps, len(x.joint_names))
    # A wrong length stays flat: the receiver refuses it by its shape.
    positions = flat.reshape(shape) if flat.size == shape[0] * shape[1] else flat
    return t.ActionChunk(
        stamp_from_msg(x.header.stamp), x.seq, x.epoch, x.policy_id, x.instruction, tuple(x.joint_names),
        x.step_dt, positions, x.confidence, stamp_from_msg(x.inference_start), stamp_from_msg(x.inference_end))


@message_of(t.JointCommand)
def joint_command_to_msg(v: t.JointCommand) -> m.JointCommand:
    message = m.JointCommand(
        seq=v.seq, epoch=v.epoch, source=v.source, joint_names=list(v.joint_names), position=doubles(v.position),
        velocity=doubles(v.velocity), effort=doubles(v.effort), kp=doubles(v.kp), kd=doubles(v.kd))
    return stamped(message, v.stamp_ns)


@dataclass_of(m.JointCommand)
def joint_command_from_msg(x: m.JointCommand) -> t.JointCommand:
    return t.JointCommand(
        stamp_from_msg(x.header.stamp), x.seq, x.epoch, x.source, tuple(x.joint_names), vector(x.position),
        vector(x.velocity), vector(x.effort), vector(x.kp), vector(x.kd))


@message_of(t.SafetyStatus)
def safety_status_to_msg(v: t.SafetyStatus) -> m.SafetyStatus:
    message = m.SafetyStatus(level=int(v.level), estop_latched=v.estop_latched, cause=v.cause, tick=v.tick,
                             overruns=v.overruns, tick_lateness=v.tick_lateness)
    message.violations = [
        m.Violation(code=x.code, subject=x.subject, value=x.value, limit=x.limit, severity=x.severity,
                    since=stamp_to_msg(x.since_ns)) for x in v.violations]
    return stamped(message, v.stamp_ns)


@dataclass_of(m.SafetyStatus)
def safety_status_from_msg(x: m.SafetyStatus) -> t.SafetyStatus:
    violations = tuple(t.Violation(v.code, v.subject, v.value, v.limit, v.severity, stamp_from_msg(v.since))
                       for v in x.violations)
    return t.SafetyStatus(stamp_from_msg(x.header.stamp), t.Level(x.level), x.estop_latched, x.cause, violations,
                          x.tick, x.overruns, x.tick_lateness)


@message_of(t.Permit)
def permit_to_msg(v: t.Permit) -> m.Permit:
    message = m.Permit(seq=v.seq, level=int(v.level), scale=v.scale, validity=v.validity, accept_new=v.accept_new,
                       estop_latched=v.estop_latched, reset_count=v.reset_count, posture=int(v.posture),
                       removed_joints=list(v.removed_joints))
    return stamped(message, v.stamp_ns)


@dataclass_of(m.Permit)
def permit_from_msg(x: m.Permit) -> t.Permit:
    return t.Permit(stamp_from_msg(x.header.stamp), x.seq, t.Level(x.level), x.scale, x.validity, x.accept_new,
                    x.estop_latched, x.reset_count, t.Posture(x.posture), tuple(x.removed_joints))


@message_of(t.EStopState)
def e_stop_state_to_msg(v: t.EStopState) -> m.EStopState:
    return stamped(m.EStopState(source=v.source, pressed=v.pressed, seq=v.seq), v.stamp_ns)


@dataclass_of(m.EStopState)
def e_stop_state_from_msg(x: m.EStopState) -> t.EStopState:
    return t.EStopState(stamp_from_msg(x.header.stamp), x.source, x.pressed, x.seq)


@message_of(t.OverrideState)
def override_state_to_msg(v: t.OverrideState) -> m.OverrideState:
    message = m.OverrideState(operator_name=v.operator, active=v.active, mode=v.mode, joint_names=list(v.joint_names),
                              velocity=doubles(v.velocity), seq=v.seq)
    return stamped(message, v.stamp_ns)


@dataclass_of(m.OverrideState)
def override_state_from_msg(x: m.OverrideState) -> t.OverrideState:
    return t.OverrideState(stamp_from_msg(x.header.stamp), x.operator_name, x.active, x.mode, tuple(x.joint_names),
                           vector(x.velocity), x.seq)


@message_of(t.RobotMode)
def robot_mode_to_msg(v: t.RobotMode) -> m.RobotMode:
    return stamped(m.RobotMode(mode=int(v.mode), reason=v.reason, seq=v.seq), v.stamp_ns)


@dataclass_of(m.RobotMode)
def robot_mode_from_msg(x: m.RobotMode) -> t.RobotMode:
    return t.RobotMode(stamp_from_msg(x.header.stamp), t.Mode(x.mode), x.reason, x.seq)


_EVENT = ("source", "seq", "kind", "code", "subject", "text")


@message_of(t.SafetyEvent)
def safety_event_to_msg(v: t.SafetyEvent) -> m.SafetyEvent:
    return stamped(m.SafetyEvent(level=int(v.level), **{name: getattr(v, name) for name in _EVENT}), v.stamp_ns)


@dataclass_of(m.SafetyEvent)
def safety_event_from_msg(x: m.SafetyEvent) -> t.SafetyEvent:
    values = {name: getattr(x, name) for name in _EVENT}
    return t.SafetyEvent(stamp_from_msg(x.header.stamp), level=t.Level(x.level), **values)


_GATE = ("state", "reason", "passed", "held", "tick", "overruns", "tick_lateness", "permit_age")


@message_of(t.GateStatus)
def gate_status_to_msg(v: t.GateStatus) -> m.GateStatus:
    codes, counts = split(v.refusals)
    message = m.GateStatus(**{name: getattr(v, name) for name in _GATE}, refusal_code=codes, refusal_count=counts)
    return stamped(message, v.stamp_ns)


@dataclass_of(m.GateStatus)
def gate_status_from_msg(x: m.GateStatus) -> t.GateStatus:
    values = {name: getattr(x, name) for name in _GATE}
    return t.GateStatus(stamp_from_msg(x.header.stamp), refusals=join(x.refusal_code, x.refusal_count), **values)


_VLA = ("state", "reason_code", "detail", "instruction", "policy_id", "epoch", "progress", "confidence",
        "inference_ms", "chunks")


@message_of(t.VlaStatus)
def vla_status_to_msg(v: t.VlaStatus) -> m.VlaStatus:
    codes, counts = split(v.refusals)
    message = m.VlaStatus(**{name: getattr(v, name) for name in _VLA}, refusal_code=codes, refusal_count=counts)
    return stamped(message, v.stamp_ns)


@dataclass_of(m.VlaStatus)
def vla_status_from_msg(x: m.VlaStatus) -> t.VlaStatus:
    values = {name: getattr(x, name) for name in _VLA}
    return t.VlaStatus(stamp_from_msg(x.header.stamp), refusals=join(x.refusal_code, x.refusal_count), **values)
