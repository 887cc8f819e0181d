"""RobotModel -> MuJoCo: the one place where a robot file becomes a simulated body.

Names in the model: bodies are the links, joints and motors are the joints (motors in robot order, ``ctrl`` =
torque in N m clipped to effort), ``base_free`` the floating base, sites ``imu_<name>``, ``foot_<name>``,
``hand_<side>``, geoms ``<link>_<i>`` and ``foot_<name>_<k>``, camera ``<camera name>``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import mujoco
import numpy as np

from humanoid_core.robot import RobotError
from humanoid_core.robot_model import Array, BodySpec, GeomSpec, RobotModel
from humanoid_core.robot_schema import nearest

#: Simulation step in s.
TIMESTEP = 0.002
#: Collision bits: floor touches feet, links, things; links touch links, things; feet only the floor.
BIT_FLOOR, BIT_ROBOT, BIT_THING = 1, 2, 4


def rpy_matrix(rpy: Sequence[float] | Array) -> Array:
    """Rotation (3, 3) of fixed-axis roll, pitch, yaw in rad (URDF): Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def quat_matrix(q: Array) -> Array:
    """Rotation matrix (3, 3) of a unit quaternion (4,)."""
    w, x, y, z = q.tolist()
    return np.array(((1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
                     (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
                     (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y))))


def matrix_quat(rotation: Array) -> Array:
    """Unit quaternion w x y z of a rotation matrix (3, 3)."""
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.ascontiguousarray(rotation, dtype=np.float64).ravel())
    return quat


def rpy_quat(rpy: Sequence[float] | Array) -> Array:
    """Unit quaternion w x y z of fixed-axis roll, pitch, yaw in rad."""
    return matrix_quat(rpy_matrix(rpy))


#: From a camera frame with x along the view and z up to MuJoCo's (looks along -z, y up).
VIEW_TO_MUJOCO = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def build_spec(robot: RobotModel, *, floor: bool = False) -> mujoco.MjSpec:
    """Return an editable MuJoCo specification of the robot, at the world origin, floor plane at z = 0 on
    request."""
    spec = _spec_from_file(robot) if robot.model_file else _spec_from_bodies(robot)
    spec.modelname = robot.name
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    _free_base(spec, robot)
    _joints(spec, robot)
    _frames(spec, robot)
    _feet(spec, robot)
    if floor:
        add_floor(spec, robot.foot_friction)
    return spec


def build_model(robot: RobotModel, *, floor: bool = False) -> mujoco.MjModel:
    """Compile ``build_spec``."""
    return build_spec(robot, floor=floor).compile()


def add_floor(spec: mujoco.MjSpec, friction: float = 0.6) -> None:
    """Add the plane z = 0."""
    floor = spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0.0, 0.0, 0.05])
    floor.contype, floor.conaffinity = BIT_FLOOR, 0
    floor.friction = [friction, 0.005, 0.0001]
    floor.rgba = [0.55, 0.57, 0.6, 1.0]


def standing_height(robot: RobotModel, model: mujoco.MjModel, q: Array) -> float:
    """Height of the base above the floor, in m, at which the lowest foot sphere touches it in posture ``q``
    (n,)."""
    data = mujoco.MjData(model)
    for name, value in zip(robot.joint_names, q, strict=True):
        data.joint(name).qpos[0] = value
    mujoco.mj_kinematics(model, data)
    base = float(data.body(robot.base_link).xpos[2])
    feet = [data.geom(f"foot_{f.name}_{k}").xpos[2] for f in robot.feet for k in range(len(f.points))]
    return base - min(feet) + robot.foot_radius if feet else base


