"""What a URDF or MJCF file says of a robot: links, joints and limits, in SI units and the tree's order.

Only numbers are read; meshes are not opened. What a file leaves out stays None: whoever writes a robot file says so.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

import mujoco
import numpy as np

from humanoid_core.physics import rpy_matrix
from humanoid_core.robot import RobotError
from humanoid_core.robot_model import Array

Triple = tuple[float, float, float]
ZERO: Triple = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class FoundJoint:
    """rad or m, N m or N, rad/s or m/s; ``None``: the file does not say."""

    name: str
    kind: str
    axis: Triple
    lower: float | None
    upper: float | None
    effort: float | None
    velocity: float | None
    armature: float | None = None
    damping: float | None = None
    friction: float | None = None
    kp: float | None = None
    kd: float | None = None


@dataclass(frozen=True)
class FoundLink:
    """Frame in the parent (m, rad), mass kg, com m, inertia (xx xy xz yy yz zz about the com, link axes, kg m^2)."""

    name: str
    parent: str | None
    xyz: Triple
    rpy: Triple
    joint: str | None
    mass: float
    com: Triple
    inertia: tuple[float, ...]


@dataclass(frozen=True)
class Found:
    """``kind``: urdf or mjcf; links parents first, joints in the order of the links that they move."""

    kind: str
    file: Path
    name: str
    links: tuple[FoundLink, ...]
    joints: tuple[FoundJoint, ...]
    fixed: bool
    notes: tuple[str, ...] = field(default=())


def read_model(path: Path) -> Found:
    """Read a model file. Raises RobotError naming the file, and the joint or link that cannot be used."""
    try:
        root = ET.parse(path).getroot()
    except OSError as error:
        raise RobotError(path, "", None, f"cannot be read: {error.strerror}") from None
    except ET.ParseError as error:
        raise RobotError(path, "", None, f"no XML: {error}") from None
    if root.tag == "robot":
        return _urdf(path, root)
    if root.tag == "mujoco":
        return _mjcf(path)
    raise RobotError(path, root.tag, None, "is neither a URDF (<robot>) nor an MJCF (<mujoco>)")


# --- URDF


def _numbers(path: Path, where: str, text: str | None, default: tuple[float, ...]) -> tuple[float, ...]:
    if text is None:
        return default
    try:
        values = tuple(float(x) for x in text.split())
    except ValueError:
        values = ()
    if len(values) != len(default) or not all(map(math.isfinite, values)):
        raise RobotError(path, where, text, f"must be {len(default)} finite number(s)")
    return values


def _triple(values: tuple[float, ...]) -> Triple:
    return values[0], values[1], values[2]


def _pose(path: Path, where: str, element: ET.Element | None) -> tuple[Triple, Triple]:
    origin = element.find("origin") if element is not None else None
    if origin is None:
        return ZERO, ZERO
    return (_triple(_numbers(path, f"{where}.origin.xyz", origin.get("xyz"), ZERO)),
            _triple(_numbers(path, f"{where}.origin.rpy", origin.get("rpy"), ZERO)))


def _urdf(path: Path, root: ET.Element) -> Found:
    links = {e.get("name", ""): e for e in root.findall("link")}
    by_parent: dict[str, list[ET.Element]] = {}
    children = set()
    for element in root.findall("joint"):
        name = element.get("name", "")
        ends = [(element.find(tag).get("link", "") if element.find(tag) is not None else "")  # type: ignore[union-attr]
                for tag in ("parent", "child")]
        for tag, link in zip(("parent", "child"), ends, strict=True):
            if link not in links:
                raise RobotError(path, f"joint '{name}'.{tag}", link, "no such link")
        by_parent.setdefault(ends[0], []).append(element)
        if ends[1] in children:
            raise RobotError(path, f"joint '{name}'.child", ends[1], "this link has two parents")
        children.add(ends[1])
    roots = [n for n in links if n not in children]
    if len(roots) != 1:
        raise RobotError(path, "link", roots, "a robot is one tree with one root link")
    out_links: list[FoundLink] = []
    out_joints: list[FoundJoint] = []
    notes: list[str] = []
    start, fixed = _floating_root(path, roots[0], by_parent)
    stack: list[tuple[str, str | None, ET.Element | None]] = [(start, None, None)]
    while stack:
        link, parent, via = stack.pop()
        joint = _urdf_joint(path, via, notes) if via is not None else None
        xyz, rpy = _pose(path, f"joint '{via.get('name')}'", via) if via is not None else (ZERO, ZERO)
        if joint is not None:
            out_joints.append(joint)
        mass, com, inertia = _urdf_inertia(path, link, links[link])
        out_links.append(FoundLink(link, parent, xyz, rpy, joint.name if joint else None, mass, com, inertia))
        for element in reversed(by_parent.get(link, [])):
            child = element.find("child")
            stack.append((child.get("link", "") if child is not None else "", link, element))
    lost = set(links) - {link.name for link in out_links} - set(roots)
    if lost:
        raise RobotError(path, "link", sorted(lost), f"a robot is one tree; no joint leads here from {start}")
    return Found("urdf", path, root.get("name", path.stem), tuple(out_links), tuple(out_joints), fixed, tuple(notes))


def _floating_root(path: Path, root: str, by_parent: dict[str, list[ET.Element]]) -> tuple[str, bool]:
    """The robot's own first link, and whether it is bolted to the world. A root named world says it itself."""
    joints = by_parent.get(root, [])
    if len(joints) == 1 and joints[0].get("type") == "floating":
        return joints[0].find("child").get("link", ""), False  # type: ignore[union-attr]
    return root, root == "world"


