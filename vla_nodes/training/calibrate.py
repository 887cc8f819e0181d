"""What the confidence means: on pictures held out from training, the chance that the place is right."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from humanoid_core.robot_model import Array
from vla_nodes.backends.small_vla import SmallVla
from vla_nodes.training.dataset import Arrays
from vla_nodes.training.learn import queries

Bools = NDArray[np.bool_]

#: A place this near to the truth is right, m; bins of the reliability.
RIGHT, BINS = 0.02, 10


@dataclass(frozen=True)
class Calibration:
    """``weights`` of (1, presence logit, -log sigma); ``bins`` rows (mean confidence, share right, count); errors of
    the places of things that were there, m; ``mistaken``: share of wrong yes-or-no answers about presence."""

    weights: tuple[float, float, float]
    bins: tuple[tuple[float, float, int], ...]
    median_error: float
    p90_error: float
    right: float
    mistaken: float
    moments: int


@torch.no_grad()
def looks(model: SmallVla, arrays: Arrays) -> tuple[Array, Array, Array, Bools, Bools]:
    """Of every fair question: presence logit, sigma m, error m (NaN: not there), there, right (n,)."""
    q = queries(arrays, model)
    out: list[list[Array]] = [[], [], [], []]
    for k in range(0, len(q.there), 128):
        part = slice(k, k + 128)
        rgb = torch.from_numpy(np.ascontiguousarray(arrays["observation.images.head"][part].transpose(0, 3, 1, 2)))
        state = model.normal(torch.from_numpy(arrays["observation.state"][part])).float()
        found = model.eyes.look(model.eyes.features(rgb), q.asked[None].expand(len(rgb), -1, -1), state)
        place, var, there = model.mixture(found)
        truth = q.place[part] * model.place_std + model.place_mean
        error = (place - truth).norm(dim=-1)
        fair, shown = q.fair[part], q.there[part]
        # as it is fused: what may not be there is as good as far away
        sigma = (var / there.sigmoid().clamp(min=1e-3)).sqrt()
        for rows, value in zip(out, (there, sigma, error, shown), strict=True):
            rows.append(value[fair].double().numpy())
    logits, sigmas, errors, shown_all = (np.concatenate(rows) for rows in out)
    there_all = shown_all > 0.5
    return logits, sigmas, np.where(there_all, errors, np.nan), there_all, there_all & (errors < RIGHT)


def calibrate(model: SmallVla, arrays: Arrays) -> Calibration:
    """Logistic regression on the held-out moments."""
    logit, sigma, error, there, right = looks(model, arrays)
    presence = np.clip(logit, -9.2, 9.2)
    x = np.stack([np.ones_like(presence), presence, -np.log(np.maximum(sigma, 1e-4))], axis=1)
    y = right.astype(np.float64)

    def loss(w: Array) -> float:
        z = x @ w
        return float(np.mean(np.logaddexp(0.0, z) - y * z) + 1e-4 * w @ w)

    weights = minimize(loss, np.array([0.0, 0.5, 0.5]), method="L-BFGS-B").x
    sure = expit(x @ weights)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    bins = []
    for a, b in pairwise(edges):
        inside = (sure >= a) & ((sure < b) | (b == 1.0))
        if inside.any():
            bins.append((float(sure[inside].mean()), float(y[inside].mean()), int(inside.sum())))
    seen = error[there]
    a, b, c = (float(w) for w in weights)
    mistaken = float(np.mean((logit > 0) != there))
    return Calibration((a, b, c), tuple(bins), float(np.median(seen)), float(np.quantile(seen, 0.9)),
                       float(np.mean(right[there])), mistaken, len(arrays["verb"]))  # fmt: skip
