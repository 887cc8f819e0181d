"""From a data set to a trained model: build, learn the three parts, calibrate, judge the reader."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from humanoid_core.robot_model import RobotModel
from vla_nodes.backends.small_vla import VERBS, SmallVla, SmallVlaConfig
from vla_nodes.training import learn, motion, phrases
from vla_nodes.training.calibrate import Calibration, calibrate
from vla_nodes.training.dataset import Arrays, Dataset
from vla_nodes.training.expert import REGION, Postures
from vla_nodes.training.learn import Effort, Part

#: One scale for all directions of a place, m, so that a variance means the same in each.
PLACE_SCALE = 0.06
HORIZON, STEP = 50, 0.02
#: Rounds of waving, and moments in one.
RHYTHM = 60, 8192
#: Sentences that the reader is judged by.
JUDGED = 2000


@dataclass(frozen=True)
class Reading:
    """Shares of held-out paraphrases that are understood rightly, of seen ones, and of strange sentences refused."""

    held_out: float
    seen: float
    refused: float


@dataclass(frozen=True)
class Trained:
    """What came out: the model, how it did on what was held out, and the losses of each part's rounds."""

    model: SmallVla
    calibration: Calibration
    reading: Reading
    losses: dict[str, list[float]]


def build(robot: RobotModel, recipe_seed: int, postures: Postures, width: int, height: int) -> SmallVla:
    """An untrained model for a robot; the same seed gives the same weights."""
    upper = robot.groups["upper_body"]
    names = [robot.joint_names[i] for i in upper]
    rest = np.repeat(postures.rest[:, None], len(postures.tops), axis=1)
    arms = np.concatenate(np.concatenate([postures.touch, postures.above, rest, postures.point], axis=1), axis=1)
    mean, std = arms.mean(axis=0), np.maximum(arms.std(axis=0), 0.1)
    waist = [names.index(n) for n in names if "waist" in n]
    if waist != list(range(len(names) - arms.shape[1])):
        raise learn.TrainingError(f"robot '{robot.name}': its upper body is {names}; the waist and two arms are needed")
    statistics = {"state_mean": [0.0] * len(waist) + mean.tolist(), "state_std": [0.05] * len(waist) + std.tolist(),
                  "place_mean": REGION.mean(axis=0).tolist(), "place_std": [PLACE_SCALE] * 3}  # fmt: skip
    torch.manual_seed(recipe_seed)
    config = SmallVlaConfig(
        joint_names=names, picture=[height, width], horizon=HORIZON, step=STEP, knots=motion.KNOTS,
        knot_dt=motion.KNOT_DT, vocabulary=learn.vocabulary(recipe_seed), statistics=statistics,
        rest=robot.rest[list(upper)].tolist(), period=motion.PERIOD, waved=motion.WAVED,
    )  # fmt: skip
    return SmallVla(config)


def train(robot: RobotModel, data: Dataset, effort: Effort, folder: Path, progress: learn.Progress,
          note: Callable[[str], None] = lambda text: None, threads: int = 1) -> Trained:  # fmt: skip
    """Learn from a data set; ``folder`` keeps the state between rounds; ``threads`` change the time it takes and
    nothing else. Raises TrainingError, DatasetError."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe, postures = data.recipe, data.postures()
    torch.use_deterministic_algorithms(True)
    model = build(robot, recipe.seed, postures, recipe.width, recipe.height)
    parts = _parts(model, effort, data.fingerprint, folder)
    for part in parts.values():
        part.restore()
    _learn(model, parts, data, effort, postures, progress, threads)
    model.eval()
    held = data.shards(held=True)
    calibration = calibrate(model, held)
    model.config.calibration = list(calibration.weights)
    reading = read_back(model, recipe.seed)
    note(f"places of things: median error {calibration.median_error * 1e3:.1f} mm, 90 % below "
         f"{calibration.p90_error * 1e3:.1f} mm, {calibration.right:.1%} within 20 mm; presence mistaken "
         f"{calibration.mistaken:.1%} ({calibration.moments} moments)")  # fmt: skip
    note(f"sentences: held-out paraphrases {reading.held_out:.1%}, seen {reading.seen:.1%} understood rightly; strange "
         f"ones refused {reading.refused:.1%} ({JUDGED} each)")  # fmt: skip
    return Trained(model, calibration, reading, {k: p.losses for k, p in parts.items()})


def _parts(model: SmallVla, effort: Effort, fingerprint: str, folder: Path) -> dict[str, Part]:
    """A part's state belongs to what that part learns from, so that one can be learned anew without the others."""
    rows: dict[str, tuple[int, tuple[object, ...]]] = {
        "reader": (effort.reader, (effort.sentences,)),
        "actor": (effort.actor, (effort.motions,)),
        "rhythm": (RHYTHM[0], (RHYTHM[1], effort.actor, effort.motions)),  # it learns what the actor leaves over
        "eyes": (effort.epochs, (effort.batch,)),
    }
    parts = {}
    for name, (rounds, more) in rows.items():
        text = json.dumps([name, rounds, *more, effort.rate, fingerprint])
        mark = hashlib.sha256(text.encode()).hexdigest()
        parts[name] = Part(name, getattr(model, name), rounds, effort.rate, folder, mark)
    return parts


