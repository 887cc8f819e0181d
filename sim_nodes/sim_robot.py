"""sim_robot: the simulated robot as a ROS node.

Three threads: the physics with its commands and sensors (200 ticks a second on the monotonic clock), the camera, and
the executor (services, diagnostics). A lock guards the plant; nobody holds it for longer than a tick.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from humanoid_twin.srv import Push, SetFault
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo

from humanoid_core.reasons import Refusals
from humanoid_core.robot import RobotError, load_robot
from humanoid_core.robot_model import CameraSpec, RobotModel
from humanoid_core.sender import OneGate
from humanoid_core.timing import MS, NS, Metronome
from humanoid_core.topics import TOPICS
from humanoid_ros.convert import stamped, to_msg, xyz
from humanoid_ros.inbox import Inbox
from humanoid_ros.node import ERROR, OK, WARN, HumanoidNode, run
from humanoid_ros.params import ParameterError, declare
from humanoid_ros.realtime import PREFERRED
from sim_nodes.camera_thread import CameraThread
from sim_nodes.core.arrivals import Arrivals
from sim_nodes.core.camera import Picture
from sim_nodes.core.fault_list import nearest
from sim_nodes.core.faults import FaultBoard, FaultError
from sim_nodes.core.pace import EvenStamps, Pace
from sim_nodes.core.plant import Plant
from sim_nodes.core.scene import SceneError
from sim_nodes.core.sensors import IMAGE, Sensors, rate_of, topics_of
from sim_nodes.core.truth import Truth
from sim_nodes.params import TICK_NS, SimParams

INFO = "camera/head/camera_info"
#: Simulated time starts here: a stamp of zero means "not filled in".
CLOCK_START = NS


class SimRobot(HumanoidNode):
    """Publishes every raw topic, follows robot/joint_command and robot/mode, and can be pushed and broken."""

    def __init__(self) -> None:
        super().__init__("sim_robot")
        p = self.params = declare(self, SimParams)
        self.priority = PREFERRED if p.mode == "real_time" else ""

    def configure(self) -> None:
        """Build the plant and everything around it."""
        p = self.params
        self._steps = p.steps_per_tick
        robot = self.robot = load_robot(p.robot)
        topics = topics_of(robot)
        check_topics(robot, topics)
        try:
            self.plant = Plant(robot, p.plant())
        except SceneError as error:
            raise ParameterError(f"sim_robot: {error}") from None
        self.truth = Truth(self.plant)
        self.faults = FaultBoard(robot, topics, p.seed)
        self.sensors = Sensors(self.plant, self.faults, p.sensors())
        self.refused = Refusals()
        self._arrivals = Arrivals()
        self._lock = threading.Lock()
        self._pace = Pace(TICK_NS)
        self._stamps = EvenStamps(TICK_NS)
        self._next_truth_ns = self._next_picture_ns = 0
        self._told = self.plant.active  # a fallback is told at once
        self._frames = frames(robot)
        # /clock is not a topic of one robot, so it stands outside the table and outside a namespace.
        # Reliable serves readers of both kinds.
        self._sim_clock = self.create_publisher(Clock, "/clock", 1) if p.own_clock else None
        self.advertise(*topics, "sim/truth")
        self._camera = self._open_camera()
        self._commands = Inbox(self, "robot/joint_command", depth=4)
        self._modes = Inbox(self, "robot/mode", depth=16)  # the gate's among those of somebody who shouts
        self._gate = OneGate()
        self.create_service(Push, "sim/push", self._on_push)
        self.create_service(SetFault, "sim/set_fault", self._on_fault)
        self.diagnostics(self._report)
        free_running = p.mode == "stepped" and p.speed == 0.0
        speed = p.speed if p.mode == "stepped" and p.speed > 0.0 else 1.0
        self._step_ns = round(TICK_NS / speed) // self._steps  # on the monotonic clock
        self._loop = self.steady_loop(NS / TICK_NS * speed, self._run_free if free_running else self._run_paced)

    def _open_camera(self) -> CameraThread | None:
        spec = self.robot.camera
        self._no_pictures = "" if self.params.camera else "switched off by the parameter 'camera'"
        if spec is None:
            self._no_pictures = f"{self.robot.name} has no camera"
        if spec is None or self._no_pictures:
            self.get_logger().info(f"no pictures: {self._no_pictures}")
            return None
        self.advertise(INFO)
        self._info = camera_info(spec, self._frames[IMAGE])
        self._picture_ns = round(NS / (self.params.camera_rate or rate_of(self.robot, IMAGE)))
        camera = CameraThread(self.plant.model, spec, self._on_picture, self._on_camera_opened)
        # `work` itself waits for the next request, so this thread wakes when there is something to do. It owns the GL
        # context, so it lives as long as the camera.
        self.steady_loop(NS / TICK_NS, lambda now_ns, loop: camera.work(), while_inactive=True)
        return camera

    # --- the physics' thread

    def _run_paced(self, now_ns: int, loop: Metronome) -> None:
        self._read(now_ns)
        due = self._pace.due(loop)
        newest = loop.next_ns - loop.period_ns + self._clock_offset_ns()  # ROS time when this tick should have been
        for k in range(due):
            behind = (due - 1 - k) * loop.period_ns
            self._advance(self._stamps.next(newest - behind), loop.next_ns - 2 * loop.period_ns - behind)
        self._pace.measure(now_ns, self.plant.time_ns)

    def _clock_offset_ns(self) -> int:
        """ROS time minus monotonic time. A pause between the two reads must not put stamps into the future."""
        offset = 0
        for _ in range(3):
            before_ns, ros_ns, after_ns = time.monotonic_ns(), self.now_ns(), time.monotonic_ns()
            offset = ros_ns - after_ns
            if after_ns - before_ns < MS // 5:
                break
        return offset

    def _run_free(self, now_ns: int, loop: Metronome) -> None:
        """As fast as possible, in slices of one period so that the node can end."""
        self._pace.measure(now_ns, self.plant.time_ns)
        while time.monotonic_ns() < now_ns + 4 * MS:
            self._read(time.monotonic_ns())
            self._advance(0, time.monotonic_ns())

    def _read(self, now_ns: int) -> None:
        """What was asked of the robot since the last tick."""
        gate = self._gate
        for letter in self._commands.take(now_ns):
            command = letter.open()
            if command is None:
                self._refuse("OUT_OF_RANGE", "robot/joint_command: cannot be read")
            elif code := gate.command(letter.sender, letter.arrival_ns):
                self._refuse(code, "robot/joint_command: not from the gate that is obeyed")
            else:
                self._arrivals.add(letter.arrival_ns, command)
        for letter in self._modes.take(now_ns):
            mode = letter.open()
            if mode is None:
                self._refuse("OUT_OF_RANGE", "robot/mode: no such mode")
            elif code := gate.mode(letter.sender, letter.arrival_ns, mode):
                self._refuse(code, f"robot/mode {mode.mode.name}: not from the gate that is obeyed")
        order = gate.order(now_ns)
        if order is not None and order[0].mode != self.plant.mode:
            with self._lock:
                self.plant.set_mode(order[0].mode, order[0].reason)

    def _refuse(self, code: str, detail: str) -> None:
        self.refused.refuse(code, detail)
        self.get_logger().warning(f"refused {self.refused.last}", throttle_duration_sec=2.0)

    def _advance(self, stamp_ns: int, begun_ns: int) -> None:
        """One tick: the physics from ``begun_ns`` on, each step with the commands that had come when it began, then
        what the sensors publish of it."""
        if self._camera is not None and self.params.mode == "stepped":
            self._camera.wait(1.0)  # every picture is taken, so that a run can be repeated
        plant = self.plant
        with self._lock:
            self.faults.expire(plant.time_ns)
            self.faults.drive(plant.motors, TICK_NS / NS)
            refused = plant.refused.total
            self._arrivals.run(plant, self._steps, begun_ns, self._step_ns)
            if plant.refused.total > refused:
                self.get_logger().warning(f"command refused: {plant.refused.last}", throttle_duration_sec=2.0)
            now_ns = plant.time_ns
            if self.params.own_clock:
                stamp_ns = now_ns + CLOCK_START
            out = self.sensors.tick(now_ns, stamp_ns)
            if now_ns >= self._next_truth_ns or plant.active != self._told:
                self._next_truth_ns, self._told = now_ns + 50 * MS, plant.active
                out.append(("sim/truth", self.truth.read(self._pace.factor)))
            if self._camera is not None and now_ns >= self._next_picture_ns:
                self._next_picture_ns += self._picture_ns
                self._camera.request(plant.data.qpos, now_ns, stamp_ns)
        if self._sim_clock is not None:
            seconds, nanoseconds = divmod(stamp_ns, NS)
            message = Clock()
            message.clock.sec, message.clock.nanosec = seconds, nanoseconds
            self._sim_clock.publish(message)
        self._publish(out, stamp_ns)

    def _publish(self, out: list[tuple[str, Any]], stamp_ns: int) -> None:
        for topic, sample in out:
            message = to_msg(sample)
            if topic == "sim/truth":
                stamped(message, stamp_ns)
            message.header.frame_id = self._frames[topic]
            self.publisher(topic).publish(message)
            if topic == IMAGE:
                self._info.header.stamp = message.header.stamp
                self.publisher(INFO).publish(self._info)

    # --- the camera's thread

    def _on_picture(self, picture: Picture, taken_ns: int, stamp_ns: int) -> None:
        picture = self.sensors.develop(picture)
        with self._lock:
            out = self.sensors.pictures(picture, taken_ns, stamp_ns, self.plant.time_ns)
        self._publish(out, stamp_ns)

    def _on_camera_opened(self, why: str) -> None:
        if why:
            self._no_pictures, self._camera = why, None
            self.get_logger().error(f"no pictures: {why}")

    # --- the executor's thread

    def _on_push(self, request: Push.Request, response: Push.Response) -> Push.Response:
        try:
            with self._lock:
                self.plant.push(xyz(request.impulse), request.duration or 0.1, request.link)
            response.accepted = True
        except ValueError as error:
            response.reason = str(error)
        return response

    def _on_fault(self, request: SetFault.Request, response: SetFault.Response) -> SetFault.Response:
        try:
            with self._lock:
                if request.clear:
                    response.reason = f"{self.faults.clear(request.fault, request.target)} ended"
                else:
                    self.faults.set(request.fault, request.target, request.value, request.duration,
                                    self.plant.time_ns)
            response.accepted = True
        except FaultError as error:
            response.reason = str(error)
        self.get_logger().info(f"faults at work: {', '.join(self.faults.active()) or 'none'} {response.reason}")
        return response

    def _report(self) -> tuple[int, str, Mapping[str, object]]:
        fallen, active = self.truth.fallen(), self.faults.active()
        level, text = OK, self.plant.active.name
        if self._no_pictures and self.params.camera:
            level, text = WARN, f"no pictures: {self._no_pictures}"
        if active:
            level, text = WARN, f"faults at work: {', '.join(active)}"
        if fallen:
            level, text = ERROR, "the robot has fallen"
        refused = dict(self.plant.refused.items())
        for code, count in self.refused.items():
            refused[code] = refused.get(code, 0) + count
        return level, text, {
            "mode": self.plant.active.name, "mode reason": self.plant.reason, "pictures": self._no_pictures or "on",
            "pictures skipped": self._camera.skipped if self._camera else 0,
            "real time factor": f"{self._pace.factor:.3f}", "ticks slipped": self._pace.slipped,
            "faults": ", ".join(active), **{f"refused {code}": count for code, count in refused.items()}}


def check_topics(robot: RobotModel, topics: Mapping[str, str]) -> None:
    """Refuse a robot file that names a topic which the graph does not have, or a rate above the tick's."""
    for topic in topics:
        if topic not in TOPICS:
            raise RobotError(robot.file, "topic", topic, f"the graph has no such topic; {nearest(topic, TOPICS)}")
        if rate_of(robot, topic) > NS / TICK_NS:
            raise RobotError(robot.file, f"sources.{topic}.rate", rate_of(robot, topic),
                             f"sim_robot publishes at most {NS / TICK_NS:g} Hz")


def frames(robot: RobotModel) -> dict[str, str]:
    """header.frame_id of each topic."""
    found = {"joint_states": "", "battery_state": "", "motor_status": "", "sim/truth": "world"}
    found |= {imu.topic: f"imu_{imu.name}" for imu in robot.imus}
    found |= {foot.topic: foot.link for foot in robot.feet}
    if robot.camera is not None:
        optical = f"{robot.camera.name}_camera_optical"
        found |= {IMAGE: optical, "camera/head/depth": optical}
    return found


def camera_info(spec: CameraSpec, frame: str) -> CameraInfo:
    """A pinhole without distortion; x right, y down, z along the view."""
    k = spec.k
    info = CameraInfo(width=spec.width, height=spec.height, distortion_model="plumb_bob", d=[0.0] * 5,
                      k=k.ravel().tolist(), r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    info.p = [k[0, 0], 0.0, k[0, 2], 0.0, 0.0, k[1, 1], k[1, 2], 0.0, 0.0, 0.0, 1.0, 0.0]
    info.header.frame_id = frame
    return info


def main() -> int:
    return run(SimRobot)
