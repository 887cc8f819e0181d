"""What names and masses suggest: groups of joints, soles, shapes. Guesses, for a person to check.

A link without a usable shape is drawn as capsules towards its joints, or as the box that has its mass and inertia
(for a uniform box of mass m: half_x = sqrt(1.5 (Iyy + Izz - Ixx) / m), and so on round).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from humanoid_core.robot_read import Found, FoundLink

LEG = re.compile(r"hip|knee|ankle|leg|thigh|calf|shank|foot", re.I)
WAIST = re.compile(r"waist|torso|spine|lumbar", re.I)
ARM = re.compile(r"shoulder|elbow|wrist|arm|hand|gripper", re.I)
HEAD = re.compile(r"head|neck", re.I)
LEFT = re.compile(r"(^|[^a-z])(l|left)([^a-z]|$)|^left|left$", re.I)
RIGHT = re.compile(r"(^|[^a-z])(r|right)([^a-z]|$)|^right|right$", re.I)
#: Radii of drawn limbs and least half width of a box, m.
THICKEST, THINNEST, FLATTEST = 0.06, 0.015, 0.005


def side_of(name: str) -> str:
    """left, right or ''."""
    left, right = bool(LEFT.search(name)), bool(RIGHT.search(name))
    return "" if left == right else "left" if left else "right"


def groups_of(names: Iterable[str]) -> dict[str, list[str]]:
    """legs, waist, head, left_arm, right_arm as far as names tell, and upper_body: all that are not legs."""
    names = list(names)
    legs = [n for n in names if LEG.search(n) and not ARM.search(n)]
    rest = [n for n in names if n not in legs]
    found = {"legs": legs, "waist": [n for n in rest if WAIST.search(n) and not ARM.search(n)],
             "head": [n for n in rest if HEAD.search(n)],
             **{f"{s}_arm": [n for n in rest if ARM.search(n) and side_of(n) == s] for s in ("left", "right")}}
    return {**{k: v for k, v in found.items() if v}, "upper_body": rest}


def feet_of(found: Found, legs: list[str]) -> dict[str, tuple[str, list[list[float]]]]:
    """left and right -> (link, four points of its sole, m): the last link of each leg, the box of its inertia."""
    out = {}
    moved = {link.joint: link for link in found.links if link.joint}
    parents = {link.name: link.parent for link in found.links}
    for side in ("left", "right"):
        own = [moved[j] for j in legs if side_of(j) == side]
        if not own:
            continue
        foot = max(own, key=lambda link: _depth(link.name, parents))
        half = inertia_box(foot)
        if half is None:
            continue
        x, y, z = (float(c) for c in foot.com)
        out[side] = (foot.name, [[_short(x + a * half[0]), _short(y + b * half[1]), _short(z - half[2])]
                                 for a in (-1, 1) for b in (1, -1)])
    return out


def _depth(link: str | None, parents: dict[str, str | None]) -> int:
    depth = 0
    while link is not None:
        link, depth = parents[link], depth + 1
    return depth


def inertia_box(link: FoundLink) -> tuple[float, float, float] | None:
    """Half sizes in m, along the link's axes, of the uniform box with this mass and these moments; None without."""
    if not link.mass > 0.0:
        return None
    xx, _, _, yy, _, zz = link.inertia
    sizes = [math.sqrt(max(1.5 * moment / link.mass, 0.0)) for moment in (yy + zz - xx, xx + zz - yy, xx + yy - zz)]
    return (max(sizes[0], FLATTEST), max(sizes[1], FLATTEST), max(sizes[2], FLATTEST))


def shapes_of(found: Found) -> dict[str, list[dict[str, Any]]]:
    """Own primitives for each link with a mass: a capsule to the joint that it carries, or a box."""
    moving = {link.name: link for link in found.links if link.joint}
    shapes: dict[str, list[dict[str, Any]]] = {}
    for link in found.links:
        half = inertia_box(link)
        if half is None:
            continue
        ends = [np.array(child.xyz) for child in moving.values() if child.parent == link.name]
        far = [end for end in ends if np.linalg.norm(end) > 0.04]
        if link.joint is None or len(far) != 1:
            if ends and not far:
                continue  # an intermediate link of a joint with several axes: nothing to draw
            shapes[link.name] = [{"shape": "box", "xyz": [_short(c) for c in link.com],
                                  "half": [_short(0.8 * h) for h in half]}]
            continue
        radius = min(max(0.5 * (sorted(half)[0] + sorted(half)[1]) * 0.7, THINNEST), THICKEST)
        start, end = 0.1 * far[0], 0.85 * far[0]
        shapes[link.name] = [{"shape": "capsule", "fromto": [_short(c) for c in (*start, *end)],
                              "radius": _short(radius)}]
    return shapes


def _short(value: float) -> float:
    return round(float(value), 5) + 0.0