def _learn(model: SmallVla, parts: dict[str, Part], data: Dataset, effort: Effort, postures: Postures,
           progress: learn.Progress, threads: int) -> None:  # fmt: skip
    """Reader and actor, and beside them the eyes. Every part computes in one thread, so that sums have one order."""
    seed, lock = data.recipe.seed, threading.Lock()

    def tell(part: str, done: int, of: int, loss: float) -> None:
        with lock:
            progress(part, done, of, loss)

    def words_and_motion() -> None:
        parts["reader"].run(lambda r: learn.sentences(model, seed, r, effort.sentences, 128), effort.sentences // 128,
                            learn.reading_loss(model), tell)  # fmt: skip
        field = motion.Motion(postures)
        parts["actor"].run(lambda r: learn.motions(field, seed, r, effort.motions, 512), effort.motions // 512,
                           learn.acting_loss(model), tell)  # fmt: skip
        count = min(RHYTHM[1], effort.motions)
        parts["rhythm"].run(lambda r: learn.motions(field, seed, r, count, 256, waving=True), count // 256,
                            learn.waving_loss(model), tell)  # fmt: skip

    def sight() -> None:
        if parts["eyes"].done < effort.epochs:
            shown = data.shards(held=False)
            steps = len(shown["verb"]) // effort.batch
            parts["eyes"].run(lambda r: learn.pictures(shown, seed, r, effort.batch), steps,
                              learn.seeing_loss(model, shown), tell)  # fmt: skip

    torch.set_num_threads(1)
    with ThreadPoolExecutor(min(threads, 2)) as pool:
        for future in [pool.submit(sight), pool.submit(words_and_motion)]:
            future.result()


@torch.no_grad()
def read_back(model: SmallVla, seed: int) -> Reading:
    """Judge the reader by sentences that training did not draw."""
    rng = np.random.default_rng([seed, 15])
    shares = []
    for held_out in (True, False):
        said = [phrases.sample(rng, held_out, 0.0) for _ in range(JUDGED)]
        shares.append(float(np.mean([_same(model, s) for s in said])))
    strange = [phrases.strange(rng) for _ in range(JUDGED)]
    understood = model.reader(model.reader.tokens(strange))["understood"][:, 0].sigmoid().numpy()
    return Reading(shares[0], shares[1], float(np.mean(understood < 0.5)))


def _same(model: SmallVla, said: phrases.Phrase) -> bool:
    assert said.task is not None
    out = model.reader(model.reader.tokens([said.text]))
    labels = learn._label(said)
    got = [int(out[k].argmax()) for k in ("verb", "hand", "colour", "kind")]
    fits = all(want in (-1, have) for want, have in zip(labels[:4], got, strict=True))
    return fits and float(out["understood"].sigmoid()) >= 0.5


def actor_error(model: SmallVla, data: Dataset) -> dict[str, float]:
    """Per verb the mean distance, rad, of the chunk's last row from the expert's, on the held-out moments."""
    arrays: Arrays = data.shards(held=True)
    out: dict[str, float] = {}
    state = torch.from_numpy(arrays["observation.state"])
    rows = np.arange(len(state))
    top = torch.tensor(np.nan_to_num(arrays["things.top"][rows, arrays["target"]]))
    with torch.no_grad():
        verb = torch.nn.functional.one_hot(torch.tensor(arrays["verb"]), len(VERBS)).float()
        hand = torch.nn.functional.one_hot(torch.tensor(arrays["hand"]), 3).float()
        made = model.actor(model.normal(state), (top - model.place_mean) / model.place_std, verb, hand,
                           torch.from_numpy(arrays["observation.elapsed"])).mean(0)  # fmt: skip
    error = (state[:, None] + 0.5 * made - torch.from_numpy(arrays["action"]))[:, -1].abs().amax(1).numpy()
    for k, name in enumerate(VERBS):
        out[name] = float(np.mean(error[arrays["verb"] == k]))
    return out