def _urdf_joint(path: Path, element: ET.Element, notes: list[str]) -> FoundJoint | None:
    name, kind = element.get("name", ""), element.get("type", "")
    where = f"joint '{name}'"
    if kind == "fixed":
        return None
    if kind not in ("revolute", "continuous", "prismatic"):
        raise RobotError(path, f"{where}.type", kind, "only revolute, continuous, prismatic and fixed joints are known")
    if element.find("mimic") is not None:
        notes.append(f"{name} mimics another joint; here it stands for itself")
    axis_element = element.find("axis")
    axis = np.array(_numbers(path, f"{where}.axis", axis_element.get("xyz") if axis_element is not None else None,
                             (1.0, 0.0, 0.0)))
    if not np.linalg.norm(axis) > 1e-6:
        raise RobotError(path, f"{where}.axis", axis.tolist(), "has no direction")
    axis = axis / np.linalg.norm(axis)
    limit, dynamics = element.find("limit"), element.find("dynamics")

    def value(of: ET.Element | None, key: str) -> float | None:
        if of is None or of.get(key) is None:
            return None
        return _numbers(path, f"{where}.{key}", of.get(key), (0.0,))[0]

    bounded = kind != "continuous"
    return FoundJoint(name, "prismatic" if kind == "prismatic" else "revolute", _triple(tuple(axis.tolist())),
                      value(limit, "lower") if bounded else None, value(limit, "upper") if bounded else None,
                      value(limit, "effort"), value(limit, "velocity"), None, value(dynamics, "damping"),
                      value(dynamics, "friction"))


def _urdf_inertia(path: Path, link: str, element: ET.Element) -> tuple[float, Triple, tuple[float, ...]]:
    block = element.find("inertial")
    mass_element = block.find("mass") if block is not None else None
    inertia_element = block.find("inertia") if block is not None else None
    if mass_element is None or inertia_element is None:
        return 0.0, ZERO, (0.0,) * 6
    where = f"link '{link}'"
    mass = _numbers(path, f"{where}.mass", mass_element.get("value"), (0.0,))[0]
    com, rpy = _pose(path, where, block)
    xx, xy, xz, yy, yz, zz = (_numbers(path, f"{where}.{k}", inertia_element.get(k), (0.0,))[0]
                              for k in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz"))
    rotation = rpy_matrix(rpy)
    return mass, com, six(rotation @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ rotation.T)


def six(matrix: Array) -> tuple[float, ...]:
    """xx xy xz yy yz zz of a symmetric matrix (3, 3)."""
    return tuple(float(matrix[i, j]) for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))


# --- MJCF


