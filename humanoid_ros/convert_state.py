"""What ingest, the twin and the simulator say of the robot."""

from __future__ import annotations

from typing import Any

import numpy as np
from humanoid_twin import msg as m

from humanoid_core import types as t
from humanoid_ros.convert import (
    dataclass_of,
    doubles,
    fill,
    join,
    message_of,
    point,
    quaternion,
    split,
    stamp_from_msg,
    stamped,
    vector,
    vector3,
    wxyz,
    xyz,
)


@message_of(t.RobotState)
def robot_state_to_msg(v: t.RobotState) -> m.RobotState:
    message = m.RobotState(
        seq=v.seq, position=doubles(v.position), velocity=doubles(v.velocity), effort=doubles(v.effort),
        temperature=doubles(v.temperature), orientation=quaternion(v.orientation),
        angular_velocity=vector3(v.angular_velocity), linear_acceleration=vector3(v.linear_acceleration),
        foot_force=[vector3(v.foot_force[0]), vector3(v.foot_force[1])], battery_voltage=v.battery_voltage,
        battery_current=v.battery_current, stale_sources=list(v.stale_sources), imu_source=v.imu_source,
        estimated_joints=list(v.estimated_joints),
    )
    return stamped(message, v.stamp_ns)


@dataclass_of(m.RobotState)
def robot_state_from_msg(x: m.RobotState) -> t.RobotState:
    return t.RobotState(
        stamp_from_msg(x.header.stamp), x.seq, vector(x.position), vector(x.velocity), vector(x.effort),
        vector(x.temperature), wxyz(x.orientation), xyz(x.angular_velocity), xyz(x.linear_acceleration),
        np.array([xyz(x.foot_force[0]), xyz(x.foot_force[1])]), x.battery_voltage, x.battery_current,
        tuple(x.stale_sources), x.imu_source, tuple(x.estimated_joints),
    )


@message_of(t.SensorHealth)
def sensor_health_to_msg(v: t.SensorHealth) -> m.SensorHealth:
    message = m.SensorHealth(all_required_ok=v.all_required_ok)
    for s in v.sources:
        codes, counts = split(s.refusals)
        message.sources.append(m.SourceHealth(
            topic=s.topic, state=s.state, active=s.active, backup=s.backup, accepted=s.accepted, age_ms=s.age_ms,
            rate_hz=s.rate_hz, expected_rate_hz=s.expected_rate_hz, jitter_ms=s.jitter_ms, gap_ms=s.gap_ms,
            gaps=s.gaps, refusal_code=codes, refusal_count=counts, last_refusal=s.last_refusal, delay_ms=s.delay_ms))
    return stamped(message, v.stamp_ns)


@dataclass_of(m.SensorHealth)
def sensor_health_from_msg(x: m.SensorHealth) -> t.SensorHealth:
    sources = tuple(
        t.SourceHealth(s.topic, s.state, s.active, s.backup, s.accepted, s.age_ms, s.rate_hz, s.expected_rate_hz,
                       s.jitter_ms, s.gap_ms, s.gaps, join(s.refusal_code, s.refusal_count), s.last_refusal, s.delay_ms)
        for s in x.sources)
    return t.SensorHealth(stamp_from_msg(x.header.stamp), sources, x.all_required_ok)


@message_of(t.TwinState)
def twin_state_to_msg(v: t.TwinState) -> m.TwinState:
    message = m.TwinState(
        revision=v.revision, model_hash=v.model_hash, position=doubles(v.position),
        velocity=doubles(v.velocity), position_stddev=doubles(v.position_stddev),
        external_torque=doubles(v.external_torque), com=point(v.com), capture_point=point(v.capture_point),
        support_margin=v.support_margin, nis=doubles(v.nis), sync_quality=v.sync_quality, latency=v.latency,
        status=int(v.status), anomalies=list(v.anomalies), velocity_stddev=doubles(v.velocity_stddev),
        desired_position=doubles(v.desired_position), predicted_position=doubles(v.predicted_position),
        predicted_velocity=doubles(v.predicted_velocity), outlier_threshold=doubles(v.outlier_threshold),
        source_names=[name for name, _, _ in v.source_delay],
        source_delay=doubles([delay for _, delay, _ in v.source_delay]),
        source_drift=doubles([drift for _, _, drift in v.source_delay]), diagnosis=v.diagnosis,
        model_revision=v.model_revision, quality_parts=np.array(v.quality_parts), quality_trend=v.quality_trend,
        command_seq=v.command_seq)
    fill(message.base_pose.position, v.base_position)
    message.base_pose.orientation = quaternion(v.base_orientation)
    fill(message.base_twist.linear, v.base_linear)
    fill(message.base_twist.angular, v.base_angular)
    return stamped(message, v.stamp_ns)


