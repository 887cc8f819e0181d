"""A robot file from what a URDF or MJCF says: limits as found, guesses marked, what is missing said aloud."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from humanoid_core.robot_guess import feet_of, groups_of, shapes_of, side_of
from humanoid_core.robot_read import Found, FoundJoint, FoundLink

#: What stands in where a model file is silent.
EFFORT, VELOCITY, ARMATURE = 20.0, 5.0, 0.01
#: Full torque at this error (rad), and damping as a share of stiffness (s): a start for tuning, no more.
FULL_AT, DAMPING_SHARE = 0.4, 0.03
COMMAND_VELOCITY, COMMAND_ACCELERATION, COMMAND_JERK = 1.0, 5.0, 60.0


@dataclass
class Draft:
    """``text``: the robot file; ``warnings``: one line each, what a person has to look at."""

    text: str = ""
    warnings: list[str] = field(default_factory=list)


def draft(found: Found, name: str, out: Path, bodies: bool = False) -> Draft:
    """Write a robot file for ``out``. ``bodies``: with the numbers in it and shapes of our own, in place of a
    reference to the model file."""
    made = Draft(warnings=list(found.notes))
    drives, of_joint = _drives(found, made.warnings)
    groups = groups_of(j.name for j in found.joints)
    lines = [
        f"# Drafted from {found.file.name} by 'humanoid-twin robot import'. Lines that end in '# check' are guesses.",
        f"name: {name}", f"description: {found.name}",
        "units: {length: m, angle: rad, mass: kg, time: s, force: N, temperature: degC}",
        "model: {kind: bodies}" if bodies else f"model: {{kind: {found.kind}, file: {flow(_beside(found.file, out))}}}",
        f"base: {{link: {found.links[0].name}, fixed: {str(found.fixed).lower()}}}", "",
        "drives:", f"  source: {found.file.name}; gains and command limits are starting values  # check", "  table:",
    ]
    lines += [f"    {d}: {flow(v)}" for d, v in drives.items()]
    lines += ["", "joints:", f"  source: {found.file.name}", "  table:"]
    lines += [f"    {j.name}: {flow(_joint(j, of_joint[j.name], bodies, made.warnings))}" for j in found.joints]
    lines += _bodies(found) if bodies else []
    lines += ["", "groups:  # check: 'upper_body' is what a policy may move, 'legs' belong to the onboard controller"]
    lines += [f"  {g}: {flow(members)}  # check" for g, members in groups.items()]
    lines += _postures(found, made.warnings) + _feet(found, groups.get("legs", []), made.warnings)
    lines += _sensors(found, made.warnings)
    _missing(found, groups, made.warnings)
    made.text = "\n".join(lines) + "\n"
    return made


def flow(value: Any) -> str:
    """YAML in one line, numbers short but exact."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(v) for v in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = repr(float(f"{value:.10g}") + 0.0)
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)  # YAML wants 1.0e-07, not 1e-07
    return json.dumps(value) if re.search(r"[,:#{}\[\]]", str(value)) else str(value)


def _beside(model: Path, out: Path) -> str:
    return os.path.relpath(model.resolve(), out.resolve().parent)


