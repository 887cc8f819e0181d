"""The head camera's own thread: it renders copies of the state, so that the physics never waits for a picture."""

from __future__ import annotations

import threading
from collections.abc import Callable

import mujoco

from humanoid_core.robot_model import Array, CameraSpec
from sim_nodes.core.camera import Camera, Picture

#: (state, simulated ns, stamp ns) of a picture to take.
Request = tuple[Array, int, int]


class CameraThread:
    """`request` is called by the physics, `work` again and again by the thread that owns the GL context."""

    def __init__(self, model: mujoco.MjModel, spec: CameraSpec,
                 deliver: Callable[[Picture, int, int], None], opened: Callable[[str], None]) -> None:
        """``deliver(picture, now_ns, stamp_ns)`` takes each picture; ``opened(why)`` says once whether there will be
        any ('' or what is missing)."""
        self._model, self._spec, self._deliver, self._opened = model, spec, deliver, opened
        self._data = mujoco.MjData(model)
        self._change = threading.Condition()
        self._wanted: Request | None = None
        self._busy = False
        self._camera: Camera | None = None
        self.skipped = 0

    def request(self, qpos: Array, now_ns: int, stamp_ns: int) -> None:
        """Ask for a picture of a state; one that still waits is skipped, the newest wins."""
        with self._change:
            self.skipped += self._wanted is not None
            self._wanted = (qpos.copy(), now_ns, stamp_ns)
            self._change.notify_all()

    def wait(self, timeout: float) -> None:
        """Wait until no picture is under way (for stepped time only)."""
        with self._change:
            self._change.wait_for(lambda: self._wanted is None and not self._busy, timeout)

    def work(self) -> None:
        """Wait a while for a request and render it."""
        if self._camera is None:
            c = self._spec
            self._camera = Camera(self._model, c.name, c.width, c.height, c.near, c.far)
            self._opened(self._camera.why)
        with self._change:
            self._change.wait_for(lambda: self._wanted is not None, 0.1)
            wanted, self._wanted = self._wanted, None
            self._busy = wanted is not None
        try:
            if wanted is not None and self._camera.on:
                self._render(self._camera, wanted)
        finally:
            with self._change:
                self._busy = False
                self._change.notify_all()

    def _render(self, camera: Camera, wanted: Request) -> None:
        qpos, now_ns, stamp_ns = wanted
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._deliver(camera.picture(self._data), now_ns, stamp_ns)
