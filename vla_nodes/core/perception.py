"""Coloured things on a table, from one picture with depth.

Colour says which pixels belong to a thing (hue and saturation in HSV), depth lifts them to points in the
stance frame (see body.py), and the points' height and outline say what kind it is and where its top is. Only
picture, depth, intrinsics and the camera's pose from joint positions are used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array
from vla_nodes.core.body import Frame

cv2.setNumThreads(1)

Mask = NDArray[np.bool_]
Rgb = NDArray[np.uint8]
Depth = NDArray[np.float32]

#: Hue ranges [low, high) on OpenCV's circle of 180.
HUES: dict[str, tuple[tuple[int, int], ...]] = {
    "red": ((0, 10), (170, 180)),
    "green": ((40, 90),),
    "blue": ((100, 135),),
}
#: Below these a pixel has no colour to speak of.
MIN_SATURATION, MIN_VALUE = 100, 35
#: Blobs of fewer pixels are noise; blobs of one thing farther apart than its size are two things.
MIN_AREA = 40
#: A thing stands out of the table by this range, m.
HEIGHT_RANGE = (0.008, 0.25)
#: Slice under the highest point that counts as the top face, m.
TOP_SLICE = 0.008


@dataclass(frozen=True)
class Sighting:
    """One thing. ``top`` (3,) highest point over its middle and ``centre`` (3,), m, stance frame; ``radius``
    m in plan; ``kind_sure`` 0…1; ``cut``: it touches the picture's edge; ``area`` in pixels."""

    colour: str
    kind: str
    kind_sure: float
    top: Array
    centre: Array
    radius: float
    area: int
    cut: bool

    @property
    def name(self) -> str:
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True)
class View:
    """What a picture shows: the things, the table's height over the ground and how near it comes (x), m; NaN
    when no table is seen."""

    things: tuple[Sighting, ...]
    table: float
    edge: float


def see(rgb: Rgb, depth: Depth, k: Array, camera: Frame) -> View:
    """Find coloured things.

    ``rgb`` uint8[h, w, 3]; ``depth`` float32[h, w] metres along the optical axis, not positive or NaN = no
    return; ``k`` (3, 3) intrinsics; ``camera`` the optical frame in the stance frame.
    """
    if rgb.shape[:2] != depth.shape or rgb.ndim != 3:
        raise ValueError(f"picture {rgb.shape} and depth {depth.shape} do not fit together")
    good = np.isfinite(depth) & (depth > 0.0)
    hsv = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2HSV)
    vivid = (hsv[..., 1] >= MIN_SATURATION) & (hsv[..., 2] >= MIN_VALUE)
    table, edge = _table(depth, good & ~vivid, k, camera)
    things = []
    for colour, ranges in HUES.items():
        hue = hsv[..., 0]
        mask = vivid & np.logical_or.reduce([(hue >= low) & (hue < high) for low, high in ranges])
        for blob in _blobs(mask):
            sighting = _measure(colour, blob, depth, good, k, camera, table)
            if sighting is not None:
                things.append(sighting)
    return View(tuple(sorted(things, key=lambda s: -s.area)), table, edge)