@dataclass_of(m.TwinState)
def twin_state_from_msg(x: m.TwinState) -> t.TwinState:
    return t.TwinState(
        stamp_from_msg(x.header.stamp), x.revision, x.model_hash, vector(x.position), vector(x.velocity),
        vector(x.position_stddev), vector(x.external_torque), xyz(x.base_pose.position),
        wxyz(x.base_pose.orientation), xyz(x.base_twist.linear), xyz(x.base_twist.angular), xyz(x.com),
        xyz(x.capture_point), x.support_margin, vector(x.nis), x.sync_quality, x.latency,
        t.TwinStatus(x.status), tuple(x.anomalies), vector(x.velocity_stddev), vector(x.desired_position),
        vector(x.predicted_position), vector(x.predicted_velocity), vector(x.outlier_threshold),
        tuple(zip(x.source_names, _floats(x.source_delay), _floats(x.source_drift), strict=True)), x.diagnosis,
        x.model_revision, _floats(x.quality_parts), x.quality_trend, x.command_seq)


_PREDICTION = ("chunk_seq", "horizon", "min_joint_margin", "min_self_distance", "min_support_margin",
               "first_violation_code", "first_violation_time", "error_20ms", "error_100ms", "error_500ms",
               "first_violation_subject", "min_environment_distance")


def _floats(values: Any) -> Any:
    return tuple(float(v) for v in values)



@message_of(t.TwinPrediction)
def twin_prediction_to_msg(v: t.TwinPrediction) -> m.TwinPrediction:
    message = m.TwinPrediction(**{name: getattr(v, name) for name in _PREDICTION},
                               error_hold=np.array(v.error_hold), error_velocity=np.array(v.error_velocity))
    return stamped(message, v.stamp_ns)


@dataclass_of(m.TwinPrediction)
def twin_prediction_from_msg(x: m.TwinPrediction) -> t.TwinPrediction:
    return t.TwinPrediction(stamp_from_msg(x.header.stamp), error_hold=_floats(x.error_hold),
                            error_velocity=_floats(x.error_velocity),
                            **{name: getattr(x, name) for name in _PREDICTION})


_ACTUATOR = ("name", "viscous_friction", "coulomb_friction", "tracking_error", "temperature", "trend",
             "time_to_threshold", "time_low", "time_high", "recommendation")


@message_of(t.TwinHealth)
def twin_health_to_msg(v: t.TwinHealth) -> m.TwinHealth:
    message = m.TwinHealth(model_revision=v.model_revision, actuators=[
        m.ActuatorHealth(**{name: getattr(a, name) for name in _ACTUATOR}) for a in v.actuators])
    return stamped(message, v.stamp_ns)


@dataclass_of(m.TwinHealth)
def twin_health_from_msg(x: m.TwinHealth) -> t.TwinHealth:
    actuators = tuple(t.ActuatorHealth(**{name: getattr(a, name) for name in _ACTUATOR}) for a in x.actuators)
    return t.TwinHealth(stamp_from_msg(x.header.stamp), x.model_revision, actuators)


@message_of(t.SimTruth)
def sim_truth_to_msg(v: t.SimTruth) -> m.SimTruth:
    message = m.SimTruth(left_hand=point(v.left_hand), right_hand=point(v.right_hand),
                         left_axis=vector3(v.left_axis), right_axis=vector3(v.right_axis), fallen=v.fallen,
                         mode=v.mode, mode_reason=v.mode_reason, real_time_factor=v.real_time_factor)
    fill(message.base_pose.position, v.base_position)
    message.base_pose.orientation = quaternion(v.base_orientation)
    for o in v.objects:
        item = m.ObjectTruth(name=o.name, left_hand_distance=o.left_hand_distance,
                             right_hand_distance=o.right_hand_distance)
        fill(item.pose.position, o.position)
        item.pose.orientation = quaternion(o.orientation)
        message.objects.append(item)
    return stamped(message, v.stamp_ns)


@dataclass_of(m.SimTruth)
def sim_truth_from_msg(x: m.SimTruth) -> t.SimTruth:
    objects = tuple(
        t.ObjectTruth(o.name, xyz(o.pose.position), wxyz(o.pose.orientation), o.left_hand_distance,
                      o.right_hand_distance) for o in x.objects)
    return t.SimTruth(
        stamp_from_msg(x.header.stamp), xyz(x.base_pose.position), wxyz(x.base_pose.orientation),
        xyz(x.left_hand), xyz(x.right_hand), xyz(x.left_axis), xyz(x.right_axis), objects, x.fallen, x.mode,
        x.mode_reason, x.real_time_factor)