def _spec_from_bodies(robot: RobotModel) -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    made = {"": spec.worldbody}
    kinds = dict(zip(robot.joint_names, zip(robot.joint_kinds, robot.axes, strict=True), strict=True))
    for body in robot.bodies:
        b = made[body.parent or ""].add_body(name=body.link, pos=list(body.xyz), quat=rpy_quat(body.rpy))
        made[body.link] = b
        if body.mass > 0.0:
            b.mass, b.ipos = body.mass, list(body.com)
            xx, xy, xz, yy, yz, zz = body.inertia
            b.fullinertia = [xx, yy, zz, xy, xz, yz]
            b.explicitinertial = True
        if body.joint is not None:
            kind, axis = kinds[body.joint]
            hinge = kind == "revolute"
            b.add_joint(
                name=body.joint,
                type=mujoco.mjtJoint.mjJNT_HINGE if hinge else mujoco.mjtJoint.mjJNT_SLIDE,
                axis=list(axis or (0.0, 0.0, 1.0)),
            )
        for i, geom in enumerate(body.geoms):
            _add_geom(b, f"{body.link}_{i}", geom)
    _exclude(spec, robot)
    return spec


def _add_geom(body: mujoco.MjsBody, name: str, spec: GeomSpec) -> None:
    """Add one primitive; shapes carry no mass, the inertial block does."""
    geom = body.add_geom(name=name, type=getattr(mujoco.mjtGeom, f"mjGEOM_{spec.shape.upper()}"))
    if spec.fromto is not None:
        geom.fromto = list(spec.fromto)
    else:
        geom.pos, geom.quat = list(spec.xyz), rpy_quat(spec.rpy)
    if spec.half is not None:
        geom.size = list(spec.half)
    else:
        geom.size = [spec.radius or 0.0, 0.0, 0.0]
    geom.rgba = list(spec.rgba)
    geom.mass = 0.0
    geom.contype = BIT_ROBOT if spec.collide else 0
    geom.conaffinity = BIT_FLOOR | BIT_ROBOT | BIT_THING if spec.collide else 0


def moving_link(bodies: dict[str, BodySpec], link: str) -> str:
    """The link that a fixed link is rigidly part of."""
    body = bodies[link]
    while body.joint is None and body.parent is not None:
        body = bodies[body.parent]
    return body.link


