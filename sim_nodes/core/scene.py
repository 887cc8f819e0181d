"""What stands around the robot: floor, light, a table and coloured things at seeded places.

World frame: x forward, y left, z up, origin on the floor under the pelvis. Metres.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import mujoco
import numpy as np

from humanoid_core.physics import BIT_FLOOR, BIT_THING, VIEW_TO_MUJOCO, add_floor, matrix_quat
from humanoid_core.robot_model import Array

#: What the table carries unless somebody says otherwise.
DEFAULT_OBJECTS = "red cube, green cylinder, blue ball"
COLOURS = {"red": (0.82, 0.08, 0.08, 1.0), "green": (0.06, 0.58, 0.16, 1.0), "blue": (0.08, 0.20, 0.80, 1.0)}
#: Half sizes in m: cube half edge; cylinder radius, half height; ball radius.
KINDS = {"cube": (0.027, 0.027, 0.027), "cylinder": (0.025, 0.032, 0.0), "ball": (0.029, 0.0, 0.0)}
MAX_OBJECTS = 4
#: Heavy enough that a light touch moves none of them off the table.
OBJECT_MASS = 0.35

#: Table: top surface height, near edge, depth, width, slab thickness. Narrow, so that arms rise beside it.
TABLE_TOP, TABLE_NEAR, TABLE_DEPTH, TABLE_WIDTH, TABLE_SLAB = 0.78, 0.25, 0.36, 0.40, 0.03
#: Where things may stand: both hands of a G1 reach all of it (checked over 200 seeds).
PLACE_X = (0.305, 0.365)
PLACE_Y = (-0.13, 0.13)


class SceneError(ValueError):
    """A scene that cannot be built; the message names the parameter, the word and what is valid."""


@dataclass(frozen=True)
class Thing:
    """One object: ``name`` "red cube", centre ``position`` m, ``yaw`` rad, MuJoCo half ``size`` m."""

    name: str
    colour: str
    kind: str
    position: tuple[float, float, float]
    yaw: float
    size: tuple[float, float, float]

    @property
    def half_height(self) -> float:
        """Half the height in m."""
        return self.size[1] if self.kind == "cylinder" else self.size[0]


@dataclass(frozen=True)
class Scene:
    """A table and its things; ``free`` things can be pushed about, others are fixed to the table."""

    things: tuple[Thing, ...]
    table: bool = True
    free: bool = True


def parse_objects(text: str) -> tuple[tuple[str, str], ...]:
    """Parse "red cube, blue ball" to ((colour, kind), ...); raises SceneError naming the wrong word."""
    found: list[tuple[str, str]] = []
    for part in (p.strip() for p in text.split(",")):
        if not part:
            continue
        words = part.lower().split()
        if len(words) != 2:
            raise SceneError(f"objects: '{part}' is not '<colour> <kind>', for example 'red cube'")
        for word, valid in zip(words, (list(COLOURS), list(KINDS)), strict=True):
            if word not in valid:
                near = difflib.get_close_matches(word, valid, n=1)
                hint = f"did you mean '{near[0]}'? " if near else ""
                raise SceneError(f"objects: '{word}' in '{part}' is unknown; {hint}valid: {', '.join(valid)}")
        pair = (words[0], words[1])
        if pair in found:
            raise SceneError(f"objects: '{part}' is named twice")
        found.append(pair)
    if len(found) > MAX_OBJECTS:
        raise SceneError(f"objects: {len(found)} named, the table takes at most {MAX_OBJECTS}")
    return tuple(found)


def plan_scene(objects: str = DEFAULT_OBJECTS, seed: int = 0, *, free: bool = True) -> Scene:
    """Place the objects: side by side in a random order, a gap of at least 1 cm between neighbours."""
    wanted = parse_objects(objects)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(wanted))
    lanes = np.linspace(PLACE_Y[1], PLACE_Y[0], len(wanted)) if len(wanted) > 1 else np.zeros(1)
    pitch = (PLACE_Y[1] - PLACE_Y[0]) / max(len(wanted) - 1, 1)
    things: list[Thing | None] = [None] * len(wanted)
    for lane, i in zip(lanes, order, strict=True):
        colour, kind = wanted[i]
        size = KINDS[kind]
        half = size[1] if kind == "cylinder" else size[0]
        # neighbours keep a cube's diagonal plus 1 cm between their centres
        slack = max(0.0, (pitch - 2.0 * math.sqrt(2.0) * KINDS["cube"][0] - 0.01) / 2.0)
        y = float(np.clip(lane + rng.uniform(-slack, slack), *PLACE_Y))
        x = float(rng.uniform(*PLACE_X))
        yaw = float(rng.uniform(-math.pi / 4, math.pi / 4)) if kind == "cube" else 0.0
        things[i] = Thing(f"{colour} {kind}", colour, kind, (x, y, TABLE_TOP + half), yaw, size)
    return Scene(tuple(t for t in things if t is not None), free=free)


def look_at(eye: Array, target: Array) -> Array:
    """Quaternion w x y z of a MuJoCo camera at ``eye`` that looks at ``target``, z up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    left = np.cross([0.0, 0.0, 1.0], forward)
    left /= np.linalg.norm(left)
    view = np.column_stack([forward, left, np.cross(forward, left)])
    return matrix_quat(view @ VIEW_TO_MUJOCO)


