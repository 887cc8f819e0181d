"""A robot for Gazebo, from its robot file: URDF with contacts, sensors and ros2_control, and a world around it.

The URDF is the one of ``humanoid_core/urdf``; this adds what Gazebo and gz_ros2_control want to know. gz topics have
the names of the suite, so that config/bridges/gazebo.yaml is one list. SI units, radians.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import mujoco
import numpy as np
import yaml

from humanoid_core.environment import Obstacle
from humanoid_core.physics import build_model, standing_height
from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.robot_read import matrix_rpy
from humanoid_core.urdf import urdf

#: How often ros2_control reads and writes, Hz: joint_states has this rate.
UPDATE_RATE = 200
#: Controllers that the launch file starts.
BROADCASTER, POSITION = "joint_state_broadcaster", "position_controller"
#: Systems of gz-sim that sensors, contacts and physics need.
SYSTEMS = (("gz-sim-physics-system", "gz::sim::systems::Physics"),
           ("gz-sim-user-commands-system", "gz::sim::systems::UserCommands"),
           ("gz-sim-scene-broadcaster-system", "gz::sim::systems::SceneBroadcaster"),
           ("gz-sim-imu-system", "gz::sim::systems::Imu"),
           ("gz-sim-contact-system", "gz::sim::systems::Contact"),
           ("gz-sim-forcetorque-system", "gz::sim::systems::ForceTorque"))


def gazebo_urdf(robot: RobotModel, controllers_file: str, gantry: bool = True) -> str:
    """URDF for ros_gz_sim's ``create``. ``controllers_file``: path of what ``controllers`` says, as YAML;
    ``gantry``: the base hangs where it stands (Gazebo has no onboard controller that balances)."""
    root = Xml.fromstring(urdf(robot))
    model = build_model(robot)
    _contacts(root, robot, model)
    if gantry or robot.base_fixed:
        _gantry(root, robot, model)
    for imu in robot.imus:
        _imu(root, robot, imu.name)
    for foot in robot.feet:
        _foot(root, robot, foot.name)
    if robot.camera is not None:
        _camera(root, robot)
    _control(root, robot, controllers_file)
    Xml.indent(root)
    return '<?xml version="1.0"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _text(*values: float) -> str:
    return " ".join(repr(round(float(v), 12) + 0.0) for v in values)


def _sub(parent: Xml.Element, tag: str, text: str = "", **attributes: str) -> Xml.Element:
    element = Xml.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def _contacts(root: Xml.Element, robot: RobotModel, model: mujoco.MjModel) -> None:
    """What touches in MuJoCo touches here: shapes that collide, and on a foot its contact spheres alone."""
    links = {e.get("name"): e for e in root.findall("link")}
    feet = {f.link for f in robot.feet}
    for g in range(model.ngeom):
        link = model.body(int(model.geom_bodyid[g])).name
        sole = model.geom(g).name.startswith("foot_")
        if link not in links or not (model.geom_contype[g] or model.geom_conaffinity[g]) or (link in feet) != sole:
            continue
        shape = _geometry(model, g)
        if shape is None:
            continue
        collision = _sub(links[link], "collision", name=model.geom(g).name or f"{link}_{g}")
        _sub(collision, "origin", xyz=_text(*model.geom_pos[g]), rpy=_text(*_rpy(model.geom_quat[g])))
        _sub(collision, "geometry").append(shape)
    for link in sorted(feet):
        surface = _sub(root, "gazebo", reference=link)
        for tag in ("mu1", "mu2"):
            _sub(surface, tag, _text(robot.foot_friction))


def _geometry(model: mujoco.MjModel, g: int) -> Xml.Element | None:
    kind, size = mujoco.mjtGeom(int(model.geom_type[g])), model.geom_size[g]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return Xml.Element("box", size=_text(*(2.0 * size)))
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return Xml.Element("sphere", radius=_text(size[0]))
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return Xml.Element("cylinder", radius=_text(size[0]), length=_text(2.0 * size[1]))
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:  # a cylinder over the whole length: URDF has no capsule
        return Xml.Element("cylinder", radius=_text(size[0]), length=_text(2.0 * (size[1] + size[0])))
    return None


def _rpy(quat: Array) -> tuple[float, float, float]:
    out = np.zeros(9)
    mujoco.mju_quat2Mat(out, np.asarray(quat, dtype=np.float64))
    return matrix_rpy(out.reshape(3, 3))


def _gantry(root: Xml.Element, robot: RobotModel, model: mujoco.MjModel) -> None:
    height = standing_height(robot, model, robot.rest) if robot.feet else 0.0
    root.insert(0, Xml.Element("link", name="world"))
    joint = _sub(root, "joint", name="gantry", type="fixed")
    _sub(joint, "origin", xyz=_text(0.0, 0.0, height), rpy="0.0 0.0 0.0")
    _sub(joint, "parent", link="world")
    _sub(joint, "child", link=robot.base_link)


def _sensor(root: Xml.Element, link: str, name: str, kind: str, rate: float, topic: str, frame: str,
            pose: tuple[Array, Array] | None = None) -> Xml.Element:
    """``link``: a link, or the joint whose force is measured."""
    sensor = _sub(_sub(root, "gazebo", reference=link), "sensor", name=name, type=kind)
    if pose is not None:
        _sub(sensor, "pose", _text(*pose[0], *pose[1]))
    _sub(sensor, "always_on", "true")
    _sub(sensor, "update_rate", _text(rate))
    _sub(sensor, "topic", topic)
    _sub(sensor, "gz_frame_id", frame)
    return sensor


def _rate(robot: RobotModel, topic: str, usual: float) -> float:
    source = robot.sources.get(topic)
    return source.rate if source is not None else usual


def _imu(root: Xml.Element, robot: RobotModel, name: str) -> None:
    imu = next(i for i in robot.imus if i.name == name)
    _sensor(root, imu.link, f"imu_{name}", "imu", _rate(robot, imu.topic, UPDATE_RATE), imu.topic,
            f"imu_{name}", (imu.xyz, imu.rpy))


def _foot(root: Xml.Element, robot: RobotModel, name: str) -> None:
    """The force through the joint above the sole, in the sole's frame: the ground's less the weight of the foot."""
    foot = next(f for f in robot.feet if f.name == name)
    joint = next((e.get("name", "") for e in root.findall("joint")
                  if (child := e.find("child")) is not None and child.get("link") == foot.link), "")
    sensor = _sensor(root, joint, f"foot_{name}", "force_torque", _rate(robot, foot.topic, UPDATE_RATE), foot.topic,
                     foot.link)
    block = _sub(sensor, "force_torque")
    _sub(block, "frame", "child")
    _sub(block, "measure_direction", "child_to_parent")


def _camera(root: Xml.Element, robot: RobotModel) -> None:
    camera = robot.camera
    assert camera is not None
    sensor = _sensor(root, camera.link, f"{camera.name}_camera", "rgbd_camera", camera.rate, "camera/head",
                     f"{camera.name}_camera_optical", (camera.xyz, camera.rpy))
    block = _sub(sensor, "camera")
    wide = 2.0 * math.atan(math.tan(camera.fovy / 2.0) * camera.width / camera.height)
    _sub(block, "horizontal_fov", _text(wide))
    image = _sub(block, "image")
    _sub(image, "width", str(camera.width))
    _sub(image, "height", str(camera.height))
    _sub(image, "format", "R8G8B8")
    clip = _sub(block, "clip")
    _sub(clip, "near", _text(camera.near))
    _sub(clip, "far", _text(camera.far))


def _control(root: Xml.Element, robot: RobotModel, controllers_file: str) -> None:
    """Every joint by position, from its place in ``rest``; joints without a controller are held there."""
    system = _sub(root, "ros2_control", name=f"{robot.name}_system", type="system")
    _sub(_sub(system, "hardware"), "plugin", "gz_ros2_control/GazeboSimSystem")
    for i, name in enumerate(robot.joint_names):
        joint = _sub(system, "joint", name=name)
        command = _sub(joint, "command_interface", name="position")
        _sub(command, "param", _text(robot.lower[i]), name="min")
        _sub(command, "param", _text(robot.upper[i]), name="max")
        position = _sub(joint, "state_interface", name="position")
        _sub(position, "param", _text(robot.rest[i]), name="initial_value")
        for kind in ("velocity", "effort"):
            _sub(joint, "state_interface", name=kind)
    plugin = _sub(_sub(root, "gazebo"), "plugin", filename="gz_ros2_control-system",
                  name="gz_ros2_control::GazeboSimROS2ControlPlugin")
    _sub(plugin, "parameters", controllers_file)
    _sub(plugin, "hold_joints", "true")


def controllers(robot: RobotModel, simulated: bool = False) -> dict[str, Any]:
    """Parameters of controller_manager and its controllers: joint states out, set-points of ``upper_body`` in.
    ``simulated``: on the simulator's clock."""
    clock = {"use_sim_time": True} if simulated else {}
    upper = [robot.joint_names[i] for i in robot.groups["upper_body"]]
    return {
        "controller_manager": {"ros__parameters": {
            "update_rate": UPDATE_RATE, **clock,
            BROADCASTER: {"type": "joint_state_broadcaster/JointStateBroadcaster"},
            POSITION: {"type": "position_controllers/JointGroupPositionController"}}},
        BROADCASTER: {"ros__parameters": {**clock, "joints": list(robot.joint_names),
                                          "interfaces": ["position", "velocity", "effort"]}},
        POSITION: {"ros__parameters": {**clock, "joints": upper}},
    }