def lift(depth: Depth, mask: Mask, k: Array, camera: Frame) -> Array:
    """Points (m, 3) of the mask's pixels in the stance frame (pinhole: x = (u - cx) z / fx)."""
    v, u = np.nonzero(mask)
    z = depth[v, u].astype(np.float64)
    rays = np.column_stack(((u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones(len(z))))
    return camera.out(rays * z[:, None])


def _table(depth: Depth, mask: Mask, k: Array, camera: Frame) -> tuple[float, float]:
    """Height and nearest x of the level surface that fills most of the picture well above the ground; NaN
    without one."""
    sparse = np.zeros_like(mask)
    sparse[::6, ::6] = mask[::6, ::6]
    points = lift(depth, sparse, k, camera)
    points = points[points[:, 2] > 0.2]
    height = points[:, 2]
    if len(height) < 50:
        return float("nan"), float("nan")
    counts, edges = np.histogram(height, bins=np.arange(0.2, max(float(height.max()), 0.3) + 0.02, 0.01))
    pairs = counts[:-1] + counts[1:]
    best = int(np.argmax(pairs))
    if pairs[best] < 0.3 * len(height):
        return float("nan"), float("nan")
    level = points[(height >= edges[best]) & (height < edges[best + 2])]
    return float(np.median(level[:, 2])), float(np.percentile(level[:, 0], 1))


def _blobs(mask: Mask) -> list[Mask]:
    """Connected areas of a mask, small ones dropped, largest first, at most four."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    area = stats[1:count, cv2.CC_STAT_AREA]
    order = np.argsort(-area)[:4]
    return [labels == i + 1 for i in order if area[i] >= MIN_AREA]


def _measure(
    colour: str, blob: Mask, depth: Depth, good: Mask, k: Array, camera: Frame, table: float
) -> Sighting | None:
    """Position and kind of one blob; None when it has no depth or does not stand on the table."""
    core = cv2.erode(blob.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & good
    points = lift(depth, core if core.sum() >= MIN_AREA // 2 else blob & good, k, camera)
    if len(points) < MIN_AREA // 2:
        return None
    floor = table if np.isfinite(table) else float(np.percentile(points[:, 2], 2))
    near = np.linalg.norm(points[:, :2] - np.median(points[:, :2], axis=0), axis=1) < 0.12
    points = points[near & (points[:, 2] > floor + 0.003)]
    if len(points) < MIN_AREA // 2:
        return None
    high = float(np.percentile(points[:, 2], 97))
    if not HEIGHT_RANGE[0] <= high - floor <= HEIGHT_RANGE[1]:
        return None
    edge = blob[0].any() or blob[-1].any() or blob[:, 0].any() or blob[:, -1].any()
    shape = _shape(points, high, floor, _outline(blob))
    return replace(shape, colour=colour, area=int(blob.sum()), cut=bool(edge))


def _outline(blob: Mask) -> float:
    """Share of its smallest enclosing circle that a blob fills: a ball about 0.95, a cube 0.75."""
    contours, _ = cv2.findContours(blob.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=len)
    _, radius = cv2.minEnclosingCircle(contour)
    return float(blob.sum()) / (np.pi * (radius + 0.5) ** 2)


def _shape(points: Array, high: float, floor: float, outline: float) -> Sighting:
    """Ball, cube or cylinder: outline in the picture, a sphere that rests on the table, outline of the top."""
    half = (high - floor) / 2.0
    centre, radius, misfit = _sphere(points)
    rough = misfit / max(radius, 1e-6)
    if (outline > 0.84 and rough < 0.3) or rough < 0.05:
        ball = _resting(points, np.array([centre[0], centre[1], floor + half]), half)
        sure = float(np.clip((outline - 0.76) / 0.12, 0.0, 1.0))
        return Sighting("", "ball", sure, ball + np.array([0.0, 0.0, half]), ball, half, 0, False)
    face = points[points[:, 2] > high - TOP_SLICE]
    middle = face[:, :2].mean(axis=0)
    level = float(np.median(face[:, 2]))
    hull = cv2.convexHull(face[:, :2].astype(np.float32))
    (_, _), (a, b), _ = cv2.minAreaRect(hull)
    # a square fills its smallest rectangle, a disc pi / 4 of it
    fill = cv2.contourArea(hull) / max(a * b, 1e-9)
    kind = "cube" if fill > 0.88 else "cylinder"
    sure = float(np.clip(abs(fill - 0.88) / 0.08, 0.0, 1.0))
    moments = cv2.moments(hull)
    if moments["m00"] > 1e-9:
        middle = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    top = np.array([middle[0], middle[1], level])
    centre = np.array([middle[0], middle[1], (level + floor) / 2.0])
    return Sighting("", kind, sure, top, centre, float(a + b) / 4.0, 0, False)


def _sphere(points: Array) -> tuple[Array, float, float]:
    """Least-squares sphere: centre, radius and RMS distance of the points from it.

    |p|^2 = 2 c.p + (r^2 - |c|^2) is linear in c and the bracket.
    """
    shift = points.mean(axis=0)
    p = points - shift
    a = np.column_stack((2.0 * p, np.ones(len(p))))
    solution, *_ = np.linalg.lstsq(a, np.einsum("ij,ij->i", p, p), rcond=None)
    c = solution[:3]
    radius = float(np.sqrt(max(solution[3] + c @ c, 1e-12)))
    misfit = np.linalg.norm(p - c, axis=1) - radius
    return shift + c, radius, float(np.sqrt(np.mean(misfit**2)))


def _resting(points: Array, start: Array, radius: float) -> Array:
    """Centre (3,) of a sphere of known radius and height: Gauss-Newton over its place in plan."""
    centre = start.copy()
    for _ in range(6):
        away = points - centre
        far = np.linalg.norm(away, axis=1)
        slope = -away[:, :2] / far[:, None]
        step, *_ = np.linalg.lstsq(slope, radius - far, rcond=None)
        centre[:2] += np.clip(step, -0.01, 0.01)
    return centre


def choose(view: View, colour: str, kind: str) -> tuple[Sighting | None, str]:
    """(the thing that is meant, '') or (None, why not, with what is in view).

    Colour decides; a kind must not contradict clearly, and chooses between things of one colour.
    """
    same = [s for s in view.things if not colour or s.colour == colour]
    if kind:
        fitting = [s for s in same if s.kind == kind]
        # a doubtful outline does not contradict the word, when nothing else has this colour
        if not fitting and colour and len(same) == 1 and same[0].kind_sure < 0.6:
            fitting = same
        same = fitting
    wanted = f"{colour} {kind or 'object'}".strip()
    if not same:
        return None, f"no {wanted} in view; in view: {describe(view)}"
    if len(same) > 1 and not (colour and kind):
        return None, f"{wanted} could be any of {', '.join(s.name for s in same)}; name colour and kind"
    return same[0], ""


def describe(view: View) -> str:
    """The things in words."""
    return ", ".join(s.name for s in view.things) or "nothing"
