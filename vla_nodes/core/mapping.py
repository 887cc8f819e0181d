"""From an observation to what a policy is told, and from its answer to joint positions, by the terms of its contract.

Nothing is made up: a stream that is too old, too far from the picture or has no history yet gives a reason instead of
an input, and an answer of another shape, or with a number that is not finite, is refused whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping as Map

import cv2
import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array, RobotModel
from humanoid_core.timing import MS, NS
from vla_nodes.core.contract import Loaded
from vla_nodes.core.contract_schema import ActionGroup, History, Picture, StateGroup
from vla_nodes.core.instruction import Refusal
from vla_nodes.core.policy import Observation

Inputs = dict[str, NDArray]


class Mapping:
    """One contract on one robot; keeps the past observations that the contract's history asks for."""

    def __init__(self, loaded: Loaded, robot: RobotModel) -> None:
        self.loaded, self.terms = loaded, loaded.terms
        self.joints = loaded.joints
        named = [n for s in self.terms.state for n in s.joints] + list(loaded.joints)
        self._places = {name: robot.index(name) for name in named}
        self._streams: list[Picture | StateGroup] = [*self.terms.pictures, *self.terms.state]
        self._past: deque[Observation] = deque(maxlen=8 * max((s.history.samples for s in self._streams), default=1))
        self._last: tuple[int, Inputs] | None = None

    def forget(self) -> None:
        """A new task: no history, no chunk before."""
        self._past.clear()
        self._last = None

    # --- to the policy

    def inputs(self, o: Observation) -> Inputs | Refusal:
        """Key -> uint8[h, w, 3] (or chw), float32[size]; with a history of several samples [samples, ...] of these."""
        self._past.append(o)
        out: Inputs = {}
        for stream in self._streams:
            why = self._age(stream, o)
            if why is not None:
                return why
            then = self._history(stream.history, o)
            if isinstance(then, str):
                return Refusal("NO_PICTURE" if isinstance(stream, Picture) else "NO_STATE", f"'{stream.key}': {then}")
            values = [_picture(stream, p) if isinstance(stream, Picture) else self._state(stream, p) for p in then]
            if not all(np.all(np.isfinite(v)) for v in values):
                return Refusal("NO_STATE", f"'{stream.key}': a {getattr(stream, 'field', 'value')} is not finite")
            out[stream.key] = values[0] if stream.history.samples == 1 else np.stack(values)
        return out

    def _age(self, stream: Picture | StateGroup, o: Observation) -> Refusal | None:
        picture = isinstance(stream, Picture)
        stamp = (o.image_ns or o.stamp_ns) if picture else o.state.stamp_ns
        code = "NO_PICTURE" if picture else "NO_STATE"
        # the state of the picture's instant is as old as the picture; its own limit counts for the newest one
        newest = stamp if picture else o.latest.stamp_ns
        if not o.now_ns - newest <= stream.max_age * NS:
            age = (o.now_ns - newest) / NS
            return Refusal(code, f"'{stream.key}' ({stream.topic}) is {age:.2f} s old, max_age {stream.max_age} s")
        skew = abs(stamp - (o.image_ns or o.stamp_ns))
        if not skew <= self.terms.skew * NS:
            return Refusal(code, f"'{stream.key}' is {skew / MS:.0f} ms from the picture, skew {self.terms.skew} s")
        return None

    def _history(self, history: History, o: Observation) -> list[Observation] | str:
        """Oldest first. At the start of a task there is none yet."""
        out = []
        for k in range(history.samples - 1, 0, -1):
            want = o.stamp_ns - round(k * history.spacing * NS)
            near = min(self._past, key=lambda p: abs(p.stamp_ns - want))
            if not abs(near.stamp_ns - want) <= history.tolerance * NS:
                return f"no sample {k * history.spacing:.2f} s before the newest one yet"
            out.append(near)
        return [*out, o]

    def _state(self, group: StateGroup, o: Observation) -> NDArray:
        source = o.state.position if group.field == "position" else o.state.velocity
        out = np.zeros(group.size)
        for i, value in group.constants.items():
            out[i] = value
        for name, joint in group.joints.items():
            value = joint.sign * source[self._places[name]]
            out[joint.index] = np.degrees(value) if joint.unit == "deg" else value
        scale = self.loaded.scales.get(group.key)
        return ((out - scale.offset) / scale.scale if scale is not None else out).astype(np.float32)

    def prefix(self, o: Observation) -> tuple[dict[str, Array], int] | None:
        """For real-time chunking (Black et al. 2025): by group key the rows (rows, size), in the policy's units, of the
        chunk that is being followed and that still lie after this observation, and how many of them are executed
        before the answer can be followed. None when the chunk followed is not the last one given."""
        if self._last is None or self._last[0] != o.following_ns or not o.following_ns:
            return None
        gone = round((o.stamp_ns - o.following_ns) / NS / self.terms.step)
        if not 0 <= gone < self.terms.horizon:
            return None
        if any(j.mode != "absolute" for g in self.terms.actions for j in g.joints.values()):
            return None  # rows count from another posture
        delay = min(int(np.ceil(o.lead / self.terms.step)), self.terms.horizon - gone)
        return {key: rows[gone:] for key, rows in self._last[1].items()}, delay

    # --- and back

    def positions(self, reply: Map[str, object], o: Observation) -> Array | Refusal:
        """Rows (rows, joints) in rad in the order of ``joints``. A single row counts twice: it is gone to
        within one step and held for another."""
        columns: list[Array] = []
        kept: Inputs = {}
        for group in self.terms.actions:
            raw = self._rows(group, reply)
            if isinstance(raw, Refusal):
                return raw
            kept[group.key] = raw
            scale = self.loaded.scales.get(group.key)
            values = raw * scale.scale + scale.offset if scale is not None else raw
            for name, joint in group.joints.items():
                column = joint.sign * values[:, joint.index]
                column = np.radians(column) if joint.unit == "deg" else column
                if joint.mode == "step":
                    column = np.cumsum(column)
                columns.append(column + (0.0 if joint.mode == "absolute" else o.state.position[self._places[name]]))
        self._last = o.stamp_ns, kept
        rows = np.stack(columns, axis=1)
        return np.repeat(rows, 2, axis=0) if len(rows) == 1 else rows

    def _rows(self, group: ActionGroup, reply: Map[str, object]) -> Array | Refusal:
        if group.key not in reply:
            there = ", ".join(map(str, reply)) or "nothing"
            return Refusal("BAD_REPLY", f"no '{group.key}' in the answer, which has {there}")
        try:
            rows = np.asarray(reply[group.key], dtype=np.float64)
        except (TypeError, ValueError):
            return Refusal("BAD_REPLY", f"'{group.key}' is no array of numbers")
        want = (self.terms.horizon, group.size)
        if rows.shape != want:
            return Refusal("BAD_REPLY", f"'{group.key}' has shape {rows.shape}, the contract says {want}")
        if not np.all(np.isfinite(rows)):
            at = np.argwhere(~np.isfinite(rows))[0]
            return Refusal("BAD_REPLY", f"'{group.key}'[{at[0]}, {at[1]}] is {rows[at[0], at[1]]}")
        return rows


def _picture(stream: Picture, o: Observation) -> NDArray:
    """uint8 of the stream's size and layout; ``pad`` keeps the proportions and fills with black."""
    h, w = stream.size
    image = o.image
    if image.shape[:2] != (h, w):
        if stream.fit == "pad":
            share = min(h / image.shape[0], w / image.shape[1])
            inner = max(round(image.shape[0] * share), 1), max(round(image.shape[1] * share), 1)
        else:
            inner = h, w
        shrinking = inner[0] * inner[1] < image.shape[0] * image.shape[1]
        small = cv2.resize(image, inner[::-1], interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
        image = np.zeros((h, w, 3), np.uint8)
        top, left = (h - inner[0]) // 2, (w - inner[1]) // 2
        image[top : top + inner[0], left : left + inner[1]] = small
    return np.ascontiguousarray(image.transpose(2, 0, 1) if stream.layout == "chw" else image)
