"""What the expert does next from anywhere on its tree of postures: chunks of 1 s, for many arms at once.

A place on the tree is an edge, the share of it and, where the edge leads to a thing, which. From there the way to the
goal is a chain of at most four postures. The chunk runs along it at ``SPEED`` (of the joint that moves most), slows
down towards the end, and whatever an arm is off the way decays: the field of motion has no memory and no clock but the
waving. Arrays are (n, ...) for n samples; an arm has 7 joints, rad; side 0 is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanoid_core.robot_model import Array
from vla_nodes.training.expert import Postures

Ints = NDArray[np.intp]

VERBS = ("touch", "point", "wave", "raise", "rest")
TOUCH, POINT, WAVE, RAISE, REST = range(5)
HANDS = ("left", "right", "either")
EITHER = 2
#: Edges of the tree.
OUT, OVER, DOWN, AIM, TO_WAVE, UP = range(6)
#: Which edge a goal's last posture ends.
LAST = {TOUCH: DOWN, POINT: AIM, WAVE: TO_WAVE, RAISE: UP, REST: OUT}
#: Fastest joint, rad/s; slowing down: speed per rad that is left, 1/s; slowest, rad/s.
SPEED, BRAKE, CREEP = 1.0, 2.5, 0.03
#: Corners are rounded over this much of the way on each side, rad.
ROUND = 0.12
#: Off the way: decay 1/s; beyond this, rad, the arm first comes back to it.
DECAY, STRAY = 2.5, 0.3
#: Things nearer to one another than this are one for a hand that is already down, m.
SAME = 0.03
#: Rows are for the observation's time plus this, s: what the set-points are ahead of the measured joints.
LEAD = 0.1
KNOTS, KNOT_DT, DT = 11, 0.1, 0.05
#: Waving: swing of the joint, rad, its period and when it ends, s after the instruction.
SWING, PERIOD, WAVED = 0.42, 2.0, 10.0


@dataclass(frozen=True)
class Place:
    """Where arms are: ``edge``, ``share`` 0…1 of it and the index of the ``thing`` (n,); ``q`` (n, 7)."""

    edge: Ints
    share: Array
    thing: Ints
    q: Array


@dataclass(frozen=True)
class Task:
    """``verb``, ``hand`` and ``thing`` (index into the postures) (n,); ``elapsed`` s since the instruction (n,)."""

    verb: Ints
    hand: Ints
    thing: Ints
    elapsed: Array


class Motion:
    """The field over one set of postures."""

    def __init__(self, postures: Postures) -> None:
        self.postures = postures

    # --- places

    def place(self, side: Ints, edge: Ints, share: Array, thing: Ints, elapsed: Array) -> Place:
        """Postures on edges; a waving arm is somewhere in its swing."""
        chain = np.stack([self._node(side, edge, thing, end) for end in (0, 1)], axis=1)
        q = chain[:, 0] + share[:, None] * (chain[:, 1] - chain[:, 0])
        near = np.where(edge == TO_WAVE, _near((1.0 - share) * _far(chain[:, 1] - chain[:, 0])), 0.0)
        q[:, self.postures.swing] += near * _swing(elapsed - LEAD)
        return Place(edge, share, thing, q)

    def _node(self, side: Ints, edge: Ints, thing: Ints, end: int) -> Array:
        """First or last posture of edges (n, 7)."""
        p = self.postures
        ends = {OUT: (p.rest, p.ready), OVER: (p.ready, p.above), DOWN: (p.above, p.touch), AIM: (p.ready, p.point),
                TO_WAVE: (p.ready, p.wave), UP: (p.ready, p.raised)}  # fmt: skip
        out = np.zeros((len(side), p.rest.shape[1]))
        for number, pair in ends.items():
            here = edge == number
            table = pair[end]
            out[here] = table[side[here], thing[here]] if table.ndim == 3 else table[side[here]]
        return out

    # --- chunks

    def chunks(self, places: tuple[Place, Place], task: Task) -> tuple[Array, Ints]:
        """Rows (n, KNOTS, 14), left arm first, and which side acts (n,)."""
        active = self.active(places, task)
        engaged = [self.beyond_ready(np.full(len(active), side), places[side]) for side in (0, 1)]
        rows = []
        for side in (0, 1):
            acts = (active == side) & (task.verb != REST)
            verb = np.where(acts, task.verb, REST)
            # the arm that acts waits until the other is out of its way
            free = np.where(acts, np.clip(1.0 - engaged[1 - side] / STRAY, 0.0, 1.0), 1.0)
            rows.append(self._roll(np.full(len(active), side), places[side], verb, task, free))
        return np.concatenate(rows, axis=2), active

    def active(self, places: tuple[Place, Place], task: Task) -> Ints:
        """The side that acts: the one that is named; else the one that is on its way alone; else the nearer one."""
        n = len(task.verb)
        gone = [self.beyond_ready(np.full(n, side), places[side]) > 0.2 for side in (0, 1)]
        near = np.where(np.isin(task.verb, (TOUCH, POINT)) & (self.postures.tops[task.thing, 1] > 0.0), 0, 1)
        free = np.where(gone[0] & ~gone[1], 0, np.where(gone[1] & ~gone[0], 1, near))
        return np.where(task.hand == EITHER, free, task.hand).astype(np.intp)

    def beyond_ready(self, side: Ints, place: Place) -> Array:
        """How far arms are out over the table or up, rad from the ready posture (n,)."""
        return np.where(place.edge == OUT, 0.0, _far(place.q - self.postures.ready[side]))

    def _roll(self, side: Ints, place: Place, verb: Ints, task: Task, free: Array) -> Array:
        """Follow the field for KNOTS x KNOT_DT s: (n, KNOTS, 7)."""
        chain, start = self._chain(side, place, verb, task.thing)
        ends = np.cumsum(_far(np.diff(chain, axis=1)), axis=1)
        s, total = start.copy(), ends[:, -1]
        off = place.q - _along(chain, ends, s)
        waves = verb == WAVE
        swing = np.zeros_like(off)

        def swung(t: float) -> Array:
            on = np.where(waves, _near(total - s), 0.0)
            swing[:, self.postures.swing] = on * _swing(task.elapsed + t)
            return swing

        off -= swung(-LEAD)
        rows = []
        every, first = round(KNOT_DT / DT), round(LEAD / DT)
        for k in range(1, first + every * (KNOTS - 1) + 1):
            stray = _far(off)
            speed = np.minimum(SPEED, BRAKE * (total - s) + CREEP) * np.clip(1.0 - stray / STRAY, 0.0, 1.0) * free
            s = np.minimum(s + DT * speed, total)
            pull = np.minimum(DECAY, SPEED / np.maximum(stray, 1e-9))
            off = off * np.exp(-DT * pull)[:, None]
            if k >= first and (k - first) % every == 0:
                rows.append(_along(chain, ends, s) + off + swung(k * DT - LEAD))
        return np.stack(rows, axis=1)

    def _chain(self, side: Ints, place: Place, verb: Ints, goal: Ints) -> tuple[Array, Array]:
        """Postures to pass (n, 4, 7), the last one repeated, and how far along them the arms are, rad (n,)."""
        p, n = self.postures, len(side)
        chain = np.zeros((n, 4, p.rest.shape[1]))
        start = np.zeros(n)
        there = self._onwards(side, verb, goal)  # ready … goal, (n, 3, 7)
        length = {TOUCH: 2, POINT: 1, WAVE: 1, RAISE: 1, REST: 1}
        same = np.linalg.norm(p.tops[place.thing] - p.tops[goal], axis=1) < SAME
        # on the way to the goal already: rest, ready … goal
        own = (place.edge == OUT) & (verb != REST)
        own |= (verb == TOUCH) & ((place.edge == OVER) | ((place.edge == DOWN) & same))
        for v in (POINT, WAVE, RAISE):
            own |= (verb == v) & (place.edge == LAST[v])
        chain[own] = np.concatenate([p.rest[side], there.reshape(n, -1)], axis=1).reshape(n, 4, -1)[own]
        index = np.select([place.edge == OUT, place.edge == DOWN], [0, 2], 1)
        lengths = _far(np.diff(chain, axis=1))
        before = np.where(index >= 1, lengths[:, 0], 0.0) + np.where(index == 2, lengths[:, 1], 0.0)
        here = np.take_along_axis(lengths, index[:, None], axis=1)[:, 0]
        start[own] = (before + place.share * here)[own]
        # anything else leads back first
        back = ~own
        lead = [self._node(side, place.edge, place.thing, end) for end in (1, 0)]
        deep = back & (place.edge == DOWN)
        across = deep & (verb == TOUCH)
        for v, steps in length.items():
            pick = back & ~deep & (verb == v)
            tail = there[:, 1:3] if steps == 2 else there[:, [1, 1]]
            chain[pick] = np.concatenate([lead[0][:, None], lead[1][:, None], tail], axis=1)[pick]
            pick = deep & ~across & (verb == v)
            ready, end = there[:, :1], there[:, 1:2]
            chain[pick] = np.concatenate([lead[0][:, None], lead[1][:, None], ready, end], axis=1)[pick]
        chain[across] = np.concatenate([lead[0][:, None], lead[1][:, None], there[:, 1:3]], axis=1)[across]
        homing = back & (place.edge == OUT)  # rest is the goal, and the arm between ready and rest
        home = [p.ready[side], p.rest[side], p.rest[side], p.rest[side]]
        chain[homing] = np.stack(home, axis=1)[homing]
        first = _far(chain[:, 1] - chain[:, 0])
        start[back] = ((1.0 - place.share) * first)[back]
        return chain, start

    def _onwards(self, side: Ints, verb: Ints, goal: Ints) -> Array:
        """ready and what follows it on the way to the goal, the last repeated (n, 3, 7)."""
        p = self.postures
        tables = {TOUCH: (p.above[side, goal], p.touch[side, goal]), POINT: (p.point[side, goal],) * 2,
                  WAVE: (p.wave[side],) * 2, RAISE: (p.raised[side],) * 2, REST: (p.rest[side],) * 2}  # fmt: skip
        out = np.zeros((len(side), 3, p.rest.shape[1]))
        out[:, 0] = p.ready[side]
        for v, (middle, end) in tables.items():
            here = verb == v
            out[here, 1], out[here, 2] = middle[here], end[here]
        return out


def with_waist(state: Array, arms: Array) -> Array:
    """Knots (n, knots, 17) of arms (n, knots, 14) and a waist that comes back to the middle."""
    t = KNOT_DT * np.arange(KNOTS)
    waist = state[:, None, :3] * np.exp(-DECAY * t)[None, :, None]
    return np.concatenate([waist, arms], axis=2)


def _far(v: Array) -> Array:
    """Largest joint of the last axis, rad."""
    return np.asarray(np.max(np.abs(v), axis=-1))


def _near(left: Array) -> Array:
    """1 at the waving posture, 0 from 0.25 rad away on."""
    return np.asarray(np.clip(1.0 - left / 0.25, 0.0, 1.0))


def _swing(t: Array) -> Array:
    """The swing at ``t`` s after the instruction, fading out at its end."""
    fade = np.clip((WAVED - t) / 0.5, 0.0, 1.0)
    return np.asarray(SWING * fade * np.sin(2.0 * np.pi * t / PERIOD))


def _along(chain: Array, ends: Array, s: Array) -> Array:
    """The posture ``s`` rad along chains, corners rounded (n, 7)."""
    half = np.minimum(ROUND, np.minimum(s, ends[:, -1] - s))
    out = np.zeros((len(chain), chain.shape[2]))
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        out += _exactly(chain, ends, s + share * half)
    return out / 5.0


def _exactly(chain: Array, ends: Array, s: Array) -> Array:
    begins = np.concatenate([np.zeros((len(ends), 1)), ends[:, :-1]], axis=1)
    index = np.minimum(np.sum(s[:, None] > ends, axis=1), ends.shape[1] - 1)
    rows = np.arange(len(chain))
    length = np.maximum(ends[rows, index] - begins[rows, index], 1e-9)
    share = np.clip((s - begins[rows, index]) / length, 0.0, 1.0)[:, None]
    a, b = chain[rows, index], chain[rows, index + 1]
    return np.asarray(a + share * (b - a))
