"""What is asked in an evaluation: which task, in which words, in which scene, under which disturbance; seeded.

| split | what it is |
|---|---|
| seen | scenes and sentence frames of the kind that policies are trained with, seeds below ``NEW_SEEDS`` |
| new | the same, but scenes that no training has seen (seeds from ``NEW_SEEDS`` on) |
| paraphrase | new scenes, sentence frames that no policy is trained with (``phrases.phrase`` with ``held_out``) |
| shuffled | new scenes; the policy is told something else than what is judged: success must collapse |
| unknown | new scenes; sentences about something else altogether: to be refused before anything moves |
| light, occlusion, noise | new scenes, disturbed (``eval_world``) |
| delay0, delay100, delay300 | new scenes; so many ms from a look to its chunk |

Undisturbed splits have the delay of the classical policy beside the graph (80 ms). Tasks take turns, so that every
verb, thing and hand is asked equally often.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from humanoid_replay.vla_stage import THINKING
from vla_nodes.core.instruction import COLOURS, KINDS, Task
from vla_nodes.training.phrases import phrase

#: Scenes with seeds from here on are kept from every training.
NEW_SEEDS = 1_000_000
BASE = ("seen", "new", "paraphrase", "shuffled", "unknown")
PERTURBED = ("light", "occlusion", "noise", "delay0", "delay100", "delay300")
SPLITS = (*BASE, *PERTURBED)
#: Nothing that any policy here was taught, in words that no training shows.
UNKNOWN = (
    "make me a cup of coffee", "sweep the floor under the window", "what is the time in Paris", "fold the laundry",
    "translate this letter into Greek", "play chess against yourself", "tell me who won the match",
    "kick the football into the goal", "open the door and walk outside", "paint the wall yellow",
    "water the plants in the garden", "grasp the red cube and lift it", "touch the purple cone with your left hand",
    "point at the hammer with your right hand",
)  # fmt: skip
#: Things on the table: the one that is meant, and others.
THINGS = 3


@dataclass(frozen=True)
class Spec:
    """One episode. ``told`` is what the policy hears, ``task`` what is judged; ``objects`` as a scene takes them;
    ``delay`` s from a look to its chunk; ``seed`` of scene, sensors and disturbance."""

    split: str
    index: int
    seed: int
    task: Task
    told: str
    objects: str
    delay: float = THINKING


def tasks() -> list[Task]:
    """Everything that can be asked for: 41 tasks."""
    reach = [Task(v, c, k, h) for v, c, k, h in product(("touch", "point"), COLOURS, KINDS, ("left", "right"))]
    return [*reach, *(Task(v, hand=h) for v in ("wave", "raise") for h in ("left", "right")), Task("rest")]


def plan(split: str, episodes: int, seed: int) -> list[Spec]:
    """The episodes of a split; the same for the same seed, and beginning alike for every number of them."""
    order = np.random.default_rng([seed, 7]).permutation(len(tasks()))
    return [_spec(split, i, seed, tasks()[order[i % len(order)]]) for i in range(episodes)]


def _spec(split: str, index: int, seed: int, task: Task) -> Spec:
    # the same scene and task in every split but seen, so that splits differ in one thing only
    rng = np.random.default_rng([seed, index])
    scene = int(rng.integers(NEW_SEEDS))
    if split != "seen":
        scene += NEW_SEEDS
    elif index % len(tasks()) == 0:
        scene = index // len(tasks())
    if split == "shuffled" and task.verb == "rest":
        task = Task("wave", hand="left" if rng.random() < 0.5 else "right")  # whatever it does, it rests in the end
    objects = _objects(task, rng)
    told = phrase(task, rng, held_out=split == "paraphrase")
    spec = Spec(split, index, scene, task, told, ", ".join(objects))
    if split == "shuffled":
        return replace(spec, told=phrase(_another(task, objects, rng), rng))
    if split == "unknown":
        return replace(spec, told=UNKNOWN[index % len(UNKNOWN)])
    return replace(spec, delay=int(split[5:]) / 1000.0) if split.startswith("delay") else spec


def _objects(task: Task, rng: np.random.Generator) -> list[str]:
    """Names of ``THINGS`` different things, the meant one among them."""
    pairs = [f"{c} {k}" for c, k in product(COLOURS, KINDS)]
    others = [pairs[i] for i in rng.permutation(len(pairs)) if pairs[i] != task.thing]
    meant = [task.thing] if task.verb in ("touch", "point") else []
    return [*meant, *others][:THINGS]


def _another(task: Task, objects: list[str], rng: np.random.Generator) -> Task:
    """A task of the same scene with another verb, thing or hand; pointing instead of touching the same thing with the
    same hand, or the other way round, would be nearly the same motion."""
    verbs = ("touch", "point", "wave", "raise")
    known = [Task(v, *(o.split() if v in ("touch", "point") else ("", "")), hand=h)
             for v, o, h in product(verbs, objects, ("left", "right"))]  # fmt: skip
    other = [t for t in dict.fromkeys(known) if (t.thing, t.hand) != (task.thing, task.hand)]
    return other[int(rng.integers(len(other)))]
