"""The policy in the box: a small vision-language-action model for the upper body, as a transformers model.

A recurrent reader makes of the instruction what is asked for: verb, hand, colour, kind, and how sure that is. With
colour and kind an ensemble of queries looks into the features of a small convolutional network (dot-product attention
over the picture); what each finds becomes a place in the base frame with its variance. The places are fused with what
was believed before (a Kalman filter; the belief goes out as ``memory`` and comes back with the next question). Place,
words and joints become a chunk: the action heads give knots that a spline joins.

Importing this module registers ``small_vla`` with AutoConfig and AutoModel. Joints in rad, lengths in m.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

VERBS = ("touch", "point", "wave", "raise", "rest")
HANDS = ("left", "right", "either")
COLOURS = ("red", "green", "blue", "")
KINDS = ("cube", "ball", "cylinder", "")
#: Verbs that need a thing.
WITH_THING = 2
WAVE = VERBS.index("wave")
PAD, UNKNOWN = 0, 1
WORDS = 28
#: Belief: known (0 or 1), place (3), variance, share of looks in which it was there.
MEMORY = 6
#: A thing moves, and the body sways, by so much between two looks, m; an innovation beyond so many sigmas is news.
DRIFT, NEWS = 0.004, 3.0
#: How fast presence is believed.
NOTICE = 0.35


class SmallVlaConfig(PretrainedConfig):
    """``joint_names`` in the order of state and actions; ``statistics``: state and place mean and std; ``vocabulary``
    the words it knows; ``calibration``: weights of (1, presence, -log sigma) for the chance that the place is right."""

    model_type = "small_vla"

    def __init__(
        self,
        joint_names: list[str] | None = None,
        picture: list[int] | None = None,
        horizon: int = 50,
        step: float = 0.02,
        knots: int = 11,
        knot_dt: float = 0.1,
        vocabulary: list[str] | None = None,
        statistics: dict[str, list[float]] | None = None,
        rest: list[float] | None = None,
        calibration: list[float] | None = None,
        channels: int = 32,
        looks: int = 4,
        actors: int = 2,
        width: int = 256,
        period: float = 2.0,
        waved: float = 10.0,
        **kwargs: Any,
    ) -> None:
        self.joint_names = joint_names or []
        self.picture = picture or [96, 128]
        self.horizon, self.step, self.knots, self.knot_dt = horizon, step, knots, knot_dt
        self.vocabulary = vocabulary or []
        self.statistics = statistics or {}
        self.rest = rest or []
        self.calibration = calibration or [0.0, 1.0, 0.0]
        self.channels, self.looks, self.actors, self.width = channels, looks, actors, width
        self.period, self.waved = period, waved
        self.state_size = self.action_size = len(self.joint_names)
        super().__init__(**kwargs)


def words_of(text: str) -> list[str]:
    """Lower case words of an instruction."""
    return re.findall(r"[a-zäöüß'<>]+", text.lower().replace("’", "'"))


class Reader(nn.Module):
    """Words -> logits of verb, hand, colour, kind and of being understood."""

    def __init__(self, config: SmallVlaConfig) -> None:
        super().__init__()
        self.index = {word: i + 2 for i, word in enumerate(config.vocabulary)}
        self.embed = nn.Embedding(len(config.vocabulary) + 2, 48, padding_idx=PAD)
        self.read = nn.GRU(48, 48, batch_first=True, bidirectional=True)
        self.out = nn.Linear(192, len(VERBS) + len(HANDS) + len(COLOURS) + len(KINDS) + 1)

    def tokens(self, texts: list[str]) -> Tensor:
        """Token numbers [batch, WORDS]; a word that is not known is ``UNKNOWN``."""
        rows = [[self.index.get(w, UNKNOWN) for w in words_of(t)][:WORDS] for t in texts]
        return torch.tensor([r + [PAD] * (WORDS - len(r)) for r in rows], dtype=torch.long)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        mask = (tokens != PAD)[..., None]
        seen, _ = self.read(self.embed(tokens))
        mean = (seen * mask).sum(1) / mask.sum(1).clamp(min=1)
        most = seen.masked_fill(~mask, -1.0).amax(1)
        parts = self.out(torch.cat([mean, most], 1)).split((len(VERBS), len(HANDS), len(COLOURS), len(KINDS), 1), 1)
        return dict(zip(("verb", "hand", "colour", "kind", "understood"), parts, strict=True))


class Eyes(nn.Module):
    """Picture -> features; queries of colour and kind -> where the thing is."""

    where: Tensor

    def __init__(self, config: SmallVlaConfig) -> None:
        super().__init__()
        c, self.looks = config.channels, config.looks
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, c, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(c, c, 3, 1, 1), nn.ReLU(), nn.Conv2d(c, c, 3, 1, 2, 2), nn.ReLU(), nn.Conv2d(c, c, 3, 1, 1),
        )  # fmt: skip
        size = len(COLOURS) + len(KINDS)
        self.query = nn.ModuleList(nn.Sequential(nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, c + 1))
                                   for _ in range(self.looks))  # fmt: skip
        self.place = nn.ModuleList(
            nn.Sequential(nn.Linear(2 + c + 1 + config.state_size + size, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(),
                          nn.Linear(64, 5)) for _ in range(self.looks))  # fmt: skip
        h, w = config.picture[0] // 4, config.picture[1] // 4
        v, u = torch.meshgrid((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w, indexing="ij")
        self.register_buffer("where", torch.stack([u.ravel(), v.ravel()], 1))

    def features(self, picture: Tensor) -> Tensor:
        """uint8 or float 0…255 [batch, 3, h, w] -> [batch, cells, channels]."""
        x = picture.float() / 255.0
        x = (x - x.mean((1, 2, 3), keepdim=True)) / (x.std((1, 2, 3), keepdim=True) + 0.05)
        seen: Tensor = self.trunk(x)
        return seen.flatten(2).transpose(1, 2)

    def look(self, features: Tensor, asked: Tensor, state: Tensor) -> dict[str, Tensor]:
        """``asked`` [batch, queries, 8] one-hot colour and kind; ``state`` [batch, joints] normalised -> of every look
        ``attention`` logits [looks, batch, queries, cells], ``place`` [..., 3] normalised, ``log_var``, ``there``."""
        n, q, _ = asked.shape
        body = state[:, None].expand(n, q, -1)
        found: dict[str, list[Tensor]] = {"attention": [], "place": [], "log_var": [], "there": []}
        for query, place in zip(self.query, self.place, strict=True):
            key = query(asked)
            logits = torch.einsum("nqc,nsc->nqs", key[..., :-1], features)
            weights = logits.softmax(-1)
            uv = weights @ self.where
            strength = logits.amax(-1, keepdim=True) + key[..., -1:]
            seen = torch.einsum("nqs,nsc->nqc", weights, features)
            out = place(torch.cat([uv * 4 - 2, seen, 0.1 * strength, body, asked], -1))
            found["attention"].append(logits)
            found["place"].append(out[..., :3])
            found["log_var"].append(out[..., 3].clamp(-8.0, 3.0))
            found["there"].append(out[..., 4])
        return {k: torch.stack(v) for k, v in found.items()}


class Actor(nn.Module):
    """Place, words and joints -> how far the arms' joints are from now at each knot."""

    def __init__(self, config: SmallVlaConfig) -> None:
        super().__init__()
        self.period, self.waved = config.period, config.waved
        size, self.shape = config.state_size + 3 + len(VERBS) + len(HANDS) + 4, (config.knots, config.action_size)
        w = config.width
        self.net = nn.ModuleList(
            nn.Sequential(nn.Linear(size, w), nn.SiLU(), nn.Linear(w, w), nn.SiLU(), nn.Linear(w, w), nn.SiLU(),
                          nn.Linear(w, config.knots * config.action_size)) for _ in range(config.actors))  # fmt: skip

    def clock(self, elapsed: Tensor) -> Tensor:
        """Where a swing is, and how long it still goes on [batch, 4]."""
        turn = 2.0 * torch.pi * elapsed / self.period
        late = ((self.waved - elapsed) / 0.5).clamp(-1.0, 1.0)
        return torch.stack([torch.sin(turn), torch.cos(turn), late, ((self.waved - elapsed) / 5.0).clamp(-1, 1)], 1)

    def forward(self, state: Tensor, place: Tensor, verb: Tensor, hand: Tensor, elapsed: Tensor) -> Tensor:
        """Normalised state and place, one-hot verb and hand, seconds -> [actors, batch, knots, joints] rad / 0.5."""
        clock = self.clock(elapsed)
        waves = verb[:, WAVE : WAVE + 1]
        needs = verb[:, :WITH_THING].sum(1, keepdim=True)
        x = torch.cat([state, place * needs, verb, hand, clock * waves], 1)
        return torch.stack([net(x).unflatten(1, self.shape) for net in self.net])


