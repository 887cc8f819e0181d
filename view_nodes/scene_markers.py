"""scene_markers: plan, balance, distances and safety level as markers for rviz2, and where both robots stand as TF."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, TransformStamped
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from humanoid_core.environment import load_environment
from humanoid_core.robot import load_robot
from humanoid_core.timing import NS
from humanoid_core.types import TwinState, TwinStatus
from humanoid_ros.convert import quaternion
from humanoid_ros.node import OK, WARN, HumanoidNode, run
from humanoid_ros.params import declare
from humanoid_ros.polled import Polled
from view_nodes.core.marks import BALL, LINE, TEXT, Mark, Marks
from view_nodes.params import MarkersParams

NEWEST = ("twin/state", "ingest/robot_state", "safety/status", "vla/action_chunk")
TOPIC = "view/markers"
#: Silence after which what a topic said last is drawn no more.
KEEP_NS = NS
_KINDS = {LINE: Marker.LINE_STRIP, BALL: Marker.SPHERE, TEXT: Marker.TEXT_VIEW_FACING}


class SceneMarkers(HumanoidNode):
    """Reads what is newest, draws, publishes."""

    def __init__(self) -> None:
        super().__init__("scene_markers")
        self.params = declare(self, MarkersParams)

    def configure(self) -> None:
        """Build everything."""
        p = self.params
        self.robot = load_robot(p.robot)
        self.marks = Marks(self.robot, load_environment(p.environment), p.near)
        self._polled = [Polled(self, topic, depth=1) for topic in NEWEST]
        self._heard: dict[str, tuple[int, Any]] = {}
        self._drawn = 0
        self.advertise(TOPIC)
        self._transforms = self._make_transforms()
        self.diagnostics(self._report)
        self.steady_timer(1.0 / p.rate, self._draw)

    def _make_transforms(self) -> Any:
        """The publisher of /tf, or None where tf2_msgs is not installed: rviz2 then has no common frame."""
        if importlib.util.find_spec("tf2_msgs") is None:
            self.get_logger().info("tf2_msgs is not installed: markers only, no TF")
            return None
        from tf2_msgs.msg import TFMessage

        # TF is one topic of all robots, the depth is its own convention; it is no topic of this suite's table.
        return self.create_publisher(TFMessage, "/tf", 100)

    def _newest(self, topic: str, now_ns: int, keep_ns: int = KEEP_NS) -> Any:
        at_ns, value = self._heard.get(topic, (0, None))
        return value if value is not None and now_ns - at_ns <= keep_ns else None

    def _draw(self) -> None:
        now_ns = time.monotonic_ns()
        for source in self._polled:
            for value in source.read():
                self._heard[source.topic] = (now_ns, value)
        twin: TwinState | None = self._newest("twin/state", now_ns)
        marks: tuple[Mark, ...] = ()
        if twin is not None and twin.status != TwinStatus.WAITING:
            # A chunk is drawn until its last row is due, which its stamp says.
            chunk = self._newest("vla/action_chunk", now_ns, 60 * NS)
            marks = self.marks.draw(twin, self._newest("ingest/robot_state", now_ns),
                                    self._newest("safety/status", now_ns), chunk, self.now_ns())
            self._send_transforms(twin)
        self._drawn = len(marks)
        self.publisher(TOPIC).publish(self._array(marks))

    def _array(self, marks: tuple[Mark, ...]) -> MarkerArray:
        """Everything anew: what is not drawn this time is deleted."""
        header = Marker(action=Marker.DELETEALL)
        header.header.frame_id = self.params.frame
        array = MarkerArray(markers=[header])
        stamp = self.get_clock().now().to_msg()
        for number, mark in enumerate(marks):
            one = marker(mark, number, self.params.frame)
            one.header.stamp = stamp
            array.markers.append(one)
        return array

    def _send_transforms(self, twin: TwinState) -> None:
        if self._transforms is None:
            return
        message = self._transforms.msg_type()
        namespace = self.get_namespace().strip("/")
        robot = f"{namespace}/" if namespace else ""
        for prefix in (robot, robot + self.params.twin_prefix):
            one = TransformStamped(child_frame_id=prefix + self.robot.base_link)
            one.header.frame_id, one.header.stamp = self.params.frame, self.get_clock().now().to_msg()
            x, y, z = (float(v) for v in twin.base_position)
            one.transform.translation.x, one.transform.translation.y, one.transform.translation.z = x, y, z
            one.transform.rotation = quaternion(twin.base_orientation)
            message.transforms.append(one)
        self._transforms.publish(message)

    def _report(self) -> tuple[int, str, dict[str, object]]:
        values = {"markers": self._drawn, "TF": "no" if self._transforms is None else "yes"}
        return (OK, "drawing", values) if self._drawn else (WARN, "the twin is silent: nothing to draw", values)


def marker(mark: Mark, number: int, frame: str) -> Marker:
    """The message of one mark; it goes by itself when nobody renews it."""
    out = Marker(ns=mark.group, id=number, type=_KINDS[mark.kind], action=Marker.ADD, text=mark.text,
                 lifetime=Duration(sec=1))
    out.header.frame_id = frame
    out.pose.orientation.w = 1.0
    colours = [ColorRGBA(r=r, g=g, b=b, a=a) for r, g, b, a in mark.colours]
    out.color = colours[0]
    if mark.kind == LINE:
        out.scale.x = mark.size
        out.points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in mark.points]
        out.colors = colours if len(colours) == len(out.points) else []
    else:
        out.pose.position = Point(x=float(mark.points[0, 0]), y=float(mark.points[0, 1]), z=float(mark.points[0, 2]))
        out.scale.x = out.scale.y = out.scale.z = mark.size
    return out


def main() -> int:
    return run(SceneMarkers)


if __name__ == "__main__":
    raise SystemExit(main())
