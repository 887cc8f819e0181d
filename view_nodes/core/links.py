"""What a robot looks like, link by link, and where its links are against one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
import trimesh

from humanoid_core.kinematics import Kinematics
from humanoid_core.robot_model import Array, RobotModel

#: Contact spheres, collision hulls and markers stand in groups from here on, or are see-through.
_SEE_THROUGH = 0.05


@dataclass(frozen=True)
class LinkMesh:
    """Triangles of one link in one colour: ``vertices`` (k, 3) m in the link's frame, ``faces`` (m, 3)."""

    link: str
    vertices: Array
    faces: npt.NDArray[np.int64]
    rgba: tuple[float, float, float, float]


@dataclass(frozen=True)
class LinkPose:
    """Pose of a link in its parent's frame (the base's: in the world): m, quaternion w x y z."""

    position: Array
    quaternion: Array


class Links:
    """The links of a robot as a tree. Keeps scratch data: not for two threads at once."""

    def __init__(self, robot: RobotModel) -> None:
        self._kinematics = Kinematics(robot)
        model = self._kinematics.model
        self._bodies = list(range(1, model.nbody))
        self._parents = [int(model.body_parentid[b]) for b in self._bodies]
        names = {b: model.body(b).name for b in self._bodies}
        self.names: tuple[str, ...] = tuple(names[b] for b in self._bodies)
        #: Path of each link from the base, 'pelvis/torso/head', parents first.
        self.paths: dict[str, str] = {}
        for body, parent in zip(self._bodies, self._parents, strict=True):
            above = self.paths.get(names.get(parent, ""), "")
            self.paths[names[body]] = f"{above}/{names[body]}" if above else names[body]

    def meshes(self) -> tuple[LinkMesh, ...]:
        """Every visible shape, those of one link and colour as one mesh."""
        model = self._kinematics.model
        parts: dict[tuple[int, tuple[float, ...]], list[trimesh.Trimesh]] = {}
        for g in range(model.ngeom):
            body, rgba = int(model.geom_bodyid[g]), tuple(float(c) for c in model.geom_rgba[g])
            shape = _shape(model, g) if body > 0 and rgba[3] > _SEE_THROUGH else None
            if shape is not None:
                parts.setdefault((body, rgba), []).append(shape)
        out = []
        for (body, rgba), shapes in parts.items():
            whole: Any = trimesh.util.concatenate(shapes)
            out.append(LinkMesh(model.body(body).name, np.asarray(whole.vertices, np.float64),
                                np.asarray(whole.faces, np.int64), (rgba[0], rgba[1], rgba[2], rgba[3])))
        return tuple(out)

    def poses(self, q: Array, base_position: Array, base_quat: Array) -> dict[str, LinkPose]:
        """``q`` (n,) rad, base in the world (w x y z): each link in its parent."""
        k = self._kinematics
        k.update(q, base_position, base_quat)
        x, r = k.data.xpos, k.data.xquat
        child, parent = self._bodies, self._parents
        back = r[parent] * (1.0, -1.0, -1.0, -1.0)
        turned = _multiply(back, r[child])
        moved = _rotate(back, x[child] - x[parent])
        return {name: LinkPose(moved[i], turned[i]) for i, name in enumerate(self.names)}


def _multiply(a: Array, b: Array) -> Array:
    """Quaternions (k, 4), w x y z, row by row."""
    aw, ax, ay, az = a.T
    bw, bx, by, bz = b.T
    return np.column_stack((aw * bw - ax * bx - ay * by - az * bz, aw * bx + ax * bw + ay * bz - az * by,
                            aw * by - ax * bz + ay * bw + az * bx, aw * bz + ax * by - ay * bx + az * bw))


def _rotate(q: Array, v: Array) -> Array:
    """Vectors (k, 3) turned by quaternions (k, 4)."""
    w, u = q[:, :1], q[:, 1:]
    across = np.cross(u, v)
    out: Array = v + 2.0 * (w * across + np.cross(u, across))
    return out


def _shape(model: mujoco.MjModel, g: int) -> trimesh.Trimesh | None:
    """The triangles of a geom in its body's frame; None for planes and other endless things."""
    mesh: trimesh.Trimesh
    kind, size = mujoco.mjtGeom(int(model.geom_type[g])), model.geom_size[g]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        mesh = trimesh.creation.box(extents=2.0 * size)
    elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        mesh = trimesh.creation.icosphere(subdivisions=2, radius=size[0])
    elif kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        mesh = trimesh.creation.cylinder(radius=size[0], height=2.0 * size[1], sections=20)
    elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        mesh = trimesh.creation.capsule(radius=size[0], height=2.0 * size[1], count=[16, 12])
        mesh.apply_translation(-mesh.bounds.mean(axis=0))
    elif kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        mesh = trimesh.creation.icosphere(subdivisions=2)
        mesh.vertices = mesh.vertices * size
    elif kind == mujoco.mjtGeom.mjGEOM_MESH:
        m = int(model.geom_dataid[g])
        v0, f0 = int(model.mesh_vertadr[m]), int(model.mesh_faceadr[m])
        mesh = trimesh.Trimesh(model.mesh_vert[v0 : v0 + int(model.mesh_vertnum[m])],
                               model.mesh_face[f0 : f0 + int(model.mesh_facenum[m])], process=False)
    else:
        return None
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, model.geom_quat[g])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn.reshape(3, 3), model.geom_pos[g]
    mesh.apply_transform(pose)
    return mesh
