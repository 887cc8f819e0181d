"""A robot as URDF, for robot_state_publisher and rviz2: from the same model that everything else here computes with."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import mujoco
import numpy as np

from humanoid_core.physics import build_model
from humanoid_core.robot import RobotError
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.robot_read import matrix_rpy

#: Geoms fainter than this are aids, not looks.
SEE_THROUGH = 0.05
_SHAPES = {mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CYLINDER,
           mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_ELLIPSOID}


def urdf(robot: RobotModel) -> str:
    """The robot's URDF: links with inertia and looks, joints with the robot file's limits. Metres, kilograms, radians.

    A robot whose model is a URDF is that file. Meshes of an MJCF model are left out, a capsule is a cylinder with two
    spheres, an ellipsoid the sphere of its mean radius. Raises RobotError for a joint that URDF has no word for.
    """
    if robot.model_kind == "urdf" and robot.model_file is not None:
        return Path(robot.model_file).read_text(encoding="utf-8")
    model = build_model(robot)
    root = Xml.Element("robot", name=robot.name)
    for body in range(1, model.nbody):
        _link(root, model, body)
        if int(model.body_parentid[body]) > 0:
            _joint(root, robot, model, body)
    Xml.indent(root)
    return '<?xml version="1.0"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _link(root: Xml.Element, model: mujoco.MjModel, body: int) -> None:
    link = Xml.SubElement(root, "link", name=model.body(body).name)
    mass = float(model.body_mass[body])
    if mass > 0.0:
        inertial = Xml.SubElement(link, "inertial")
        _origin(inertial, model.body_ipos[body], model.body_iquat[body])
        Xml.SubElement(inertial, "mass", value=_text(mass))
        x, y, z = (_text(v) for v in model.body_inertia[body])
        Xml.SubElement(inertial, "inertia", ixx=x, iyy=y, izz=z, ixy="0", ixz="0", iyz="0")
    for g in range(model.ngeom):
        if int(model.geom_bodyid[g]) == body and float(model.geom_rgba[g][3]) > SEE_THROUGH:
            _looks(link, model, g)


def _looks(link: Xml.Element, model: mujoco.MjModel, g: int) -> None:
    kind, size = mujoco.mjtGeom(int(model.geom_type[g])), model.geom_size[g]
    if kind not in _SHAPES:
        return
    position, quat = model.geom_pos[g], model.geom_quat[g]
    parts: list[tuple[Array, str, dict[str, str]]] = []
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        parts = [(position, "box", {"size": _text(*(2.0 * size))})]
    elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        parts = [(position, "sphere", {"radius": _text(size[0])})]
    elif kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        parts = [(position, "sphere", {"radius": _text(float(size.mean()))})]
    else:
        parts = [(position, "cylinder", {"radius": _text(size[0]), "length": _text(2.0 * size[1])})]
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            along = size[1] * _matrix(quat)[:, 2]
            parts += [(position + side * along, "sphere", {"radius": _text(size[0])}) for side in (-1.0, 1.0)]
    for at, shape, measures in parts:
        visual = Xml.SubElement(link, "visual")
        _origin(visual, at, quat)
        Xml.SubElement(Xml.SubElement(visual, "geometry"), shape, measures)
        rgba = tuple(float(c) for c in model.geom_rgba[g])
        material = Xml.SubElement(visual, "material", name="rgba_" + "_".join(f"{round(255 * c):02x}" for c in rgba))
        Xml.SubElement(material, "color", rgba=_text(*rgba))


def _joint(root: Xml.Element, robot: RobotModel, model: mujoco.MjModel, body: int) -> None:
    """What moves a link against its parent: one joint of the robot file, or nothing."""
    name, count = model.body(body).name, int(model.body_jntnum[body])
    parent = model.body(int(model.body_parentid[body])).name
    if count == 0:
        element = Xml.SubElement(root, "joint", name=f"{name}_fixed", type="fixed")
    else:
        j = int(model.body_jntadr[body])
        label = model.joint(j).name
        if count > 1 or bool(np.any(np.abs(model.jnt_pos[j]) > 1e-9)):
            raise RobotError(robot.file, f"joints.{label}", label, "URDF has one joint at the origin of a link; split "
                             "the link, or give the robot's own URDF as its model")
        i = robot.index(label)
        kind = "revolute" if robot.joint_kinds[i] == "revolute" else "prismatic"
        element = Xml.SubElement(root, "joint", name=label, type=kind)
        Xml.SubElement(element, "axis", xyz=_text(*model.jnt_axis[j]))
        Xml.SubElement(element, "limit", lower=_text(robot.lower[i]), upper=_text(robot.upper[i]),
                       effort=_text(robot.effort[i]), velocity=_text(robot.velocity[i]))
        Xml.SubElement(element, "dynamics", damping=_text(robot.damping[i]), friction=_text(robot.frictionloss[i]))
    _origin(element, model.body_pos[body], model.body_quat[body])
    Xml.SubElement(element, "parent", link=parent)
    Xml.SubElement(element, "child", link=name)


def _origin(element: Xml.Element, position: Array, quat: Array) -> None:
    Xml.SubElement(element, "origin", xyz=_text(*position), rpy=_text(*matrix_rpy(_matrix(quat))))


def _matrix(quat: Array) -> Array:
    out = np.zeros(9)
    mujoco.mju_quat2Mat(out, np.asarray(quat, dtype=np.float64))
    return out.reshape(3, 3)


def _text(*values: float) -> str:
    return " ".join(repr(round(float(v), 12)) for v in values)