def _drives(found: Found, warnings: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """One drive for all joints with the same torque, speed and rotor; (drives, joint -> drive)."""
    for what, limit, usual, unit in (("torque limit", "effort", EFFORT, "N m"), ("speed limit", "velocity", VELOCITY,
                                                                             "rad/s")):
        silent = [j.name for j in found.joints if not (getattr(j, limit) or 0.0) > 0.0]
        if silent:
            warnings.append(f"no {what} in the model for {_few(silent)}: {usual:g} {unit} written; look it up")
    silent = [j.name for j in found.joints if j.armature is None]
    if silent:
        warnings.append(f"no rotor inertia in the model for {_few(silent)}: {ARMATURE:g} kg m^2 written; it is the "
                        "motor's inertia times the gear ratio squared")
    table: dict[tuple[Any, ...], str] = {}
    drives: dict[str, dict[str, Any]] = {}
    of_joint = {}
    for j in found.joints:
        effort, velocity = j.effort or EFFORT, j.velocity or VELOCITY
        key = (j.kind, effort, velocity, j.armature, j.damping, j.friction, j.kp, j.kd)
        if key not in table:
            table[key] = f"drive_{len(table) + 1}"
            kp = j.kp or effort / FULL_AT
            drives[table[key]] = {
                "armature": j.armature or ARMATURE, "kp": round(kp, 3), "kd": round(j.kd or kp * DAMPING_SHARE, 3),
                "damping": j.damping or 0.0, "frictionloss": j.friction or 0.0, "acceleration": 80.0, "jerk": 4000.0,
                "command": {"velocity": min(COMMAND_VELOCITY, velocity / 2.0), "acceleration": COMMAND_ACCELERATION,
                            "jerk": COMMAND_JERK}}
        of_joint[j.name] = table[key]
    return drives, of_joint


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _joint(j: FoundJoint, drive: str, bodies: bool, warnings: list[str]) -> dict[str, Any]:
    lower, upper = j.lower, j.upper
    turn = math.pi if j.kind == "revolute" else 1.0
    if lower is None or upper is None:
        lower, upper = -turn, turn
        warnings.append(f"{j.name} has no limits in the model: +-{turn:.3g} written; look them up")
    if j.kind == "revolute" and (lower < -2.0 * math.pi or upper > 2.0 * math.pi):
        lower, upper = max(lower, -2.0 * math.pi), min(upper, 2.0 * math.pi)
        warnings.append(f"{j.name} turns more than once in the model: cut to +-2 pi")
    return {"kind": j.kind, **({"axis": list(j.axis)} if bodies else {}), "lower": lower, "upper": upper,
            "effort": j.effort or EFFORT, "velocity": j.velocity or VELOCITY, "drive": drive}


def _bodies(found: Found) -> list[str]:
    shapes = shapes_of(found)
    lines = ["", "bodies:", f"  source: {found.file.name}, mass, centre of mass, inertia (xx xy xz yy yz zz about the "
             "centre of mass, link axes) and joint frames; shapes are our own", "  links:"]
    for link in found.links:
        lines += _body(link, shapes.get(link.name, []))
    return lines


def _body(link: FoundLink, shapes: list[dict[str, Any]]) -> list[str]:
    lines = [f"    - link: {link.name}"]
    if link.parent is not None:
        lines += [f"      parent: {link.parent}", f"      xyz: {flow(link.xyz)}", f"      rpy: {flow(link.rpy)}"]
    if link.joint is not None:
        lines.append(f"      joint: {link.joint}")
    if link.mass > 0.0:
        lines += [f"      mass: {flow(float(link.mass))}", f"      com: {flow(link.com)}",
                  f"      inertia: {flow(link.inertia)}"]
    if shapes:
        lines += ["      shapes:", *(f"        - {flow(s)}" for s in shapes)]
    return lines


def _postures(found: Found, warnings: list[str]) -> list[str]:
    """All joints at 0, or at the limit next to it."""
    warnings.append("postures.stand is empty: all joints at 0; write a posture in which the robot stands")
    at_limit = {j.name: j.lower if j.lower > 0.0 else j.upper for j in found.joints
                if j.lower is not None and j.upper is not None and not j.lower <= 0.0 <= j.upper}
    return ["", "postures:  # check", f"  stand: {flow(at_limit)}  # check"]


def _feet(found: Found, legs: list[str], warnings: list[str]) -> list[str]:
    feet = feet_of(found, legs)
    if not feet:
        return []
    warnings.append("feet: the points are corners of the box that has the foot's inertia; measure the sole")
    lines = ["", "feet:  # check", f"  source: box of the foot's inertia in {found.file.name}", "  list:"]
    for side, (link, points) in feet.items():
        lines.append(f"    - {{name: {side}, topic: foot_contacts/{side}, link: {link}, points: {flow(points)}}}")
    return lines


def _sensors(found: Found, warnings: list[str]) -> list[str]:
    imus = [link for link in found.links if re.search("imu", link.name, re.I) and link.joint is None and link.parent]
    lines = []
    if imus:
        lines += ["", "imus:", f"  source: {found.file.name}", "  list:"]
        for i, imu in enumerate(imus[:2]):
            place = ("pelvis", "torso")[i]
            lines.append(f"    - {{name: {place}, topic: imu/{place}, link: {imu.parent}, xyz: {flow(imu.xyz)}, "
                         f"rpy: {flow(imu.rpy)}}}  # check")
        warnings.append(f"imus: {_few([i.name for i in imus])} taken for imu/pelvis and imu/torso by their order")
    lines += ["", "sources:  # check: rates of your drivers, in Hz; ages in ms",
              "  joint_states: {kind: joints, rate: 200.0, max_age_ms: 40.0, frozen_ms: 200.0, required: true}"]
    for i in range(min(len(imus), 2)):
        lines.append(f"  imu/{('pelvis', 'torso')[i]}: {{kind: imu, rate: 200.0, max_age_ms: 40.0, frozen_ms: 200.0, "
                     f"required: {str(i == 0).lower()}}}")
    return lines


def _missing(found: Found, groups: dict[str, list[str]], warnings: list[str]) -> None:
    for side in ("left", "right"):
        if any(side_of(link.name) == side for link in found.links) and f"{side}_arm" in groups:
            warnings.append(f"hands.{side} is missing: the point that touches; without it nothing can be reached")
    if "legs" not in groups and not found.fixed:
        warnings.append("no joint looks like a leg: is the base fixed? then write base.fixed: true")
    light = [link.name for link in found.links if link.joint and not link.mass > 0.0]
    if light:
        warnings.append(f"no mass in the model for {_few(light)}, which a joint moves: it cannot be simulated")
    for link in found.links:
        xx, xy, xz, yy, yz, zz = link.inertia
        moments = np.linalg.eigvalsh(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
        if link.mass > 0.0 and not (moments[0] > 0.0 and moments[0] + moments[1] >= moments[2] * (1.0 - 1e-3)):
            warnings.append(f"the inertia of {link.name} belongs to no rigid body (moments "
                            f"{', '.join(f'{m:.3g}' for m in moments)} kg m^2)")
    warnings.append("camera, thermal, battery, recovery and contact are not in a model file; see config/robots/g1.yaml")