def _exclude(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    """Links up to two joints apart, and those that the file names, never collide: their shapes meet at the
    joint."""
    bodies = {b.link: b for b in robot.bodies}
    solid = [b.link for b in robot.bodies if any(g.collide for g in b.geoms)]

    def chain(link: str) -> list[str]:
        path = [moving_link(bodies, link)]
        while (parent := bodies[path[-1]].parent) is not None:
            path.append(moving_link(bodies, parent))
        return path

    chains = {link: chain(link) for link in solid}
    named = {frozenset(pair) for pair in robot.collision_exclude}
    for i, a in enumerate(solid):
        for b in solid[i + 1 :]:
            up, down = chains[a], chains[b]
            shared = len(set(up) & set(down))
            apart = len(up) + len(down) - 2 * shared
            if 0 < apart <= 2 or frozenset((a, b)) in named:
                spec.add_exclude(name=f"{a}-{b}", bodyname1=a, bodyname2=b)


def _spec_from_file(robot: RobotModel) -> mujoco.MjSpec:
    """Load MJCF or URDF; joints and links that the robot file names must exist there, and the other way
    round."""
    path = str(robot.model_file)
    try:
        spec = mujoco.MjSpec.from_file(path)
    except (ValueError, RuntimeError) as error:
        raise RobotError(robot.file, "model.file", path, " ".join(str(error).split())) from None
    if robot.model_kind == "urdf":
        spec.compiler.fusestatic = False
    joints = [j.name for j in spec.joints if j.type != mujoco.mjtJoint.mjJNT_FREE]
    for name in robot.joint_names:
        if name not in joints:
            hint = nearest(name, joints).replace("key", "joint")
            raise RobotError(robot.file, f"joints.table.{name}", name, f"no such joint in {path}; {hint}")
    for name in joints:
        if name not in robot.joint_names:
            text = f"{path} has this joint, the robot file does not; add it with its limits"
            raise RobotError(robot.file, "joints.table", name, text)
    links = [b.name for b in spec.bodies if b.name]
    wanted = [("base.link", robot.base_link)]
    wanted += [(f"hands.{s}.link", h.link) for s, h in robot.hands.items()]
    wanted += [(f"imus.{i.name}.link", i.link) for i in robot.imus]
    wanted += [(f"feet.{f.name}.link", f.link) for f in robot.feet]
    wanted += [("camera.link", robot.camera.link)] if robot.camera else []
    for key, link in wanted:
        if link not in links:
            hint = nearest(link, links).replace("key", "link")
            raise RobotError(robot.file, key, link, f"no such link in {path}; {hint}")
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for geom in spec.geoms:
        if geom.contype or geom.conaffinity:
            geom.contype, geom.conaffinity = BIT_ROBOT, BIT_FLOOR | BIT_ROBOT | BIT_THING
    if robot.base_fixed:
        _exclude_base(spec, robot.base_link)
    return spec


def _exclude_base(spec: mujoco.MjSpec, base: str) -> None:
    """Links on a fixed base do not collide with it: MuJoCo leaves out neighbours only when both can move."""
    known = {frozenset((e.bodyname1, e.bodyname2)) for e in spec.excludes}
    for child in spec.body(base).bodies:
        if child.name and frozenset((base, child.name)) not in known:
            spec.add_exclude(name=f"{base}-{child.name}", bodyname1=base, bodyname2=child.name)


def _free_base(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    base = spec.body(robot.base_link)
    free = [j for j in base.joints if j.type == mujoco.mjtJoint.mjJNT_FREE]
    if robot.base_fixed:
        for joint in free:
            spec.delete(joint)
    elif free:
        free[0].name = "base_free"
    else:
        base.add_freejoint(name="base_free")


def _joints(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    """Limits, rotor inertia and friction from the robot file; one motor per joint, in robot order."""
    for i, name in enumerate(robot.joint_names):
        joint = spec.joint(name)
        joint.range = [robot.lower[i], robot.upper[i]]
        if not spec.compiler.degree:
            pass
        elif joint.type == mujoco.mjtJoint.mjJNT_HINGE:
            joint.range = [math.degrees(robot.lower[i]), math.degrees(robot.upper[i])]
        joint.limited = mujoco.mjtLimited.mjLIMITED_TRUE
        joint.actfrcrange = [-robot.effort[i], robot.effort[i]]  # a URDF brings its own
        joint.armature = robot.armature[i]
        joint.damping = [robot.damping[i], 0.0, 0.0]
        joint.frictionloss = robot.frictionloss[i]
        motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_motor()
        motor.ctrllimited = True
        motor.ctrlrange = [-robot.effort[i], robot.effort[i]]


def _frames(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    """Sites of IMUs and hands, and the camera."""
    for imu in robot.imus:
        spec.body(imu.link).add_site(name=f"imu_{imu.name}", pos=imu.xyz, quat=rpy_quat(imu.rpy), size=[0.005] * 3)
    for side, hand in robot.hands.items():
        spec.body(hand.link).add_site(name=f"hand_{side}", pos=hand.point, size=[0.005] * 3, group=4)
    camera = robot.camera
    if camera is not None:
        spec.body(camera.link).add_camera(
            name=camera.name,
            pos=camera.xyz,
            quat=matrix_quat(rpy_matrix(camera.rpy) @ VIEW_TO_MUJOCO),
            fovy=math.degrees(camera.fovy),
        )


def _feet(spec: mujoco.MjSpec, robot: RobotModel) -> None:
    """Contact spheres; the other shapes of a foot do not touch the floor, so that these alone carry it."""
    for foot in robot.feet:
        body = spec.body(foot.link)
        for geom in body.geoms:
            geom.conaffinity = geom.conaffinity & ~BIT_FLOOR
        for k, point in enumerate(foot.points):
            sphere = body.add_geom(name=f"foot_{foot.name}_{k}", type=mujoco.mjtGeom.mjGEOM_SPHERE, pos=point)
            sphere.size = [robot.foot_radius, 0.0, 0.0]
            sphere.contype, sphere.conaffinity = 0, BIT_FLOOR
            sphere.friction = [robot.foot_friction, 0.005, 0.0001]
            sphere.mass = 0.0
            sphere.rgba = [0.1, 0.1, 0.1, 1.0]
        body.add_site(name=f"foot_{foot.name}", pos=foot.points.mean(axis=0), size=[0.005] * 3)
