"""Pictures of a run: what the head camera saw, and the same moments seen from outside, drawn from the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from humanoid_core.physics import build_spec
from humanoid_core.robot import RobotModel
from humanoid_core.timing import NS
from sim_nodes.core.camera import Camera
from sim_nodes.core.scene import DEFAULT_OBJECTS, add_scene, plan_scene

if TYPE_CHECKING:
    from humanoid_cli.session import Record

Rgb = NDArray[np.uint8]
Frame = tuple[float, Rgb]  # s after the instruction, picture
HEIGHT = 240
#: Rendered size, and the part of it that shows the robot and the table: rows, columns.
OUTSIDE, CROP = (640, 480), (slice(40, 415), slice(90, 590))
FPS = 10


def head_frames(record: Record) -> list[Frame]:
    """Pictures of the head camera, by arrival."""
    rows = record.seen.get("camera/head/image_raw", [])
    return [((at - record.start_ns) / NS, np.asarray(m.data, np.uint8)) for at, m in rows
            if getattr(m.data, "ndim", 0) == 3]


def outside_frames(record: Record, robot: RobotModel, sim: Mapping[str, Any], times: Sequence[float]) -> list[Frame]:
    """The scene's spectator camera at ``times`` (s after the instruction); empty without off-screen rendering.

    ``sim``: the parameters that sim_robot was started with.
    """
    objects, seed = str(sim.get("objects", DEFAULT_OBJECTS)), int(sim.get("seed", 0))
    truths, joints = record.truths(), record.seen.get("joint_states", [])
    if not truths or not joints or not objects.strip():
        return []
    scene = plan_scene(objects, seed)
    spec = build_spec(robot)
    add_scene(spec, scene)
    model = spec.compile()
    data = mujoco.MjData(model)
    camera = Camera(model, "spectator", *OUTSIDE)
    if not camera.on:
        return []
    truth_t = np.array([at for at, _ in truths])
    joint_t = np.array([at for at, _ in joints])
    base = model.joint("base_free").qposadr[0] if not robot.base_fixed else None
    frames = []
    try:
        for t in times:
            at = record.start_ns + t * NS
            truth = truths[min(int(np.searchsorted(truth_t, at)), len(truths) - 1)][1]
            sample = joints[min(int(np.searchsorted(joint_t, at)), len(joints) - 1)][1]
            if base is not None:
                data.qpos[base : base + 3] = truth.base_position
                data.qpos[base + 3 : base + 7] = truth.base_orientation
            for name, q in zip(sample.names, sample.position, strict=True):
                data.qpos[model.joint(name).qposadr[0]] = q
            for item in truth.objects:
                adr = model.joint(f"{item.name} free").qposadr[0]
                data.qpos[adr : adr + 3], data.qpos[adr + 3 : adr + 7] = item.position, item.orientation
            mujoco.mj_forward(model, data)
            frames.append((float(t), camera.picture(data).rgb[CROP]))
    finally:
        camera.close()
    return frames


def spread(frames: Sequence[Frame], count: int, begin: float, end: float) -> list[Frame]:
    """``count`` frames at even times in [begin, end], the nearest each."""
    if not frames:
        return []
    t = np.array([at for at, _ in frames])
    return [frames[int(np.argmin(np.abs(t - want)))] for want in np.linspace(begin, end, count)]


def _fit(picture: Rgb, height: int = HEIGHT) -> Rgb:
    h, w = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (round(w * height / h), height), interpolation=cv2.INTER_AREA), np.uint8)


def labelled(picture: Rgb, text: str) -> Rgb:
    """The picture with a small text in its corner."""
    out = np.array(picture)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    out[: height + 12, : width + 14] //= 3
    cv2.putText(out, text, (7, height + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def strip(rows: Sequence[tuple[str, Sequence[Frame]]]) -> Rgb | None:
    """One picture: each row a view, each column a moment; None without any frame."""
    bands = []
    for name, frames in rows:
        if frames:
            bands.append(np.hstack([labelled(_fit(p), f"{name} {t:.1f} s") for t, p in frames]))
    if not bands:
        return None
    width = max(b.shape[1] for b in bands)
    return np.vstack([np.pad(b, ((0, 0), (0, width - b.shape[1]), (0, 0))) for b in bands])


def png(picture: Rgb) -> bytes:
    """The picture as a PNG file."""
    ok, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not ok:
        raise RuntimeError("OpenCV could not encode a PNG")
    return bytes(data)


def write_video(path: Path, left: Sequence[Frame], right: Sequence[Frame], fps: int = FPS) -> bool:
    """Both views side by side as mp4; False when this OpenCV cannot write one."""
    if not left and not right:
        return False
    pairs = list(zip(left, right, strict=False)) if left and right else [(f, None) for f in (left or right)]
    pictures = [np.hstack([labelled(_fit(p), f"{t:.1f} s") for t, p in pair if p is not None]) if pair[1] is not None
                else labelled(_fit(pair[0][1]), f"{pair[0][0]:.1f} s") for pair in pairs]
    h, w = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (w, h))
    if not writer.isOpened():
        return False
    for picture in pictures:
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return path.is_file() and path.stat().st_size > 0
