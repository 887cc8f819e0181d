"""Named postures of an arm, in the joints that humanoid arms share: for waving, raising and getting past the
edge of a table."""

from __future__ import annotations

from itertools import product

from humanoid_core.robot_model import Array, RobotModel

#: Joints whose sign turns round from the left arm to the right.
_MIRRORED = ("shoulder_roll", "shoulder_yaw", "wrist_roll", "wrist_yaw")
_NEEDED = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")

#: Hand well above the shoulder, forearm upright.
WAVE = {"shoulder_pitch": -0.75, "shoulder_roll": 0.75, "shoulder_yaw": 0.25, "elbow": -0.75}
#: The forearm swings about the upper arm by this to either side, rad, so many times there and back.
WAVE_SWING, WAVE_COUNT = 0.42, 3
RAISED = {"shoulder_pitch": -2.2, "shoulder_roll": 0.35, "elbow": 0.2}
#: Ways past a table's edge: elbow back and forearm folded, and postures above the table.
_VIA_PITCH, _VIA_ROLL, _VIA_ELBOW = (0.9, 0.5, 0.1, -0.4), (0.25, 0.6), (-0.85, -0.4, 0.3)


class PostureError(ValueError):
    """The robot has not what these postures are made of; the text says what is missing."""


def check(robot: RobotModel) -> None:
    """Refuse a robot without eyes or hands, or whose arm joints have other names."""
    if robot.camera is None or not robot.hands or "upper_body" not in robot.groups:
        lacks = "camera" if robot.camera is None else "hands" if not robot.hands else "joint group 'upper_body'"
        raise PostureError(f"robot '{robot.name}' has no {lacks}, which the classical policy needs")
    for side in robot.hands:
        for joint in _NEEDED:
            if f"{side}_{joint}_joint" not in robot.joint_names:
                raise PostureError(
                    f"robot '{robot.name}' has no joint '{side}_{joint}_joint', which the classical policy moves"
                )


def arm(robot: RobotModel, q: Array, side: str, values: dict[str, float]) -> Array:
    """``q`` (n,) with one arm at rest but for ``values`` (for the left arm, rad; mirrored for the right)."""
    out = rested(robot, q, side)
    for joint, value in values.items():
        sign = -1.0 if side == "right" and joint in _MIRRORED else 1.0
        out[robot.index(f"{side}_{joint}_joint")] = sign * value
    return out


def rested(robot: RobotModel, q: Array, side: str) -> Array:
    """``q`` (n,) with one arm, and the waist, at rest."""
    out: Array = q.copy()
    index = [*robot.groups[f"{side}_arm"], *robot.groups.get("waist", ())]
    out[index] = robot.rest[index]
    return out


def vias(robot: RobotModel, q: Array, side: str) -> list[Array]:
    """Postures that one arm may pass on its way; everything else stays as in ``q`` (n,)."""
    waist = list(robot.groups.get("waist", ()))
    found = []
    for pitch, roll, elbow in product(_VIA_PITCH, _VIA_ROLL, _VIA_ELBOW):
        via = arm(robot, q, side, {"shoulder_pitch": pitch, "shoulder_roll": roll, "elbow": elbow})
        via[waist] = q[waist]
        found.append(via)
    return found