def world_sdf(environment: tuple[Obstacle, ...] = (), step: float = 0.0025) -> str:
    """A world with floor, light and what stands around, obstacles of the environment file as static models."""
    root = Xml.Element("sdf", version="1.9")
    world = _sub(root, "world", name="humanoid_twin")
    physics = _sub(world, "physics", name="step", type="ignored")
    _sub(physics, "max_step_size", _text(step))
    _sub(physics, "real_time_factor", "1.0")
    for filename, name in SYSTEMS:
        _sub(world, "plugin", filename=filename, name=name)
    sensors = _sub(world, "plugin", filename="gz-sim-sensors-system", name="gz::sim::systems::Sensors")
    _sub(sensors, "render_engine", "ogre2")
    sun = _sub(world, "light", name="sun", type="directional")
    _sub(sun, "pose", "0 0 10 0 0 0")
    _sub(sun, "direction", "-0.4 0.2 -0.9")
    plane = Xml.Element("plane")
    _sub(plane, "normal", "0 0 1")
    _sub(plane, "size", "20 20")
    _static(world, "floor", "0 0 0 0 0 0", plane)
    for o in environment:
        box = Xml.Element(o.shape)
        pose = _text(*o.xyz, *o.rpy)
        if o.half is not None:
            _sub(box, "size", _text(*(2.0 * h for h in o.half)))
        else:
            _sub(box, "radius", _text(o.radius or 0.0))
            if o.fromto is not None:
                ends = np.array(o.fromto).reshape(2, 3)
                _sub(box, "length", _text(float(np.linalg.norm(ends[1] - ends[0]))))
                pose = _text(*ends.mean(axis=0), *_along(ends[1] - ends[0]))
        _static(world, o.name, pose, box)
    Xml.indent(root)
    return '<?xml version="1.0"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def write_files(folder: Path, robot: RobotModel, environment: tuple[Obstacle, ...], gantry: bool) -> tuple[Path, str]:
    """``world.sdf``, ``controllers.yaml`` and the robot's URDF in a folder; the world's file and the URDF's text."""
    world, parameters = folder / "world.sdf", folder / "controllers.yaml"
    world.write_text(world_sdf(environment), encoding="utf-8")
    parameters.write_text(yaml.safe_dump(controllers(robot, simulated=True), sort_keys=False), encoding="utf-8")
    text = gazebo_urdf(robot, str(parameters), gantry)
    (folder / f"{robot.name}.urdf").write_text(text, encoding="utf-8")
    return world, text


def _along(direction: Array) -> tuple[float, float, float]:
    """Roll, pitch, yaw that turn the z axis into a direction (3,)."""
    x, y, z = (float(v) for v in direction)
    return 0.0, math.atan2(math.hypot(x, y), z), math.atan2(y, x)


def _static(world: Xml.Element, name: str, pose: str, shape: Xml.Element) -> None:
    model = _sub(world, "model", name=name)
    _sub(model, "static", "true")
    _sub(model, "pose", pose)
    link = _sub(model, "link", name="link")
    for kind in ("collision", "visual"):
        _sub(_sub(link, kind, name=kind), "geometry").append(shape)
