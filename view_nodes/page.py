"""The live page: viser's server with a robot, its ghost, the board, events and plots. Tells only; see page_acts."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
from collections.abc import Mapping
from typing import Any

import numpy as np
import viser
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from view_nodes.core.links import LinkPose, Links
from view_nodes.core.plots import PLOTS, SPAN, Plot

GHOST = (90, 170, 255)
#: Changes of a link's pose below this are not sent: m, and of a quaternion's components.
SAME = 5e-4
STROKES = ("#1565c0", "#ef6c00", "#2e7d32")
JPEG_QUALITY = 70


class PageError(RuntimeError):
    """A page that cannot be shown; the text says why and the way out."""


class Private(viser.ViserServer):
    """Everything stays on this computer: no viewer may open a tunnel through a server on the internet."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        return None


def listen(host: str, port: int, label: str) -> viser.ViserServer:
    """The server, at this port and no other; PageError when it is taken."""
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise PageError(f"cannot listen at {host}:{port}: {error.strerror}; give another port") from None
    # Who connects and says nothing (a port scan, a health check) is no error of the page.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()):
        server = Private(host=host, port=port, label=label, verbose=False)
    if server.get_port() != port:
        server.stop()
        raise PageError(f"port {port} was taken meanwhile; give another port")
    return server


class Figure:
    """A robot in the scene under ``/<name>``; only links that moved are sent."""

    def __init__(self, server: viser.ViserServer, robot: RobotModel, name: str, ghost: bool) -> None:
        self._links = Links(robot)
        self._frames = {link: server.scene.add_frame(f"/{name}/{path}", show_axes=False)
                        for link, path in self._links.paths.items()}
        self._sent: dict[str, LinkPose] = {}
        for k, mesh in enumerate(self._links.meshes()):
            colour = GHOST if ghost else tuple(round(255 * c) for c in mesh.rgba[:3])
            server.scene.add_mesh_simple(
                f"/{name}/{self._links.paths[mesh.link]}/shape{k}", mesh.vertices.astype(np.float32),
                mesh.faces.astype(np.uint32), color=(colour[0], colour[1], colour[2]), flat_shading=not ghost,
                opacity=0.35 if ghost else None, cast_shadow=False, receive_shadow=False)

    def pose(self, q: Array, base_position: Array, base_quat: Array) -> int:
        """Place it; returns how many links were sent."""
        sent = 0
        for link, pose in self._links.poses(q, base_position, base_quat).items():
            last = self._sent.get(link)
            if last is not None and np.abs(pose.quaternion - last.quaternion).max() < SAME and np.abs(
                    pose.position - last.position).max() < SAME:
                continue
            self._sent[link] = pose
            self._frames[link].wxyz, self._frames[link].position = pose.quaternion, pose.position
            sent += 1
        return sent


class Page:
    """What every viewer sees. Call from one thread."""

    def __init__(self, server: viser.ViserServer, robot: RobotModel) -> None:
        self.server = server
        server.gui.configure_theme(control_layout="fixed", control_width="large", show_logo=False,
                                   show_share_button=False)
        server.scene.add_grid("/ground", width=4.0, height=4.0, cell_size=0.25, plane="xy", shadow_opacity=0.0)
        server.initial_camera.position, server.initial_camera.look_at = (2.1, 1.5, 1.3), (0.0, 0.0, 0.65)
        self._robot, self._ghost = Figure(server, robot, "robot", False), Figure(server, robot, "twin", True)
        self._com = server.scene.add_icosphere("/com", radius=0.03, color=(255, 193, 7), visible=False)
        self._capture = server.scene.add_icosphere("/capture_point", radius=0.025, color=(213, 0, 249), visible=False)
        self._board = server.gui.add_html("")
        self._shown: dict[str, str] = {}
        tabs = server.gui.add_tab_group()
        with tabs.add_tab("Camera"):
            self._words = server.gui.add_markdown("no picture yet")
            self._camera = server.gui.add_image(np.zeros((3, 4, 3), np.uint8), format="jpeg",
                                                jpeg_quality=JPEG_QUALITY, visible=False)
        with tabs.add_tab("Plots"):
            self._plots = {plot.name: self._add_plot(plot) for plot in PLOTS}
        with tabs.add_tab("Events"):
            self._events = server.gui.add_html("")

    def _add_plot(self, plot: Plot) -> Any:
        series: list[Any] = [{"label": "s"}]
        series += [{"label": label, "stroke": STROKES[k], "width": 1.5} for k, label in enumerate(plot.labels)]
        empty = (np.array([-60.0, 0.0]), *(np.zeros(2) for _ in plot.labels))
        return self.server.gui.add_uplot(empty, tuple(series), title=plot.title, height=170,
                                         scales={"x": {"time": False, "range": (-SPAN, 0.0)}})

    @property
    def viewers(self) -> int:
        return len(self.server.get_clients())

    def show_robot(self, q: Array, base_position: Array, base_quat: Array) -> None:
        self._robot.pose(q, base_position, base_quat)

    def show_ghost(self, q: Array, base_position: Array, base_quat: Array, com: Array, capture: Array,
                   aside: float) -> None:
        """The twin's robot, moved to its left by ``aside`` m; ``com`` and ``capture`` (3,) m, world."""
        self._ghost.pose(q, base_position + np.array([0.0, aside, 0.0]), base_quat)
        for ball, point in ((self._com, com), (self._capture, capture)):
            ball.visible = bool(np.isfinite(point).all())
            if ball.visible:
                ball.position = point

    def show_words(self, board: str, events: str) -> None:
        """HTML of the board and of the events, sent when changed."""
        for name, handle, text in (("board", self._board, board), ("events", self._events, events)):
            if self._shown.get(name) != text:
                self._shown[name] = handle.content = text

    def show_picture(self, rgb: NDArray[np.uint8]) -> None:
        self._camera.image = rgb
        if not self._camera.visible:
            self._camera.visible, self._words.visible = True, False

    def show_plots(self, curves: Mapping[str, tuple[Array, ...]]) -> None:
        """Seconds before now and each curve, by plot; NaN is a gap."""
        for name, arrays in curves.items():
            self._plots[name].data = arrays