def add_scene(spec: mujoco.MjSpec, scene: Scene, friction: float = 0.6) -> None:
    """Add floor, light, the fixed camera ``spectator``, table and things to the robot's specification."""
    add_floor(spec, friction)
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = 960, 720
    visual.quality.offsamples = 0
    visual.quality.shadowsize = 0
    visual.map.znear, visual.map.zfar = 0.02, 20.0
    visual.headlight.ambient = [0.42, 0.42, 0.42]
    visual.headlight.diffuse = [0.30, 0.30, 0.30]
    visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.stat.extent, spec.stat.center = 1.0, [0.2, 0.0, 0.8]
    light = spec.worldbody.add_light(name="lamp", pos=[0.6, 0.8, 3.0], dir=[-0.2, -0.3, -1.0], castshadow=False)
    light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    light.diffuse, light.specular = [0.45, 0.45, 0.45], [0.05, 0.05, 0.05]
    eye, target = np.array([1.60, -1.50, 1.55]), np.array([0.14, 0.0, 0.70])
    spec.worldbody.add_camera(name="spectator", pos=eye, quat=look_at(eye, target), fovy=42.0)
    # two walls, for pictures only: without a skybox what lies behind the floor would be black
    for name, pos, size in (
        ("wall_back", [-2.5, 0.0, 1.5], [0.02, 3.5, 1.5]),
        ("wall_left", [0.5, 3.5, 1.5], [3, 0.02, 1.5]),
    ):
        wall = spec.worldbody.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_BOX, pos=pos, size=size)
        wall.rgba, wall.contype, wall.conaffinity = [0.80, 0.83, 0.86, 1.0], 0, 0
    if scene.table:
        _add_table(spec)
    for thing in scene.things:
        _add_thing(spec, thing, scene.free)


def _add_table(spec: mujoco.MjSpec) -> None:
    """A slab on one column with a foot plate."""
    table = spec.worldbody.add_body(name="table", pos=[TABLE_NEAR + TABLE_DEPTH / 2, 0.0, 0.0])
    half_x, half_y, half_z = TABLE_DEPTH / 2, TABLE_WIDTH / 2, TABLE_SLAB / 2
    top = table.add_geom(name="table_top", type=mujoco.mjtGeom.mjGEOM_BOX, size=[half_x, half_y, half_z])
    top.pos, top.rgba = [0.0, 0.0, TABLE_TOP - half_z], [0.74, 0.71, 0.66, 1.0]
    top.friction = [0.8, 0.005, 0.0001]
    top.contype, top.conaffinity = BIT_THING, BIT_THING
    # one column well behind the edge: knees need the room when the body is lowered
    column = (TABLE_TOP - TABLE_SLAB) / 2
    parts = (
        ("table_column", mujoco.mjtGeom.mjGEOM_CYLINDER, [0.035, column, 0.0], column),
        ("table_foot", mujoco.mjtGeom.mjGEOM_BOX, [0.14, 0.17, 0.012], 0.012),
    )
    for name, kind, size, z in parts:
        part = table.add_geom(name=name, type=kind, size=size, pos=[0.03, 0.0, z])
        part.rgba = [0.45, 0.44, 0.43, 1.0]
        part.contype, part.conaffinity = BIT_THING, 0


def _add_thing(spec: mujoco.MjSpec, thing: Thing, free: bool) -> None:
    quat = [math.cos(thing.yaw / 2), 0.0, 0.0, math.sin(thing.yaw / 2)]
    body = spec.worldbody.add_body(name=thing.name, pos=list(thing.position), quat=quat)
    kind = {"cube": "BOX", "cylinder": "CYLINDER", "ball": "SPHERE"}[thing.kind]
    geom = body.add_geom(name=thing.name, type=getattr(mujoco.mjtGeom, f"mjGEOM_{kind}"), size=list(thing.size))
    geom.rgba = list(COLOURS[thing.colour])
    geom.mass = OBJECT_MASS
    geom.contype, geom.conaffinity = BIT_THING, BIT_FLOOR | BIT_THING
    geom.friction = [0.8, 0.01, 0.002]
    if thing.kind == "ball":
        geom.condim = 6  # rolling friction, or it would roll off
    if free:
        joint = body.add_freejoint(name=f"{thing.name} free")
        # a felt table: damps what friction alone would let slide or roll for long
        joint.damping = [0.05 if thing.kind != "ball" else 0.02, 0.0, 0.0]
