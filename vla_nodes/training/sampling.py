"""Seeded samples of what arms may be doing while they are asked for something."""

from __future__ import annotations

import numpy as np

from humanoid_core.robot_model import Array
from vla_nodes.training.motion import (
    AIM,
    DOWN,
    EITHER,
    LAST,
    OUT,
    OVER,
    POINT,
    RAISE,
    REST,
    SWING,
    TO_WAVE,
    TOUCH,
    UP,
    WAVE,
    WAVED,
    Ints,
    Motion,
    Place,
    Task,
)  # fmt: skip

#: How often which verb is asked for, and which edge an arm is on that has nothing to do with the task.
VERB_SHARES = {TOUCH: 0.36, POINT: 0.26, WAVE: 0.14, RAISE: 0.1, REST: 0.14}
IDLE_SHARES = {OUT: 0.82, OVER: 0.05, DOWN: 0.04, AIM: 0.04, TO_WAVE: 0.025, UP: 0.025}
#: What joints are off the way by, rad: tracking, friction and load; and sometimes more, after a push.
USUAL_OFF, PUSHED_OFF, PUSHED = 0.012, 0.05, 0.2


def tasks(rng: np.random.Generator, count: int, things: int) -> Task:
    """What is asked for."""
    verb = rng.choice(list(VERB_SHARES), count, p=list(VERB_SHARES.values())).astype(np.intp)
    hand = rng.choice(3, count, p=[0.4, 0.4, 0.2]).astype(np.intp)
    return Task(verb, hand, rng.integers(things, size=count), rng.uniform(0.0, WAVED + 4.0, count))


def arms(rng: np.random.Generator, motion: Motion, task: Task) -> tuple[Place, Place]:
    """Both arms somewhere on the tree: the named one mostly on the way to its goal, the other mostly at rest."""
    n, tops = len(task.verb), motion.postures.tops
    named = np.where(task.hand == EITHER, np.where(tops[task.thing, 1] > 0.0, 0, 1), task.hand)
    # a named arm may as well be the idle one: the instruction has changed
    named = np.where(rng.uniform(size=n) < 0.1, 1 - named, named)
    found = []
    for side in (0, 1):
        edge = rng.choice(list(IDLE_SHARES), n, p=list(IDLE_SHARES.values())).astype(np.intp)
        share = rng.uniform(size=n)
        still = (edge == OUT) & (rng.uniform(size=n) < 0.75)
        share = np.where(still, 0.0, share)
        goes = (named == side) & (rng.uniform(size=n) < 0.85)
        edge = np.where(goes, _on_the_way(rng, task.verb), edge)
        share = np.where(goes, rng.uniform(size=n), share)
        # many at the very goal, where precision counts, and at the very start
        share = np.where(goes & (rng.uniform(size=n) < 0.3), 1.0, share)
        share = np.where((edge == OUT) & goes & (rng.uniform(size=n) < 0.3), 0.0, share)
        thing = np.where(
            goes & (rng.uniform(size=n) < 0.7), _neighbours(rng, task.thing, tops), rng.integers(len(tops), size=n)
        )
        place = motion.place(np.full(n, side), edge, share, thing, task.elapsed)
        found.append(_off(rng, place))
    return found[0], found[1]


def wavers(rng: np.random.Generator, motion: Motion, task: Task) -> tuple[Place, Place]:
    """Arms of which the one that waves is mostly there already."""
    n = len(task.verb)
    found = []
    for side in (0, 1):
        waves = (np.where(task.hand == EITHER, 1, task.hand) == side) & (rng.uniform(size=n) < 0.9)
        share = np.where(rng.uniform(size=n) < 0.6, 1.0, rng.uniform(size=n))
        still = np.where(rng.uniform(size=n) < 0.8, 0.0, share)
        edge = np.where(waves, TO_WAVE, OUT).astype(np.intp)
        place = motion.place(np.full(n, side), edge, np.where(waves, share, still), task.thing, task.elapsed)
        found.append(_off(rng, loosen(rng, motion, place)))
    return found[0], found[1]


def loosen(rng: np.random.Generator, motion: Motion, place: Place) -> Place:
    """Half of the arms near the waving posture anywhere in the swing, whatever the clock says: as they arrive there."""
    loose = (place.edge == TO_WAVE) & (place.share > 0.7) & (rng.uniform(size=len(place.share)) < 0.5)
    q = place.q.copy()
    swing = motion.postures.swing
    q[:, swing] = np.where(loose, q[:, swing] + rng.uniform(-SWING, SWING, len(q)), q[:, swing])
    return Place(place.edge, place.share, place.thing, q)


def _on_the_way(rng: np.random.Generator, verb: Ints) -> Ints:
    """An edge between rest and the goal of each verb."""
    n = len(verb)
    edge = np.full(n, OUT, dtype=np.intp)
    for v, last in LAST.items():
        edge = np.where((verb == v) & (rng.uniform(size=n) < 0.65), last, edge)
    edge = np.where((verb == TOUCH) & (rng.uniform(size=n) < 0.35), OVER, edge)
    rest = (verb == REST) & (rng.uniform(size=n) < 0.6)
    return np.where(rest, rng.choice((OVER, DOWN, AIM, TO_WAVE, UP), n), edge).astype(np.intp)


def _neighbours(rng: np.random.Generator, thing: Ints, tops: Array) -> Ints:
    """The thing itself or one near it: what a hand was led to a moment ago, when the eyes were a little off."""
    other = rng.integers(len(tops), size=(len(thing), 24))
    far = np.linalg.norm(tops[other] - tops[thing][:, None], axis=2)
    near = other[np.arange(len(thing)), np.argmin(far, axis=1)]
    return np.where(rng.uniform(size=len(thing)) < 0.5, thing, near).astype(np.intp)


def _off(rng: np.random.Generator, place: Place) -> Place:
    size = np.where(rng.uniform(size=len(place.q)) < PUSHED, PUSHED_OFF, USUAL_OFF)[:, None]
    return Place(place.edge, place.share, place.thing, place.q + size * rng.normal(size=place.q.shape))
