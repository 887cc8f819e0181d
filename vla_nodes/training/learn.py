"""Learning: the reader from sentences, the actor from the expert's field of motion, the eyes from pictures.

The three parts meet in clear quantities (what is asked for, where the thing is), so each learns from what it needs most
of and is cheap: sentences and motion are made as they are used, pictures come from the data set. Every round draws from
its own seed and ends with its state on disk, so that an interrupted training goes on and ends with the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vla_nodes.backends.small_vla import COLOURS, HANDS, KINDS, VERBS, SmallVla
from vla_nodes.training import motion, phrases, sampling
from vla_nodes.training.dataset import Arrays

Loss = Callable[[Any], Tensor]
#: progress(part, round, of, loss)
Progress = Callable[[str, int, int, float], None]
#: Questions to a picture in ``queries``, and how many of them a step of training asks.
QUESTIONS, SOME = 15, 6
#: The 9 things of a shard, in its order.
THINGS = tuple((c, k) for c in COLOURS[:3] for k in ("cube", "cylinder", "ball"))


@dataclass(frozen=True)
class Effort:
    """Rounds of each part; samples in a round of reader and actor; ``epochs`` over the pictures."""

    reader: int = 40
    actor: int = 240
    epochs: int = 12
    sentences: int = 6000
    motions: int = 20480
    batch: int = 64
    rate: float = 2e-3


class TrainingError(ValueError):
    """A state on disk that does not belong to this training."""


class Part:
    """One part's rounds: its own optimiser, a cosine schedule, and its state on disk after each round."""

    def __init__(self, name: str, module: nn.Module, rounds: int, rate: float, folder: Path, mark: str) -> None:
        self.name, self.module, self.rounds, self._rate = name, module, rounds, rate
        self._file, self._mark = folder / f"{name}.pt", mark
        self._optimiser = torch.optim.AdamW(module.parameters(), rate, weight_decay=1e-4)
        self.done, self.losses = 0, []  # type: int, list[float]

    def restore(self) -> None:
        """Go on where an earlier run stopped. Raises TrainingError when that was another training."""
        if not self._file.is_file():
            return
        try:
            state = torch.load(self._file, weights_only=True)
        except Exception as error:  # torch and pickle have many ways to say that a file is not whole
            text = f"{self._file}: cannot be read ({type(error).__name__}); remove it to begin anew"
            raise TrainingError(text) from None
        if state.get("mark") != self._mark:
            raise TrainingError(
                f"{self._file}: belongs to other settings or data; take another folder (--out), or remove this file"
            )
        self.module.load_state_dict(state["module"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.done, self.losses = state["done"], state["losses"]

    def run(self, batches: Callable[[int], Iterator[Any]], steps: int, loss: Loss, progress: Progress) -> None:
        """``batches(round)`` gives ``steps`` batches."""
        total = max(self.rounds * steps, 1)
        self.module.train()
        for number in range(self.done, self.rounds):
            sums = 0.0
            for k, batch in enumerate(batches(number)):
                at = number * steps + k
                warm = min(1.0, (at + 1) / min(200, total))
                for group in self._optimiser.param_groups:
                    group["lr"] = self._rate * warm * (0.5 + 0.5 * math.cos(math.pi * at / total)) + 1e-6
                self._optimiser.zero_grad()
                value = loss(batch)
                value.backward()
                nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
                self._optimiser.step()
                sums += float(value.detach())
            self.done = number + 1
            self.losses.append(sums / max(steps, 1))
            self._save()
            progress(self.name, self.done, self.rounds, self.losses[-1])
        self.module.eval()

    def _save(self) -> None:
        part = self._file.with_suffix(".part")
        torch.save({"mark": self._mark, "module": self.module.state_dict(), "optimiser": self._optimiser.state_dict(),
                    "done": self.done, "losses": self.losses}, part)  # fmt: skip
        part.replace(self._file)


# --- the reader


def vocabulary(seed: int, count: int = 20000) -> list[str]:
    """Words of the training sentences, sorted."""
    from vla_nodes.backends.small_vla import words_of

    rng = np.random.default_rng([seed, 11])
    words = {w for _ in range(count) for w in words_of(phrases.sample(rng).text)}
    return sorted(words - {"<unknown>"})


def sentences(model: SmallVla, seed: int, number: int, count: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Token rows and labels (n, 5): verb, hand, colour, kind, understood; -1: not asked."""
    rng = np.random.default_rng([seed, 12, number])
    said = [phrases.sample(rng) for _ in range(count)]
    tokens = model.reader.tokens([s.text for s in said])
    labels = torch.tensor([_label(s) for s in said])
    for k in range(0, count - batch + 1, batch):
        yield tokens[k : k + batch], labels[k : k + batch]


def _label(said: phrases.Phrase) -> list[int]:
    task = said.task
    if task is None:
        return [-1, -1, -1, -1, 0]
    thing = task.verb in ("touch", "point")
    return [VERBS.index(task.verb), HANDS.index(task.hand), COLOURS.index(task.colour) if thing else -1,
            KINDS.index(task.kind) if thing else -1, 1]  # fmt: skip


def reading_loss(model: SmallVla) -> Loss:
    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        tokens, labels = batch
        said = model.reader(tokens)
        total = nn.functional.binary_cross_entropy_with_logits(said["understood"][:, 0], labels[:, 4].float())
        for k, name in enumerate(("verb", "hand", "colour", "kind")):
            known = labels[:, k] >= 0
            if bool(known.any()):
                total = total + nn.functional.cross_entropy(said[name][known], labels[known, k])
        return total

    return loss


# --- the actor


def motions(
    field: motion.Motion, seed: int, number: int, count: int, batch: int, waving: bool = False
) -> Iterator[dict[str, Tensor]]:
    """States, tasks and the expert's chunks, made for this round; ``waving``: of that alone."""
    rng = np.random.default_rng([seed, 16 if waving else 13, number])
    task = sampling.tasks(rng, count, len(field.postures.tops))
    if waving:
        task = replace(task, verb=np.full(count, motion.WAVE, dtype=np.intp))
    if waving:
        arms = sampling.wavers(rng, field, task)
    else:
        left, right = (sampling.loosen(rng, field, place) for place in sampling.arms(rng, field, task))
        arms = left, right
    waist = 0.008 * rng.normal(size=(count, 3))
    state = np.concatenate([waist, arms[0].q, arms[1].q], axis=1)
    rows = motion.with_waist(state, field.chunks(arms, task)[0]) - state[:, None]
    state = state + 0.002 * rng.normal(size=state.shape)
    all_ = {"state": state, "rows": rows, "top": field.postures.tops[task.thing], "elapsed": task.elapsed}
    tensors = {k: torch.tensor(v, dtype=torch.float32) for k, v in all_.items()}
    tensors["verb"] = nn.functional.one_hot(torch.tensor(task.verb), len(VERBS)).float()
    tensors["hand"] = nn.functional.one_hot(torch.tensor(task.hand), len(HANDS)).float()
    for k in range(0, count - batch + 1, batch):
        yield {name: v[k : k + batch] for name, v in tensors.items()}


def acting_loss(model: SmallVla) -> Loss:
    def loss(b: dict[str, Tensor]) -> Tensor:
        place = (b["top"] - model.place_mean) / model.place_std
        made = model.actor(model.normal(b["state"]), place, b["verb"], b["hand"], b["elapsed"])
        return nn.functional.smooth_l1_loss(made, (b["rows"] / 0.5)[None].expand_as(made), beta=0.03)

    return loss


def waving_loss(model: SmallVla) -> Loss:
    """What the actor, as it is by now, leaves over."""

    def loss(b: dict[str, Tensor]) -> Tensor:
        state = model.normal(b["state"])
        with torch.no_grad():
            made = model.actor(state, torch.zeros_like(b["top"]), b["verb"], b["hand"], b["elapsed"]).mean(0)
        made = made + model.rhythm(state, b["hand"], model.actor.clock(b["elapsed"]))
        return nn.functional.smooth_l1_loss(made, b["rows"] / 0.5, beta=0.03)

    return loss


# --- the eyes


@dataclass(frozen=True)
class Queries:
    """What every picture is asked: the 9 things, the 3 colours and the 3 kinds. Per moment and question (n, 15):
    whether it is there, whether the question is fair, its top normalised (…, 3) and its pixel (…, 2)."""

    asked: Tensor
    there: Tensor
    fair: Tensor
    place: Tensor
    pixel: Tensor


def queries(arrays: Arrays, model: SmallVla) -> Queries:
    """Questions and answers of moments."""
    names = [*THINGS, *((c, "") for c in COLOURS[:3]), *(("", k) for k in KINDS[:3])]
    asked = torch.zeros(len(names), len(COLOURS) + len(KINDS))
    for i, (c, k) in enumerate(names):
        asked[i, COLOURS.index(c)] = asked[i, len(COLOURS) + KINDS.index(k)] = 1.0
    match = np.array([[(not c or c == a) and (not k or k == b) for a, b in THINGS] for c, k in names])
    shown = arrays["things.there"]
    many = shown.astype(np.int64) @ match.T.astype(np.int64)
    which = np.argmax(shown[:, None] & match[None], axis=2)
    rows = np.arange(len(shown))[:, None]
    top = np.nan_to_num(arrays["things.top"][rows, which])
    pixel = np.nan_to_num(arrays["things.pixel"][rows, which])
    place = (torch.tensor(top) - model.place_mean) / model.place_std
    return Queries(asked, torch.tensor(many == 1), torch.tensor(many <= 1), place, torch.tensor(pixel))


def pictures(arrays: Arrays, seed: int, number: int, batch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Indices of moments in this epoch's order, what their colours are multiplied by (n, 3, 1, 1), and a number for
    each question (n, 15) by which some are chosen."""
    rng = np.random.default_rng([seed, 14, number])
    order = torch.tensor(rng.permutation(len(arrays["verb"])))
    for k in range(0, len(order) - batch + 1, batch):
        gain = 1.0 + 0.1 * rng.normal(size=(batch, 3, 1, 1))
        draw = rng.uniform(size=(batch, QUESTIONS))
        yield order[k : k + batch], torch.tensor(gain, dtype=torch.float32), torch.tensor(draw, dtype=torch.float32)


def _channels_last(module: nn.Module) -> None:
    """Convolutions on a processor take two thirds of the time so."""
    for p in module.parameters():
        if p.dim() == 4:
            p.data = p.data.contiguous(memory_format=torch.channels_last)


def seeing_loss(model: SmallVla, arrays: Arrays) -> Loss:
    rgb = torch.from_numpy(np.ascontiguousarray(arrays["observation.images.head"].transpose(0, 3, 1, 2)))
    state = model.normal(torch.from_numpy(arrays["observation.state"])).float()
    q = queries(arrays, model)
    cells = model.eyes.where
    size = torch.tensor([model.config.picture[1] / 4.0, model.config.picture[0] / 4.0])
    _channels_last(model.eyes.trunk)

    def loss(batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        index, gain, draw = batch
        # some of the fair questions, those about things that are there before others
        some = (draw + 0.6 * q.there[index] - 2.0 * ~q.fair[index]).topk(SOME, dim=1).indices
        rows = index[:, None]
        x = (rgb[index].float() * gain).clamp(0, 255).contiguous(memory_format=torch.channels_last)
        found = model.eyes.look(model.eyes.features(x), q.asked[some], state[index])
        there, fair, place = q.there[rows, some], q.fair[rows, some], q.place[rows, some]
        away = ((cells[None, None] - q.pixel[rows, some][:, :, None]) * size).square().sum(-1)
        aim = (-away / (2 * 0.8**2)).softmax(-1)
        focus = -(aim[None] * found["attention"].log_softmax(-1)).sum(-1)
        error = (found["place"] - place[None]).square().sum(-1)
        sure = 0.5 * torch.exp(-found["log_var"]) * error + 1.5 * found["log_var"]
        seen = there[None].expand_as(focus)
        shown = nn.functional.binary_cross_entropy_with_logits(found["there"], seen.float(), reduction="none")
        shown = shown[fair[None].expand_as(shown)].mean()
        return 0.5 * focus[seen].mean() + 0.3 * sure[seen].mean() + 2.0 * error[seen].mean() + shown

    return loss
