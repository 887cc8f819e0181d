"""The checkpoint's folder: configuration, weights, the log of the training and a model card with the weights' hash."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_nodes.training.dataset import Dataset, sha256
from vla_nodes.training.learn import Effort
from vla_nodes.training.train import Trained

WEIGHTS, CARD, LOG = "model.safetensors", "README.md", "train.json"
MOST_BYTES = 20 * 2**20


class ExportError(ValueError):
    """A checkpoint that cannot be shipped, or whose card does not belong to it."""


def export(trained: Trained, data: Dataset, effort: Effort, folder: Path, command: str, run: dict[str, Any]) -> str:
    """Write ``folder`` whole; ``run``: what the run was like (seconds, processors). Returns the weights' hash."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    trained.model.save_pretrained(part, safe_serialization=True)
    weights = part / WEIGHTS
    size = weights.stat().st_size
    if size > MOST_BYTES:
        raise ExportError(f"{weights}: {size / 2**20:.1f} MiB: at most {MOST_BYTES / 2**20:.0f} MiB are shipped")
    digest = sha256(weights)
    calibration, reading = asdict(trained.calibration), asdict(trained.reading)
    log = {"command": command, "recipe": asdict(data.recipe), "effort": asdict(effort), "data_sha256": data.fingerprint,
           "weights_sha256": digest, "calibration": calibration, "reading": reading, "losses": trained.losses,
           "run": run}  # fmt: skip
    (part / LOG).write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    (part / CARD).write_text(_card(log, size), encoding="utf-8")
    if folder.is_dir():
        shutil.rmtree(folder)
    part.rename(folder)
    return digest


def check(folder: Path) -> str:
    """The weights' hash, when card and log name it too. Raises ExportError."""
    try:
        log = json.loads((folder / LOG).read_text(encoding="utf-8"))
        card = (folder / CARD).read_text(encoding="utf-8")
        digest = sha256(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise ExportError(f"{folder}: not a whole checkpoint: {error}") from None
    for where, told in ((LOG, log.get("weights_sha256")), (CARD, digest if digest in card else "another hash")):
        if told != digest:
            raise ExportError(f"{folder / where}: weights_sha256 = {told!r}: {WEIGHTS} has {digest!r}")
    return digest


def _runs(count: int) -> str:
    return "one run" if count == 1 else f"{count} runs, each going on where the one before stopped"


def _card(log: dict[str, Any], size: int) -> str:
    recipe, effort, c, r, run = log["recipe"], log["effort"], log["calibration"], log["reading"], log["run"]
    bins = "\n".join(f"| {said:.2f} | {right:.2f} | {count} |" for said, right, count in c["bins"])
    losses = "\n".join(
        f"| {name} | {len(values)} | {values[0]:.4f} | {values[-1]:.4f} |"
        for name, values in log["losses"].items()
        if values
    )
    name = f"{recipe['robot']}_small"
    return f"""# {name}

A small vision-language-action policy for the upper body of the robot `{recipe["robot"]}`: head picture, instruction and
joint positions in, 1 s of joint positions out. It runs on a CPU (contract: `config/policies/{name}.yaml`).
How it is built and trained: docs/training.md. How it does in closed loop: docs/evaluation.md, measured by
`humanoid-twin eval --policy {name}`.

It can touch or point at a red, green or blue cube, ball or cylinder on a table with the left or right hand, wave, raise
a hand, and return to rest. It was trained in simulation only, on this suite's table and things.

| | |
|---|---|
| command | `{log["command"]}` |
| weights, sha256 | `{log["weights_sha256"]}` |
| size | {size / 2**20:.2f} MiB, {WEIGHTS} |
| data, sha256 of its files' hashes | `{log["data_sha256"]}` |
| pictures | {(recipe["shards"] - recipe["held"]) * recipe["frames"]} for training, {c["moments"]} held out |
| motion | {effort["actor"]} rounds of {effort["motions"]} moments |
| sentences | {effort["reader"]} rounds of {effort["sentences"]} |
| time | {run["seconds"] / 60:.0f} min in {_runs(run["runs"])}, {run["processor_seconds"] / 60:.0f} min of processor; \
{run["processor"]} |

## Held out from training

| | |
|---|---|
| place of a thing: median error | {c["median_error"] * 1e3:.1f} mm |
| 90 % of the errors below | {c["p90_error"] * 1e3:.1f} mm |
| within 20 mm | {c["right"]:.1%} |
| said to be there though it is not, or the other way round | {c["mistaken"]:.1%} |
| held-out paraphrases understood rightly | {r["held_out"]:.1%} |
| seen sentence patterns understood rightly | {r["seen"]:.1%} |
| sentences that ask for nothing known: refused | {r["refused"]:.1%} |

The pictures are harder than a session's: light, colours, textures, blur, noise and things before the lens are drawn
anew for each, and an arm is in most of them.

## What its confidence means

The chance that the place of the thing is right (within 20 mm), on held-out pictures and questions:

| said | right | questions |
|---|---|---|
{bins}

## Losses

| part | rounds | first | last |
|---|---|---|---|
{losses}

Every round is in `{LOG}`.
"""
