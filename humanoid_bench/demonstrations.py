"""Demonstrations: the expert's motion under the eyes of the simulated camera, as a data set for training.

Every moment is drawn on its own: a task, arms that are somewhere on the expert's way, a scene. No physics runs, because
the expert's motion needs none; friction, load and pushes are in how far the joints are off the way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from humanoid_bench.studio import ALL, Studio
from humanoid_core.robot_model import RobotModel
from vla_nodes.core.instruction import Task as Words
from vla_nodes.training import motion, sampling
from vla_nodes.training.dataset import Arrays, Dataset, Recipe, shard_name
from vla_nodes.training.expert import Expert, places
from vla_nodes.training.phrases import phrase

#: Seeds of the parts of one recipe.
PLACES, SHARD = 1, 2
#: Noise of a joint sensor and play of the waist, rad.
SENSOR, WAIST = 0.002, 0.008

Progress = Callable[[str, int, int], None]


def demonstrate(robot: RobotModel, folder: Path, recipe: Recipe, progress: Progress) -> Dataset:
    """Make what is missing in ``folder``; ``progress(what, done, of)``.

    Raises DatasetError, StudioError, ExpertError."""
    data = Dataset.begin(folder, recipe)
    if not data.has("postures.npz"):
        tops = places(recipe.places, np.random.default_rng([recipe.seed, PLACES]))
        data.put_postures(Expert(robot).postures(tops, lambda k: progress("postures", k, recipe.places)))
    missing = [k for k in range(recipe.shards) if not data.has(shard_name(k))]
    if not missing:
        return data
    field = motion.Motion(data.postures())
    studio = Studio(robot, recipe.width, recipe.height)
    try:
        for k in missing:
            rng = np.random.default_rng([recipe.seed, SHARD, k])
            data.put(shard_name(k), _shard(studio, field, recipe.frames, rng))
            progress("pictures", (k + 1) * recipe.frames, recipe.shards * recipe.frames)
    finally:
        studio.close()
    return data


def _shard(studio: Studio, field: motion.Motion, count: int, rng: np.random.Generator) -> Arrays:
    task = sampling.tasks(rng, count, len(field.postures.tops))
    arms = sampling.arms(rng, field, task)
    waist = WAIST * rng.normal(size=(count, 3))
    state = np.concatenate([waist, arms[0].q, arms[1].q], axis=1)
    action = motion.with_waist(state, field.chunks(arms, task)[0])
    target = rng.integers(len(ALL), size=count)
    shots, texts = [], []
    for i in range(count):
        shots.append(studio.shoot(rng, state[i], int(target[i]), field.postures.tops[task.thing[i]]))
        colour, kind = ALL[target[i]]
        verb, hand = motion.VERBS[task.verb[i]], motion.HANDS[task.hand[i]]
        named = verb in ("touch", "point")
        texts.append(phrase(Words(verb, colour if named else "", kind if named else "", hand), rng))
    return {
        "observation.images.head": np.stack([s.rgb for s in shots]),
        "observation.state": (state + SENSOR * rng.normal(size=state.shape)).astype(np.float32),
        "observation.elapsed": task.elapsed.astype(np.float32),
        "task": np.array(texts),
        "action": action.astype(np.float32),
        "verb": task.verb.astype(np.int64),
        "hand": task.hand.astype(np.int64),
        "target": target.astype(np.int64),
        "things.there": np.stack([s.there for s in shots]),
        "things.top": np.stack([s.tops for s in shots]).astype(np.float32),
        "things.pixel": np.stack([s.pixels for s in shots]).astype(np.float32),
    }
