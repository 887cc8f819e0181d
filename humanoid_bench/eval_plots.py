"""Plots of an evaluation: success by split with intervals, calibration of the confidence, time and jerk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from humanoid_bench.eval_episode import Result
from humanoid_bench.eval_figures import calibration, wilson

Results = Mapping[str, Sequence[Result]]


def write_plots(folder: Path, results: Results, splits: Sequence[str]) -> list[str]:
    """success.png, calibration.png and motion.png for ``results`` by policy; the names written."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in (("success.png", _success), ("calibration.png", _calibration), ("motion.png", _motion)):
        figure = draw(pyplot, results, splits)
        figure.tight_layout()
        figure.savefig(folder / name, dpi=110)
        pyplot.close(figure)
        written.append(name)
    return written


def _success(pyplot: Any, results: Results, splits: Sequence[str]) -> Any:
    figure, axes = pyplot.subplots(figsize=(1.5 + 0.9 * len(splits), 3.6))
    width = 0.8 / max(len(results), 1)
    for k, (policy, rows) in enumerate(results.items()):
        for i, split in enumerate(splits):
            mine = [r for r in rows if r.split == split]
            if not mine:
                continue
            won = sum(r.refused if split == "unknown" else r.success for r in mine)
            share, (low, high) = won / len(mine), wilson(won, len(mine))
            axes.bar(i + (k - 0.5 * (len(results) - 1)) * width, share, width, color=f"C{k}",
                     yerr=[[max(share - low, 0.0)], [max(high - share, 0.0)]], capsize=3,
                     label=policy if i == 0 else None)  # fmt: skip
    axes.set_xticks(range(len(splits)), [s if s != "unknown" else "unknown\n(refused)" for s in splits], fontsize=8)
    axes.set_ylim(0.0, 1.05)
    axes.set_ylabel("share of episodes, 95 % interval")
    axes.legend(fontsize=8)
    return figure


def _calibration(pyplot: Any, results: Results, splits: Sequence[str]) -> Any:
    figure, axes = pyplot.subplots(figsize=(4.4, 4.2))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for k, (policy, rows) in enumerate(results.items()):
        found = calibration([r for r in rows if r.split != "shuffled"])
        if found.bins:
            sure, share, count = zip(*found.bins, strict=True)
            label = f"{policy}: expected error {found.error:.2f}, n = {found.n}"
            axes.plot(sure, share, color=f"C{k}", linewidth=1, marker="o", markersize=4, label=label)
            axes.scatter(sure, share, s=[15 + 200 * c / found.n for c in count], color=f"C{k}", clip_on=False, zorder=3)
            for x, y, c in found.bins:
                axes.annotate(str(c), (x, y), xytext=(0, -14), textcoords="offset points", ha="center", fontsize=7)
    axes.set_xlabel("mean confidence of an episode; numbers: episodes")
    axes.set_ylabel("share of successes")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.07, 1.04)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="lower right")
    return figure


def _motion(pyplot: Any, results: Results, splits: Sequence[str]) -> Any:
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.0, 3.2))
    for k, (policy, rows) in enumerate(results.items()):
        seconds = [r.seconds for r in rows if math.isfinite(r.seconds) and r.split != "shuffled"]
        jerk = [r.jerk for r in rows if math.isfinite(r.jerk) and r.split != "shuffled"]
        for axes, values in ((left, seconds), (right, jerk)):
            if values:
                axes.hist(values, bins=20, color=f"C{k}", alpha=0.6, label=policy)
    left.set_xlabel("s to success")
    right.set_xlabel("RMS jerk of the set-points, rad/s$^3$")
    left.set_ylabel("episodes")
    if left.get_legend_handles_labels()[0]:
        left.legend(fontsize=8)
    return figure