class Rhythm(nn.Module):
    """What waving adds to the actor's knots: of joints, hand and clock alone, learned from waving alone."""

    def __init__(self, config: SmallVlaConfig) -> None:
        super().__init__()
        self.shape = (config.knots, config.action_size)
        self.net = nn.Sequential(nn.Linear(config.state_size + len(HANDS) + 4, 128), nn.SiLU(), nn.Linear(128, 128),
                                 nn.SiLU(), nn.Linear(128, config.knots * config.action_size))  # fmt: skip

    def forward(self, state: Tensor, hand: Tensor, clock: Tensor) -> Tensor:
        """Normalised state, one-hot hand and clock [batch, 4] -> [batch, knots, joints] rad / 0.5."""
        out: Tensor = self.net(torch.cat([state, hand, clock], 1))
        return out.unflatten(1, self.shape)


class Read(NamedTuple):
    """One instruction: one-hot verb [1, 5], hand [1, 3], colour and kind [1, 8]; ``needs`` [1]: a thing (1) or none;
    ``understood`` [1]: how sure all of that is."""

    verb: Tensor
    hand: Tensor
    asked: Tensor
    needs: Tensor
    understood: Tensor


class SmallVla(PreTrainedModel):
    """``forward`` is one question of the contract: picture, joints, words, seconds and memory in; rows, confidence,
    ``understood`` and memory out."""

    config_class = SmallVlaConfig
    config: SmallVlaConfig
    state_mean: Tensor
    state_std: Tensor
    place_mean: Tensor
    place_std: Tensor
    spline: Tensor
    main_input_name = "pixel_values"

    def __init__(self, config: SmallVlaConfig) -> None:
        super().__init__(config)
        self.reader, self.eyes, self.actor = Reader(config), Eyes(config), Actor(config)
        self.rhythm = Rhythm(config)
        n = config.state_size
        s = config.statistics
        for name, size in (("state_mean", n), ("state_std", n), ("place_mean", 3), ("place_std", 3)):
            default = 1.0 if name.endswith("std") else 0.0
            self.register_buffer(name, torch.tensor(s.get(name) or [default] * size))
        self.register_buffer("spline", _spline(config))
        self._last: tuple[tuple[object, ...], Read] | None = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """The modules' own initialisation stays."""

    def normal(self, state: Tensor) -> Tensor:
        return (state - self.state_mean) / self.state_std

    @torch.no_grad()
    def forward(
        self, pixel_values: Tensor, state: Tensor, prompt: list[str], elapsed: Tensor | None = None,
        memory: Tensor | None = None, **_: Any,
    ) -> dict[str, Tensor]:  # fmt: skip
        """``pixel_values`` uint8 [1, 3, h, w], ``state`` [1, joints] rad, ``elapsed`` [1, 1] s, ``memory`` [1, 6]."""
        read = self._read(prompt)
        verb, hand, asked, needs = read.verb, read.hand, read.asked, read.needs
        normal = self.normal(state)
        belief = torch.zeros(1, MEMORY) if memory is None else memory.float()
        found = self.eyes.look(self.eyes.features(pixel_values), asked[:, None], normal)
        belief = self.believe(belief, {k: v[:, :, 0] for k, v in found.items()})
        place = (belief[:, 1:4] - self.place_mean) / self.place_std
        seconds = torch.zeros(1) if elapsed is None else elapsed.float().reshape(-1)
        knots = self.actor(normal, place, verb, hand, seconds).mean(0)
        if bool(verb[:, WAVE].any()):
            knots = knots + verb[:, WAVE, None, None] * self.rhythm(normal, hand, self.actor.clock(seconds))
        rows = state[:, None] + 0.5 * torch.einsum("hk,nkj->nhj", self.spline, knots)
        right = torch.where(needs > 0, self.chance(belief), torch.ones(1))
        return {"actions": rows, "confidence": read.understood * right, "understood": read.understood, "memory": belief,
                "place": belief[:, 1:4], "task": torch.cat([verb, hand, asked], 1)}  # fmt: skip

    def _read(self, prompt: list[str]) -> Read:
        """What is asked for. A task has one instruction and many looks: the last reading is kept while neither words
        nor weights change."""
        key = *prompt, sum(p._version for p in self.reader.parameters())
        if self._last is None or self._last[0] != key:
            self._last = key, self._read_anew(prompt)
        return self._last[1]

    def _read_anew(self, prompt: list[str]) -> Read:
        said = self.reader(self.reader.tokens(prompt))
        slots = {k: v.softmax(1) for k, v in said.items() if k != "understood"}
        verb, hand = _one_hot(slots["verb"]), _one_hot(slots["hand"])
        needs = verb[:, :WITH_THING].sum(1)
        sure = slots["verb"].amax(1) * slots["hand"].amax(1)
        sure = torch.where(needs > 0, sure * slots["colour"].amax(1) * slots["kind"].amax(1), sure)
        asked = torch.cat([_one_hot(slots["colour"]), _one_hot(slots["kind"])], 1)
        return Read(verb, hand, asked, needs, said["understood"].sigmoid()[:, 0] * sure)

    def mixture(self, found: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (m), variance (m²) and presence logit of the ensemble's finds [looks, n, ...]."""
        place = found["place"] * self.place_std + self.place_mean
        mean = place.mean(0)
        scale = (self.place_std**2).mean()
        spread = ((place - mean) ** 2).mean((0, -1))
        return mean, spread + scale * found["log_var"].exp().mean(0), found["there"].mean(0)

    def believe(self, belief: Tensor, found: dict[str, Tensor]) -> Tensor:
        """Fuse one look [looks, n, ...] with the belief [n, MEMORY]."""
        place, var, there = self.mixture(found)
        seen = there.sigmoid()
        var = var / seen.clamp(min=1e-3)
        known, before, prior, presence = belief[:, 0], belief[:, 1:4], belief[:, 4], belief[:, 5]
        away = ((place - before) ** 2).mean(1)
        prior = prior + DRIFT**2
        prior = prior + torch.where(away > NEWS**2 * (prior + var), away, torch.zeros_like(away))
        gain = torch.where(known > 0.5, prior / (prior + var), torch.ones_like(var))
        now = before + gain[:, None] * (place - before)
        left = torch.where(known > 0.5, (1.0 - gain) * prior, var)
        presence = torch.where(known > 0.5, presence + NOTICE * (gain.clamp(min=0.05) * (seen - presence)), seen)
        return torch.cat([torch.ones_like(known)[:, None], now, left[:, None], presence[:, None]], 1)

    def chance(self, belief: Tensor) -> Tensor:
        """Chance that the place is right, by the calibration."""
        a, b, c = self.config.calibration
        presence = torch.logit(belief[:, 5].clamp(1e-4, 1 - 1e-4))
        return torch.sigmoid(a + b * presence - c * 0.5 * torch.log(belief[:, 4].clamp(min=1e-8)))


def _one_hot(shares: Tensor) -> Tensor:
    return nn.functional.one_hot(shares.argmax(1), shares.shape[1]).float()


def _spline(config: SmallVlaConfig) -> Tensor:
    """Matrix [horizon, knots]: rows at (k + 1) step of the cubic spline through the knots."""
    t = np.arange(config.knots) * config.knot_dt
    rows = np.minimum((np.arange(config.horizon) + 1) * config.step, t[-1])
    return torch.tensor(CubicSpline(t, np.eye(config.knots), bc_type="natural")(rows), dtype=torch.float32)


AutoConfig.register("small_vla", SmallVlaConfig, exist_ok=True)
AutoModel.register(SmallVlaConfig, SmallVla, exist_ok=True)
