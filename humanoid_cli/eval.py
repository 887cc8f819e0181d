"""`humanoid-twin eval`: a policy in closed loop with the simulated robot, in simulated time, beside the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from humanoid_bench.eval_episode import Result
from humanoid_bench.eval_figures import all_figures, name_of
from humanoid_bench.eval_log import Log, key
from humanoid_bench.eval_plots import write_plots
from humanoid_bench.eval_pool import Candidate, EvalError, make_policy, run_all, weights_of
from humanoid_bench.eval_tasks import BASE, PERTURBED, SPLITS, Spec, plan
from humanoid_cli.errors import BadInput
from humanoid_cli.figures import Figure, check_writable, write_figures
from humanoid_core.robot import load_robot
from vla_nodes.core.contract import ContractError
from vla_nodes.core.postures import PostureError

BASELINE = "classical"
LOG = "episodes.jsonl"


@dataclass(frozen=True)
class EvalOptions:
    """What the verb was told; ``perturb`` splits by name, all or none; ``house`` full or core."""

    policy: str = BASELINE
    episodes: int = 20
    seed: int = 0
    perturb: str = "none"
    splits: str = ""
    robot: str = "g1"
    server: str = ""
    house: str = "full"
    timeout: float = 25.0
    workers: int = 1
    ray: bool | None = None
    baseline: bool = True
    out: Path = Path("out/eval")
    at_least: float = 0.0
    resume: bool = False
    report: bool = False


def splits_of(perturb: str, splits: str = "") -> tuple[str, ...]:
    """The splits asked for, in their order; refuses a word that is none."""
    words = [w.strip() for w in perturb.split(",") if w.strip()]
    wanted = set(words) - {"all", "none"} | (set(PERTURBED) if "all" in words else set())
    base = [w.strip() for w in splits.split(",") if w.strip()]
    for option, word, valid in [*(("--perturb", w, (*PERTURBED, "all", "none")) for w in words),
                                *(("--splits", w, SPLITS) for w in base)]:  # fmt: skip
        if word not in valid:
            raise BadInput(f"{option}: '{word}' is unknown; valid: {', '.join(valid)}")
    return tuple(s for s in SPLITS if s in (set(base or BASE) | wanted))


def evaluate(options: EvalOptions, json: Path | None, console: Console | None = None) -> int:
    """0: done (and ``success`` is at least ``at_least``); 1: it is less, or the robot fell."""
    console = console or Console(highlight=False)
    splits = splits_of(options.perturb, options.splits)
    check_writable(json)
    candidates = [Candidate(options.policy, options.robot, options.server, options.house, options.timeout)]
    if options.baseline and options.policy != BASELINE:
        candidates.append(replace(candidates[0], policy=BASELINE, server=""))
    if options.report:
        results, splits = _logged(candidates, options)
    else:
        check_writable(options.out / LOG)
        if not options.resume:
            (options.out / LOG).write_text("")
        results = {Path(c.policy).stem: _run(c, splits, options, console) for c in candidates}
    mine, *others = results
    figures = all_figures(results[mine], splits)
    for _ in others:
        figures |= all_figures(results[BASELINE], splits, "baseline_")
    console.print(table(results, splits, figures))
    written = write_plots(options.out, results, splits)
    counts = {split: sum(r.split == split for r in results[mine]) for split in splits}
    about = {"policy": options.policy, "weights": _weights(candidates[0]),
             "seed": None if options.report else options.seed, "house": options.house, "episodes": counts}  # fmt: skip
    write_figures(json, figures, **about)
    console.print(f"written to {options.out}/: {'' if options.report else f'{LOG}, '}{', '.join(written)}")
    share = figures.get("success")
    return 1 if figures["falls"].value or (share is not None and float(share.value) < options.at_least) else 0


def _run(candidate: Candidate, splits: Sequence[str], options: EvalOptions, console: Console) -> list[Result]:
    _check(candidate)
    specs = [spec for split in splits for spec in plan(split, options.episodes, options.seed)]
    log = Log(options.out / LOG, candidate, _weights(candidate))
    known = log.read() if options.resume else {}
    missing = [spec for spec in specs if key(spec) not in known]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(candidate.policy, total=len(specs), completed=len(specs) - len(missing))

        def done(spec: Spec, result: Result) -> None:
            log.write(spec, result)
            progress.advance(bar)

        try:
            fresh = run_all(candidate, missing, options.workers, options.ray, done)
        except (ContractError, PostureError, EvalError) as error:
            raise BadInput(str(error)) from None
    found = known | {key(spec): result for spec, result in zip(missing, fresh, strict=True)}
    return [found[key(spec)] for spec in specs]


def _logged(candidates: Sequence[Candidate], options: EvalOptions) -> tuple[dict[str, list[Result]], tuple[str, ...]]:
    """The episodes that earlier evaluations left, as many as there are, and their splits; of those asked for, if any
    are. Refuses a folder without one of the first candidate."""
    file = options.out / LOG
    asked = splits_of(options.perturb, options.splits) if options.splits or options.perturb != "none" else SPLITS
    results = {}
    for candidate in candidates:
        found = [r for r in Log(file, candidate, _weights(candidate)).read().values() if r.split in asked]
        if found:
            results[Path(candidate.policy).stem] = found
        elif not results:
            raise BadInput(f"--report: {file}: no episodes of '{candidate.policy}', house {candidate.kind}, timeout "
                           f"{candidate.timeout:g} s, in {', '.join(asked)}")  # fmt: skip
    there = {result.split for result in next(iter(results.values()))}
    return results, tuple(split for split in SPLITS if split in there)


def _weights(candidate: Candidate) -> str:
    try:
        return weights_of(candidate, load_robot(candidate.robot))
    except ContractError as error:
        raise BadInput(str(error)) from None


def _check(candidate: Candidate) -> None:
    """Refuse a policy that does not fit before any worker is started."""
    try:
        make_policy(candidate, load_robot(candidate.robot)).close()
    except (ContractError, PostureError, EvalError) as error:
        raise BadInput(str(error)) from None


def table(results: dict[str, list[Result]], splits: Sequence[str], figures: dict[str, Figure]) -> Table:
    """One row per split and policy, the baseline below the policy."""
    out = Table("split", "policy", "success", "95 %", "refused", "s", "jerk", "safety", "aim", "n", box=None)
    for split in splits:
        for k, (policy, rows) in enumerate(results.items()):
            prefix, mine = "baseline_" if k else "", [r for r in rows if r.split == split]
            name = f"{prefix}refused_unknown" if split == "unknown" else prefix + name_of(split)
            if not mine or name not in figures:
                continue
            share, low, high = (float(figures[name + end].value) for end in ("", "_low", "_high"))
            aim = figures[name].aim
            watched = [r.safety for r in mine if r.safety >= 0]
            out.add_row(
                split if k == 0 else "", policy, "–" if split == "unknown" else f"{share:.0%}",
                f"{low:.0%}–{high:.0%}", f"{sum(r.refused for r in mine) / len(mine):.0%}",
                _median([r.seconds for r in mine], 1), _median([r.jerk for r in mine], 1),
                str(sum(watched)) if watched else "–",
                "" if aim is None else f"{'≤' if split == 'shuffled' else '≥'} {float(aim):.0%}",
                str(len(mine)))  # fmt: skip
    return out


def _median(values: Sequence[float], digits: int) -> str:
    finite = sorted(v for v in values if v == v)
    return f"{finite[len(finite) // 2]:.{digits}f}" if finite else "–"
