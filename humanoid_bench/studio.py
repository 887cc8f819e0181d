"""Pictures for demonstrations: a robot at a table under changing light, colours, textures and cameras, without physics.

Nothing moves by itself here: things and robot are put somewhere, and the head camera sees them. What is random in a
scene is drawn from one generator, so the same seed gives the same bytes on the same renderer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_core.kinematics import joint_addresses
from humanoid_core.physics import build_spec, rpy_matrix
from humanoid_core.robot_model import Array, RobotModel
from sim_nodes.core.camera import Camera
from sim_nodes.core.payload import add_hands
from sim_nodes.core.scene import (
    COLOURS,
    KINDS,
    TABLE_TOP,
    Scene,
    Thing,
    add_scene,
)  # fmt: skip

#: Where tops of things may be beside the target (x, y), m in the world; nearest centres of two, m.
PLACE = np.array([[0.285, -0.16], [0.385, 0.16]])
APART = 0.078
#: The standing robot's base in the simulation: height and how much it stands forward, m; its spread.
BASE, BASE_SPREAD, TILT_SPREAD = np.array([0.006, 0.0, 0.7525]), np.array([0.007, 0.003, 0.002]), 0.006
#: Legs of the standing robot as they settle, rad from the robot file's rest posture.
SAG = {"hip_pitch": 0.0, "knee": 0.037, "ankle_pitch": -0.025}
TEXTURES = 12
USUAL = (("red", "cube"), ("green", "cylinder"), ("blue", "ball"))
ALL = tuple((c, k) for c in COLOURS for k in KINDS)
AWAY = np.array([0.0, 0.0, -5.0])


class StudioError(RuntimeError):
    """No pictures on this machine; the text says how to get them."""


@dataclass(frozen=True)
class Shot:
    """``rgb`` uint8[h, w, 3]; of each of the 9 things of ``ALL``: on the table or not (9,), top in the base frame
    (9, 3) m (NaN: not there) and where it is in the picture (9, 2), right and down in shares of width and height."""

    rgb: NDArray[np.uint8]
    there: NDArray[np.bool_]
    tops: Array
    pixels: Array


class Studio:
    """One robot, all nine things, one camera. Use from one thread."""

    def __init__(self, robot: RobotModel, width: int, height: int) -> None:
        if robot.camera is None:
            raise StudioError(f"robot '{robot.name}' has no camera")
        self.robot = robot
        things = tuple(Thing(f"{c} {k}", c, k, (0.1 * i, 3.0, 1.0), 0.0, KINDS[k]) for i, (c, k) in enumerate(ALL))
        self._things = things
        spec = build_spec(robot)
        add_scene(spec, Scene(things), robot.foot_friction)
        add_hands(spec, robot)
        _add_textures(spec)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self._size = width, height
        spec_camera = robot.camera
        self._camera_name, self._fovy = spec_camera.name, spec_camera.fovy
        # drawn twice as large and averaged, as the robot's larger picture is when it is made small
        self._camera = Camera(self.model, spec_camera.name, 2 * width, 2 * height, spec_camera.near, spec_camera.far)
        if not self._camera.on:
            raise StudioError(self._camera.why)
        m = self.model
        self._qpos, _ = joint_addresses(m, robot.joint_names)
        self._free = [m.jnt_qposadr[m.joint(f"{t.name} free").id] for t in things]
        self._base = m.jnt_qposadr[m.joint("base_free").id]
        self._upper = np.array(robot.groups["upper_body"], dtype=np.intp)
        self._standing = robot.rest.copy()
        for i, name in enumerate(robot.joint_names):
            self._standing[i] += sum(v for part, v in SAG.items() if part in name)
        self._plain = (m.geom_rgba.copy(), m.light_diffuse.copy(), m.light_dir.copy(), m.geom_matid.copy(),
                       m.body_pos.copy(), m.cam_pos.copy(), m.cam_quat.copy(), m.vis.headlight.ambient.copy(),
                       m.vis.headlight.diffuse.copy())  # fmt: skip

    def close(self) -> None:
        self._camera.close()

    # --- one picture

    def shoot(self, rng: np.random.Generator, upper: Array, target: int, top: Array) -> Shot:
        """The robot with its upper body at ``upper`` (17,), the thing ``target`` of ``ALL`` with its top at ``top``
        (3,) in the base frame, and others beside it."""
        m, d = self.model, self.data
        self._restore()
        base = BASE + BASE_SPREAD * rng.normal(size=3)
        turn = rpy_matrix(TILT_SPREAD * rng.normal(size=3))
        d.qpos[self._base : self._base + 3] = base
        mujoco.mju_mat2Quat(d.qpos[self._base + 3 : self._base + 7], turn.ravel())
        q = self._standing + 0.004 * rng.normal(size=len(self._standing))
        q[self._upper] = upper
        d.qpos[self._qpos] = q
        places = self._lay(rng, target, turn @ top + base)
        self._light(rng)
        self._paint(rng)
        self._shift_camera(rng)
        mujoco.mj_kinematics(m, d)
        mujoco.mj_comPos(m, d)
        mujoco.mj_camlight(m, d)
        rgb = cv2.resize(self._camera.picture(d).rgb, self._size, interpolation=cv2.INTER_AREA)
        there = np.array([p is not None for p in places])
        tops = np.full((len(ALL), 3), np.nan)
        pixels = np.full((len(ALL), 2), np.nan)
        for i, at in enumerate(places):
            if at is not None:
                tops[i] = turn.T @ (at - base)
                pixels[i] = self._project(at)
        inside = np.all((pixels > 0.0) & (pixels < 1.0), axis=1)
        return Shot(_develop(rng, rgb), there & inside, tops, pixels)

    def _restore(self) -> None:
        m = self.model
        for field, value in zip((m.geom_rgba, m.light_diffuse, m.light_dir, m.geom_matid, m.body_pos, m.cam_pos,
                                 m.cam_quat, m.vis.headlight.ambient, m.vis.headlight.diffuse), self._plain,
                                strict=True):  # fmt: skip
            field[:] = value

    def _lay(self, rng: np.random.Generator, target: int, top: Array) -> list[Array | None]:
        """Put things onto a table whose height suits the target; returns the tops in the world, None: not there."""
        m, d = self.model, self.data
        surface = top[2] - 2.0 * self._things[target].half_height
        lift = surface - TABLE_TOP
        table = m.body("table").id
        m.body_pos[table] = m.body_pos[table] + [0.02 * rng.normal(), 0.02 * rng.normal(), lift]
        chosen = [target]
        if rng.uniform() < 0.35 and ALL[target] in USUAL:
            chosen += [ALL.index(pair) for pair in USUAL if ALL.index(pair) != target]
        else:
            others = rng.permutation([i for i in range(len(ALL)) if i != target])
            # half of the time a thing of the same colour or kind, that looks like it
            near = [i for i in others if ALL[i][0] == ALL[target][0] or ALL[i][1] == ALL[target][1]]
            count = int(rng.choice(4, p=(0.05, 0.2, 0.45, 0.3)))
            mixed = list(dict.fromkeys([*near[:1], *others])) if rng.uniform() < 0.5 else list(others)
            chosen += [int(i) for i in mixed[:count]]
        spots = [top[:2]]
        out: list[Array | None] = [None] * len(ALL)
        for i in range(len(ALL)):
            adr = self._free[i]
            d.qpos[adr : adr + 7] = [*(AWAY + [0.2 * i, 0.0, 0.0]), 1.0, 0.0, 0.0, 0.0]
        for i in chosen:
            at = top[:2] if i == target else _spot(rng, spots)
            if at is None:
                continue
            spots.append(at)
            half = self._things[i].half_height
            yaw = rng.uniform(-np.pi, np.pi)
            adr = self._free[i]
            d.qpos[adr : adr + 7] = [*at, surface + half, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
            out[i] = np.array([*at, surface + 2.0 * half])
        return out

    def _light(self, rng: np.random.Generator) -> None:
        m = self.model
        head = np.clip(rng.normal(1.0, 0.3), 0.35, 1.8)
        tint = 1.0 + 0.06 * rng.normal(size=3)
        m.vis.headlight.ambient[:] = np.clip(m.vis.headlight.ambient * head * tint, 0.05, 0.9)
        m.vis.headlight.diffuse[:] = np.clip(
            m.vis.headlight.diffuse * np.clip(rng.normal(1.0, 0.4), 0.0, 2.2), 0.0, 0.9
        )
        m.light_diffuse[0] = np.clip(m.light_diffuse[0] * np.clip(rng.normal(1.0, 0.5), 0.0, 2.2) * tint, 0.0, 1.0)
        way = m.light_dir[0] + 0.35 * rng.normal(size=3)
        way[2] = min(way[2], -0.3)
        m.light_dir[0] = way / np.linalg.norm(way)

    def _paint(self, rng: np.random.Generator) -> None:
        m = self.model
        for thing in self._things:
            geom = m.geom(thing.name).id
            colour = np.array(COLOURS[thing.colour][:3])
            m.geom_rgba[geom, :3] = np.clip(colour * rng.uniform(0.75, 1.25) + 0.035 * rng.normal(size=3), 0.0, 1.0)
        names = ["floor", "table_top", "table_column", "table_foot", "wall_back", "wall_left"]
        changed = rng.uniform() < 0.75
        for name in names:
            geom = m.geom(name).id
            if not changed:
                continue
            grey = rng.uniform(0.3, 0.95)
            m.geom_rgba[geom, :3] = np.clip(grey + 0.05 * rng.normal(size=3), 0.05, 1.0)
            if name in ("floor", "table_top") and rng.uniform() < 0.4:
                m.geom_matid[geom] = m.material(f"pattern_{rng.integers(TEXTURES)}").id
                m.geom_rgba[geom] = [0.5, 0.5, 0.5, 1.0]  # MuJoCo's default: the material's own colour

    def _shift_camera(self, rng: np.random.Generator) -> None:
        """Mounted a little differently from what the robot file says: 2 mm and 0.2 degrees."""
        m = self.model
        camera = m.camera(self._camera_name).id
        m.cam_pos[camera] += 0.002 * rng.normal(size=3)
        turn, out = np.zeros(4), np.zeros(4)
        mujoco.mju_mat2Quat(turn, rpy_matrix(0.0035 * rng.normal(size=3)).ravel())
        mujoco.mju_mulQuat(out, m.cam_quat[camera], turn)
        m.cam_quat[camera] = out

    def _project(self, at: Array) -> Array:
        """Share of the picture's width and height, right and down from its upper left corner."""
        d, camera = self.data, self.model.camera(self._camera_name).id
        x, y, z = d.cam_xmat[camera].reshape(3, 3).T @ (at - d.cam_xpos[camera])
        scale = 0.5 / np.tan(self._fovy / 2.0)
        width, height = self._size
        return np.array([0.5 + scale * x / -z * height / width, 0.5 - scale * y / -z])