def _mjcf(path: Path) -> Found:
    try:
        model = mujoco.MjSpec.from_file(str(path)).compile()
    except (ValueError, RuntimeError) as error:
        raise RobotError(path, "", None, " ".join(str(error).split())) from None
    roots = [i for i in range(1, model.nbody) if model.body_parentid[i] == 0
             and (model.body_jntnum[i] or np.any(model.body_parentid == i))]
    if len(roots) != 1:
        raise RobotError(path, "body", [model.body(i).name for i in roots], "a robot is one tree with one root body")
    links, joints = [], []
    inside = {roots[0]}
    for i in range(roots[0], model.nbody):
        if i not in inside and int(model.body_parentid[i]) not in inside:
            continue
        inside.add(i)
        own = [j for j in range(model.body_jntadr[i], model.body_jntadr[i] + model.body_jntnum[i])
               if model.jnt_type[j] != mujoco.mjtJoint.mjJNT_FREE]
        name = model.body(i).name
        if len(own) > 1:
            raise RobotError(path, f"body '{name}'", len(own), "a link is moved by one joint; split this body")
        joint = _mjcf_joint(path, model, own[0]) if own else None
        if joint is not None:
            joints.append(joint)
        links.append(_mjcf_link(model, i, i == roots[0], joint))
    first = model.body_jntadr[roots[0]]
    free = bool(model.body_jntnum[roots[0]]) and model.jnt_type[first] == mujoco.mjtJoint.mjJNT_FREE
    title = ET.parse(path).getroot().get("model", path.stem)
    return Found("mjcf", path, title, tuple(links), tuple(joints), not free)


def _mjcf_link(model: mujoco.MjModel, i: int, is_root: bool, joint: FoundJoint | None) -> FoundLink:
    rotation, frame = np.zeros(9), np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.body_iquat[i])
    mujoco.mju_quat2Mat(frame, model.body_quat[i])
    turn = rotation.reshape(3, 3)
    pose = (ZERO, ZERO) if is_root else (_triple(tuple(model.body_pos[i].tolist())), matrix_rpy(frame.reshape(3, 3)))
    return FoundLink(model.body(i).name, None if is_root else model.body(model.body_parentid[i]).name, *pose,
                     joint.name if joint else None, float(model.body_mass[i]),
                     _triple(tuple(model.body_ipos[i].tolist())), six(turn @ np.diag(model.body_inertia[i]) @ turn.T))


def _mjcf_joint(path: Path, model: mujoco.MjModel, j: int) -> FoundJoint:
    kinds = {int(mujoco.mjtJoint.mjJNT_HINGE): "revolute", int(mujoco.mjtJoint.mjJNT_SLIDE): "prismatic"}
    name, kind = model.joint(j).name, kinds.get(int(model.jnt_type[j]))
    if kind is None:
        raise RobotError(path, f"joint '{name}'", "ball", "only hinge and slide joints are known")
    if np.any(model.jnt_pos[j] != 0.0):
        raise RobotError(path, f"joint '{name}'.pos", model.jnt_pos[j].tolist(), "must lie in its body's origin")
    dof = model.jnt_dofadr[j]
    lower, upper = model.jnt_range[j].tolist() if model.jnt_limited[j] else (None, None)
    effort = float(model.jnt_actfrcrange[j][1]) if model.jnt_actfrclimited[j] else None
    kp = kd = None
    for a in range(model.nu):
        if model.actuator_trnid[a][0] != j or model.actuator_trntype[a] != mujoco.mjtTrn.mjTRN_JOINT:
            continue
        gear = float(abs(model.actuator_gear[a][0])) or 1.0
        position = model.actuator_biastype[a] == mujoco.mjtBias.mjBIAS_AFFINE
        if position:
            kp, kd = float(-model.actuator_biasprm[a][1]), float(-model.actuator_biasprm[a][2])
        if effort is None and model.actuator_forcelimited[a]:
            effort = float(model.actuator_forcerange[a][1]) * gear
        elif effort is None and model.actuator_ctrllimited[a] and not position:
            effort = float(model.actuator_ctrlrange[a][1]) * gear
    return FoundJoint(name, kind, _triple(tuple(model.jnt_axis[j].tolist())), lower, upper, effort, None,
                      float(model.dof_armature[dof]) or None, float(model.dof_damping[dof].item()) or None,
                      float(model.dof_frictionloss[dof]) or None, kp or None, kd or None)


def matrix_rpy(rotation: Array) -> Triple:
    """Fixed-axis roll, pitch, yaw in rad of a rotation matrix (3, 3); yaw is 0 where pitch is +-90 degrees."""
    across = math.hypot(rotation[0, 0], rotation[1, 0])
    pitch = math.atan2(-rotation[2, 0], across)
    if across > 1e-9:
        return (math.atan2(rotation[2, 1], rotation[2, 2]), pitch, math.atan2(rotation[1, 0], rotation[0, 0]))
    return (math.atan2(-rotation[1, 2], rotation[1, 1]), pitch, 0.0)
