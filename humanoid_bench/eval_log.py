"""Episodes on disk as they end, one JSON line each, so that a long evaluation can be taken up again."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from humanoid_bench.eval_episode import Result
from humanoid_bench.eval_pool import Candidate
from humanoid_bench.eval_tasks import Spec
from humanoid_cli.errors import BadInput

Key = tuple[str, int, int, str, float]


def key(spec: Spec) -> Key:
    """What makes an episode the same episode."""
    return spec.split, spec.index, spec.seed, spec.told, spec.delay


class Log:
    """Episodes of one candidate in a file that others may share. ``weights``: the hash of what it acts with."""

    def __init__(self, file: Path, candidate: Candidate, weights: str) -> None:
        self._file, self._weights = file, weights
        self._who = {"candidate": candidate.policy, "robot": candidate.robot, "house": candidate.kind,
                     "timeout": candidate.timeout}  # fmt: skip

    def write(self, spec: Spec, result: Result) -> None:
        line: dict[str, Any] = {**self._who, "weights": self._weights, "key": key(spec), **asdict(result)}
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")

    def read(self) -> dict[Key, Result]:
        """Episodes of this candidate. BadInput names a line that is no episode, or of the same name's other weights."""
        found: dict[Key, Result] = {}
        names = [f.name for f in fields(Result)]
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                mine = all(row[name] == value for name, value in self._who.items())
                weights = row["weights"]
                result, what = Result(**{name: row[name] for name in names}), tuple(row["key"])
            except (ValueError, KeyError, TypeError):
                text = f"{self._file}: line {number} is no episode; remove it, or run without --resume"
                raise BadInput(text) from None
            if mine and weights != self._weights:
                theirs, mine_now = weights[:12] or "none", self._weights[:12] or "none"
                raise BadInput(f"{self._file}: line {number}: {row['candidate']} with the weights {theirs}; now it has "
                               f"{mine_now}; take another folder (--out), or run without --resume")  # fmt: skip
            if mine:
                found[what] = result
        return found