def _spot(rng: np.random.Generator, spots: list[Array]) -> Array | None:
    """A free place (2,) on the table, or None where it is too full."""
    for _ in range(30):
        at = rng.uniform(PLACE[0], PLACE[1])
        if all(np.linalg.norm(at - other) > APART for other in spots):
            return np.asarray(at)
    return None


def _add_textures(spec: mujoco.MjSpec) -> None:
    """Patterns for table and floor."""
    rng = np.random.default_rng(0x7E87)
    for k in range(TEXTURES):
        kind = mujoco.mjtBuiltin.mjBUILTIN_CHECKER if k % 2 else mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
        a, b = rng.uniform(0.25, 0.95, 2)
        texture = spec.add_texture(name=f"pattern_{k}", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=kind, width=64,
                                   height=64, rgb1=list(np.clip(a + 0.06 * rng.normal(size=3), 0, 1)),
                                   rgb2=list(np.clip(b + 0.06 * rng.normal(size=3), 0, 1)))  # fmt: skip
        texture.mark, texture.random = mujoco.mjtMark.mjMARK_RANDOM, 0.05
        texture.markrgb = list(rng.uniform(0.2, 0.9, 3))
        material = spec.add_material(name=f"pattern_{k}", texrepeat=list(rng.uniform(1.0, 6.0, 2)), texuniform=True)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = f"pattern_{k}"


