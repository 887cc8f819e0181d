"""From results to figures: shares with Wilson's interval, medians, and how far a confidence can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from humanoid_bench.eval_episode import Result
from humanoid_cli.figures import Figure

#: Aims by split: the share that succeeds; under a disturbance a refusal counts as well (``ok``).
AIMS = {"new": 0.90, "paraphrase": 0.85, "shuffled": 0.25}
DISTURBED_AIM = 0.75
DISTURBED = ("light", "occlusion", "noise", "delay0", "delay100", "delay300")
BINS = 10


def name_of(split: str) -> str:
    """success for new scenes, else success_<split>."""
    return "success" if split == "new" else f"success_{split}"


def wilson(won: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); (0, 1) of nothing."""
    if n == 0:
        return 0.0, 1.0
    interval = binomtest(won, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Calibration:
    """``bins``: (mean confidence, share of successes, episodes) of those that are not empty; ``error`` the expected
    calibration error (Naeini et al. 2015), ``brier`` the mean squared distance of confidence and success, ``auroc`` the
    chance that a success was more confident than a failure; NaN where it is not defined."""

    bins: tuple[tuple[float, float, int], ...]
    error: float
    brier: float
    auroc: float
    n: int


def calibration(results: Sequence[Result], bins: int = BINS) -> Calibration:
    """Over all episodes in which the policy acted and said how sure it was."""
    rows = [(r.confidence, r.success) for r in results if math.isfinite(r.confidence) and r.chunks]
    if not rows:
        return Calibration((), math.nan, math.nan, math.nan, 0)
    sure, won = np.array([c for c, _ in rows]), np.array([float(w) for _, w in rows])
    which = np.minimum((sure * bins).astype(int), bins - 1)
    table = tuple((float(sure[which == b].mean()), float(won[which == b].mean()), int(np.sum(which == b)))
                  for b in range(bins) if np.any(which == b))  # fmt: skip
    error = sum(abs(c - share) * n for c, share, n in table) / len(rows)
    yes, no = sure[won > 0.5], sure[won < 0.5]
    pairs = yes[:, None] - no[None, :]
    auroc = float(np.mean((pairs > 0) + 0.5 * (pairs == 0))) if pairs.size else math.nan
    return Calibration(table, float(error), float(np.mean((sure - won) ** 2)), auroc, len(rows))


def split_figures(split: str, results: Sequence[Result], prefix: str = "") -> dict[str, Figure]:
    """One split of one policy. Of ``unknown`` the refusals count."""
    n = len(results)
    figures = {}
    refused = sum(r.refused for r in results)
    if split == "unknown":
        low, high = wilson(refused, n)
        return {f"{prefix}refused_unknown": Figure(refused / n, "", None, n),
                f"{prefix}refused_unknown_low": Figure(low, "", None, n),
                f"{prefix}refused_unknown_high": Figure(high, "", None, n)}  # fmt: skip
    name, won = prefix + name_of(split), sum(r.success for r in results)
    aim = None if prefix else AIMS.get(split, DISTURBED_AIM if split in DISTURBED else None)
    low, high = wilson(won, n)
    figures[name] = Figure(won / n, "", aim, n)
    figures[f"{name}_low"], figures[f"{name}_high"] = Figure(low, "", None, n), Figure(high, "", None, n)
    if split in DISTURBED:
        well = sum(r.success or r.refused for r in results)
        figures[f"{name}_or_refused"] = Figure(well / n, "", aim, n)
    return figures


def motion_figures(results: Sequence[Result], prefix: str = "") -> dict[str, Figure]:
    """Of all episodes in which something moved, except the control's."""
    rows = [r for r in results if r.split not in ("shuffled", "unknown") and r.chunks]
    won = [r for r in rows if r.success]
    out = {f"{prefix}seconds_p50": _median([r.seconds for r in won], "s"),
           f"{prefix}path_p50": _median([r.path for r in won], "m"),
           f"{prefix}jerk_rms_p50": _median([r.jerk for r in rows], "rad/s^3"),
           f"{prefix}jerk_max": Figure(max((r.jerk_max for r in rows), default=math.nan), "rad/s^3", None, len(rows)),
           f"{prefix}falls": Figure(sum(r.fell for r in results), "", 0, len(results))}  # fmt: skip
    watched = [r for r in results if r.safety >= 0]
    if watched:
        out[f"{prefix}safety_events"] = Figure(sum(r.safety for r in watched), "", None, len(watched))
    sure = calibration([r for r in results if r.split != "shuffled"])
    out[f"{prefix}calibration_error"] = Figure(sure.error, "", None, sure.n)
    out[f"{prefix}confidence_brier"] = Figure(sure.brier, "", None, sure.n)
    out[f"{prefix}confidence_auroc"] = Figure(sure.auroc, "", None, sure.n)
    return out


def all_figures(results: Sequence[Result], splits: Sequence[str], prefix: str = "") -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for split in splits:
        rows = [r for r in results if r.split == split]
        if rows:
            figures |= split_figures(split, rows, prefix)
    return figures | motion_figures(results, prefix)


def _median(values: Sequence[float], unit: str) -> Figure:
    finite = [v for v in values if math.isfinite(v)]
    return Figure(float(np.median(finite)) if finite else math.nan, unit, None, len(finite))
