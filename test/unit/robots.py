"""Small robots for tests, written here: a fixed two-joint arm (MJCF), the same as URDF, a G1 file as data."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from humanoid_core.robot import find_robot_file

ARM_MJCF = """
<mujoco model="arm">
  <compiler angle="radian"/>
  <worldbody>
    <body name="stand" pos="0 0 0.5">
      <geom type="box" size="0.05 0.05 0.05" mass="2"/>
      <body name="upper" pos="0 0 0.06">
        <joint name="lift" axis="0 1 0"/>
        <geom type="capsule" fromto="0 0 0 0.25 0 0" size="0.03" mass="0.8"/>
        <body name="fore" pos="0.25 0 0">
          <joint name="bend" axis="0 1 0"/>
          <geom type="capsule" fromto="0 0 0 0.2 0 0" size="0.025" mass="0.5"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""

ARM_URDF = """<?xml version="1.0"?>
<robot name="arm">
  <link name="stand"><inertial><mass value="2"/><inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/>
  </inertial></link>
  <link name="upper"><inertial><origin xyz="0.125 0 0"/><mass value="0.8"/>
    <inertia ixx="0.001" iyy="0.005" izz="0.005" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="fore"><inertial><origin xyz="0.1 0 0"/><mass value="0.5"/>
    <inertia ixx="0.001" iyy="0.002" izz="0.002" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="lift" type="revolute"><parent link="stand"/><child link="upper"/><origin xyz="0 0 0.06"/>
    <axis xyz="0 1 0"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
  <joint name="bend" type="revolute"><parent link="upper"/><child link="fore"/><origin xyz="0.25 0 0"/>
    <axis xyz="0 1 0"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
</robot>
"""

BIPED_MJCF = """
<mujoco model="biped">
  <compiler angle="radian"/>
  <worldbody>
    <body name="trunk" pos="0 0 0.6">
      <geom type="box" size="0.08 0.12 0.1" pos="0 0 0.1" mass="6"/>
      <body name="neck" pos="0 0 0.22">
        <joint name="nod" axis="0 1 0"/>
        <geom type="sphere" size="0.06" pos="0 0 0.06" mass="0.5"/>
      </body>
      {legs}
    </body>
  </worldbody>
</mujoco>
"""
LEG = """
      <body name="{s}_leg" pos="0 {y} 0">
        <joint name="{s}_hip_pitch" axis="0 1 0"/>
        <geom type="capsule" fromto="0 0 -0.05 0 0 -0.45" size="0.03" mass="1.5"/>
        <body name="{s}_ankle" pos="0 0 -0.5">
          <joint name="{s}_ankle_pitch" axis="0 1 0"/>
          <geom type="sphere" size="0.02" mass="0.1"/>
          <body name="{s}_foot">
            <joint name="{s}_ankle_roll" axis="1 0 0"/>
            <geom type="box" size="0.1 0.04 0.01" pos="0.02 0 -0.03" mass="0.4"/>
          </body>
        </body>
      </body>"""


def biped_mjcf() -> str:
    """A trunk with a nodding head on two straight legs."""
    legs = "".join(LEG.format(s=s, y=y) for s, y in (("left", 0.09), ("right", -0.09)))
    return BIPED_MJCF.format(legs=legs)


def _common(kind: str, file: str, base: str, fixed: bool) -> dict[str, Any]:
    drive = {
        "armature": 0.01, "kp": 120.0, "kd": 6.0, "acceleration": 50.0, "jerk": 2000.0,
        "command": {"velocity": 1.0, "acceleration": 5.0, "jerk": 50.0},
    }  # fmt: skip
    return {
        "name": "tiny",
        "units": {
            "length": "m",
            "angle": "rad",
            "mass": "kg",
            "time": "s",
            "force": "N",
            "temperature": "degC",
        },
        "model": {"kind": kind, "file": file},
        "base": {"link": base, "fixed": fixed},
        "drives": {"table": {"small": drive}},
    }


def _joint(lower: float, upper: float) -> dict[str, Any]:
    return {"lower": lower, "upper": upper, "effort": 30.0, "velocity": 8.0, "drive": "small"}


def arm_data(kind: str, file: str) -> dict[str, Any]:
    """Robot file of the two-joint arm."""
    return {
        **_common(kind, file, "stand", True),
        "joints": {"table": {"lift": _joint(-1.5, 1.5), "bend": _joint(-2.0, 2.0)}},
        "groups": {"upper_body": ["lift", "bend"]},
        "hands": {"left": {"link": "fore", "point": [0.2, 0.0, 0.0]}},
    }


def biped_data(file: str) -> dict[str, Any]:
    """Robot file of the biped."""
    legs = [f"{s}_{j}" for s in ("left", "right") for j in ("hip_pitch", "ankle_pitch", "ankle_roll")]
    points = [[x, y, -0.045] for x in (-0.07, 0.11) for y in (-0.035, 0.035)]
    return {
        **_common("mjcf", file, "trunk", False),
        "joints": {"table": {**{n: _joint(-0.8, 0.8) for n in legs}, "nod": _joint(-0.5, 0.5)}},
        "groups": {"upper_body": ["nod"], "legs": legs},
        "feet": {
            "list": [
                {"name": s, "topic": f"foot_contacts/{s}", "link": f"{s}_foot", "points": points}
                for s in ("left", "right")
            ]
        },
    }


def write_robot(folder: Path, data: dict[str, Any], model: str | None = None) -> Path:
    """Write a robot file, and the model file that it names, to ``folder``."""
    if model is not None:
        (folder / data["model"]["file"]).write_text(model)
    path = folder / f"{data['name']}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def g1_data() -> dict[str, Any]:
    """The G1's robot file as parsed YAML, free to be spoiled."""
    data: dict[str, Any] = copy.deepcopy(yaml.safe_load(find_robot_file("g1").read_text()))
    return data
