"""Off-screen pictures of the simulated world: RGB and depth, made for speed (no shadows, reflections,
skybox).

Without OpenGL (EGL or OSMesa) nothing breaks: ``open_camera`` returns a camera that is off and says why.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]

MISSING = (
    "off-screen rendering is off ({error}); on Debian or Ubuntu: apt-get install libegl1 libgl1-mesa-dri "
    "libegl-mesa0, then MUJOCO_GL=egl (or libosmesa6 and MUJOCO_GL=osmesa)"
)


@dataclass(frozen=True)
class Picture:
    """``rgb`` uint8[h, w, 3]; ``depth`` float32[h, w], metres along the view, 0 where nothing valid is."""

    rgb: Rgb
    depth: Depth


class Camera:
    """Renders one named camera of a model. Use from the thread that opened it only."""

    def __init__(
        self,
        model: mujoco.MjModel,
        name: str,
        width: int,
        height: int,
        near: float = 0.0,
        far: float = np.inf,
    ) -> None:
        self.name, self.width, self.height, self.near, self.far = name, width, height, near, far
        self.why = ""
        self._model = model
        self._context: Any = None
        self._gl: Any = None
        try:
            self._open(model, name)
        except Exception as error:  # whatever GL raises: pictures are off, the robot runs on
            self.close()
            self.why = MISSING.format(error=" ".join(str(error).split()) or type(error).__name__)

    def _open(self, model: mujoco.MjModel, name: str) -> None:
        camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name)
        if camera < 0:
            raise ValueError(f"the model has no camera '{name}'")
        self._gl = _gl_context()(self.width, self.height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        if self._context.currentBuffer != mujoco.mjtFramebuffer.mjFB_OFFSCREEN:
            raise RuntimeError("no off-screen frame buffer")
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = mujoco.MjvScene(model, maxgeom=400)
        for flag in ("SHADOW", "REFLECTION", "SKYBOX", "HAZE", "FOG"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._view = mujoco.MjvCamera()
        self._view.type, self._view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera
        self._rect = mujoco.MjrRect(0, 0, self.width, self.height)
        self._rgb = np.zeros((self.height, self.width, 3), np.uint8)
        self._depth = np.zeros((self.height, self.width), np.float32)

    @property
    def on(self) -> bool:
        """Whether ``picture`` can be called."""
        return self._context is not None

    def picture(self, data: mujoco.MjData) -> Picture:
        """Render the present state of ``data`` (its positions must be up to date, as after a step)."""
        if not self.on:
            raise RuntimeError(self.why)
        self._gl.make_current()
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._rgb, self._depth, self._rect, self._context)
        return Picture(self._rgb[::-1].copy(), self._metres(self._depth[::-1]))

    def _metres(self, buffer: Depth) -> Depth:
        """Reversed-z depth buffer (1 near, 0 far) to metres: z = n f / (n + (f - n) b); outside near … far:
        0."""
        extent = self._model.stat.extent
        near, far = self._model.vis.map.znear * extent, self._model.vis.map.zfar * extent
        z = np.float32(near * far) / (np.float32(near) + np.float32(far - near) * buffer)
        z[~((z >= self.near) & (z <= self.far))] = 0.0
        return z

    def close(self) -> None:
        """Free the GL context; allowed twice."""
        if self._context is not None:
            self._context.free()
            self._context = None
        if self._gl is not None:
            self._gl.free()
            self._gl = None


def _gl_context() -> Any:
    """The off-screen GL context that MUJOCO_GL names, EGL by default. mujoco itself chooses when it is imported, and
    without that variable it takes a window system's. Imported late: it fails where the library is missing."""
    wanted = os.environ.get("MUJOCO_GL", "egl").lower()
    if wanted in ("disable", "disabled", "off", "false", "0"):
        raise RuntimeError(f"MUJOCO_GL is '{wanted}'")
    if wanted == "osmesa":
        from mujoco.osmesa import GLContext
    else:
        from mujoco.egl import GLContext
    return GLContext