def _develop(rng: np.random.Generator, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Exposure, white balance, blur, something in front of the lens, and noise."""
    out = rgb.astype(np.float32)
    if rng.uniform() < 0.6:
        out = out * np.float32(rng.uniform(0.7, 1.35)) * (1.0 + 0.05 * rng.normal(size=3)).astype(np.float32)
        out = out + np.float32(rng.normal(0.0, 6.0))
    if rng.uniform() < 0.25:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.0)))
    if rng.uniform() < 0.25:
        h, w = out.shape[:2]
        for _ in range(int(rng.integers(1, 4))):
            y, x = int(rng.integers(h)), int(rng.integers(w))
            size = rng.integers(4, 22, 2)
            out[y : y + size[0], x : x + size[1]] = rng.uniform(0, 255, 3)
    if rng.uniform() < 0.15:  # something large and grey
        h, w = out.shape[:2]
        tall, wide = int(h * rng.uniform(0.15, 0.45)), int(w * rng.uniform(0.1, 0.32))
        y, x = int(rng.integers(h - tall)), int(rng.integers(w - wide))
        out[y : y + tall, x : x + wide] = rng.uniform(20, 220) + 8.0 * rng.normal(size=3)
    out = out + rng.normal(0.0, rng.uniform(0.0, 10.0), out.shape).astype(np.float32)
    return np.clip(out, 0.0, 255.0).astype(np.uint8)


def thing_name(index: int) -> str:
    """ "red cube" and the like."""
    return " ".join(ALL[index])
