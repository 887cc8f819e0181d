"""An observation out of streams: picture and depth of one instant, and the joints at that instant.

Nothing is made up: when a part is missing, too old or does not fit, there is no observation but a reason.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from humanoid_core.robot_model import Array
from humanoid_core.timing import MS, NS, age_reason
from humanoid_core.types import ImageSample, RobotState
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Observation

#: What an observation holds that needs no depth.
NO_DEPTH, NO_K = np.zeros((0, 0), np.float32), np.full((3, 3), np.nan)


@dataclass(frozen=True)
class GatherParams:
    """Greatest ages in s: of a picture, of the newest robot state; greatest distance in time within one
    observation; ``depth``: whether it needs depth and intrinsics. The offsets are how much later a driver stamps than
    it measures: ages and distances count from the measurement."""

    picture_age: float = 0.3
    state_age: float = 0.1
    skew: float = 0.02
    depth: bool = True
    picture_offset: float = 0.0
    state_offset: float = 0.0


class Gather:
    """Keeps the last few samples of each stream."""

    def __init__(self, joints: int, params: GatherParams | None = None) -> None:
        self.params = params or GatherParams()
        self._joints = joints
        self._images: deque[ImageSample] = deque(maxlen=4)
        self._depths: deque[ImageSample] = deque(maxlen=4)
        self._states: deque[RobotState] = deque(maxlen=100)
        self._k: Array | None = None
        self._used_ns = 0

    def add_image(self, sample: ImageSample) -> None:
        self._images.append(_earlier(sample, self.params.picture_offset))

    def add_depth(self, sample: ImageSample) -> None:
        self._depths.append(_earlier(sample, self.params.picture_offset))

    def add_state(self, state: RobotState) -> None:
        self._states.append(_earlier(state, self.params.state_offset))

    def set_intrinsics(self, k: Array) -> None:
        """``k`` (3, 3) from camera_info."""
        self._k = k

    def observe(self, now_ns: int, commanded: Array, again: bool = False) -> Observation | Refusal:
        """The newest complete observation, or why there is none. One picture is used once, unless ``again``."""
        state = self._latest(now_ns)
        if isinstance(state, Refusal):
            return state
        pair = self._pair(now_ns)
        if isinstance(pair, Refusal):
            return pair
        image, depth = pair
        if image.stamp_ns <= self._used_ns and not again:
            return Refusal("STALE", "no new picture since the last look")
        if self.params.depth and not self._usable_k():
            return Refusal("NO_PICTURE", "no usable intrinsics on camera/head/camera_info")
        then = min(self._states, key=lambda s: abs(s.stamp_ns - image.stamp_ns))
        if not abs(then.stamp_ns - image.stamp_ns) <= self.params.skew * NS:
            away = abs(then.stamp_ns - image.stamp_ns) / MS
            return Refusal("NO_STATE", f"the robot state nearest to the picture is {away:.0f} ms from it")
        rgb = _rgb(image)
        if depth is None:
            if rgb is None:
                return Refusal("NO_PICTURE", f"picture {image.encoding} {image.data.shape}; rgb8 is needed")
            self._used_ns = image.stamp_ns
            return Observation(min(image.stamp_ns, then.stamp_ns), now_ns, rgb, NO_DEPTH, NO_K, then, state, commanded,
                               image.stamp_ns)  # fmt: skip
        metres = _metres(depth)
        if rgb is None or metres is None or rgb.shape[:2] != metres.shape:
            return Refusal("NO_PICTURE", f"picture {image.encoding} {image.data.shape} and depth {depth.encoding} "
                           f"{depth.data.shape} do not fit; rgb8 and 32FC1 of one size are needed")  # fmt: skip
        self._used_ns = image.stamp_ns
        stamp = min(image.stamp_ns, depth.stamp_ns, then.stamp_ns)
        assert self._k is not None
        return Observation(stamp, now_ns, rgb, metres, self._k, then, state, commanded, image.stamp_ns)

    def _usable_k(self) -> bool:
        k = self._k
        return k is not None and bool(np.all(np.isfinite(k))) and bool(k[0, 0] > 0.0 and k[1, 1] > 0.0)

    def _latest(self, now_ns: int) -> RobotState | Refusal:
        if not self._states:
            return Refusal("NO_STATE", "ingest/robot_state has not been heard")
        state = self._states[-1]
        code = age_reason(state.stamp_ns, now_ns, round(self.params.state_age * NS), 20 * MS)
        if code:
            return Refusal("NO_STATE", f"the newest robot state is {(now_ns - state.stamp_ns) / NS:.2f} s old")
        if state.position.shape != (self._joints,) or not np.all(np.isfinite(state.position)):
            return Refusal("NO_STATE", "the robot state has not this robot's joints, or numbers that are not finite")
        return state

    def _pair(self, now_ns: int) -> tuple[ImageSample, ImageSample | None] | Refusal:
        """The newest picture that has a depth image of its instant, or where no depth is needed the newest."""
        skew = self.params.skew * NS
        for image in sorted(self._images, key=lambda s: -s.stamp_ns):
            depth = min(self._depths, key=lambda d: abs(d.stamp_ns - image.stamp_ns), default=None)
            if not self.params.depth:
                depth = None
            elif depth is None or not abs(depth.stamp_ns - image.stamp_ns) <= skew:
                continue
            code = age_reason(image.stamp_ns, now_ns, round(self.params.picture_age * NS), 20 * MS)
            if code:
                return Refusal("NO_PICTURE", f"the newest picture is {(now_ns - image.stamp_ns) / NS:.2f} s old")
            return image, depth
        if not self._images:
            return Refusal("NO_PICTURE", "camera/head/image_raw has not been heard")
        return Refusal("NO_PICTURE", "no depth image (camera/head/depth) of the picture's instant")


T = TypeVar("T", ImageSample, RobotState)


def _earlier(sample: T, offset: float) -> T:
    """With the stamp of the measurement, which the driver stamped ``offset`` s too late."""
    return replace(sample, stamp_ns=sample.stamp_ns - round(offset * NS)) if offset else sample


def _rgb(sample: ImageSample) -> np.ndarray | None:
    """uint8[h, w, 3] in RGB order, or None for an encoding or shape that is not a colour picture."""
    data = sample.data
    if data.ndim != 3 or data.shape[2] != 3 or data.dtype != np.uint8 or data.size == 0:
        return None
    return data[..., ::-1] if sample.encoding == "bgr8" else data


def _metres(sample: ImageSample) -> np.ndarray | None:
    """float32[h, w] in m; drivers give metres (32FC1) or millimetres (16UC1)."""
    data = sample.data
    if data.ndim != 2 or data.size == 0:
        return None
    if sample.encoding == "16UC1":
        return data.astype(np.float32) * np.float32(0.001)
    return data.astype(np.float32) if sample.encoding == "32FC1" else None
