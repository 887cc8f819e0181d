"""The options of `humanoid-twin eval`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from humanoid_cli.errors import BadInput


def eval_command(
    policy: Annotated[str, typer.Option(help="classical, or a policy contract: a name in config/policies, or a path.")]
    = "classical",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each split.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Draws tasks, words and scenes.")] = 0,
    perturb: Annotated[str, typer.Option(help="Disturbed splits as well: light, occlusion, noise, delay0, delay100, "
                                         "delay300, separated by commas, all or none.")] = "none",
    splits: Annotated[str, typer.Option(help="Undisturbed splits: seen, new, paraphrase, shuffled, unknown; default: "
                                        "all of them.")] = "",
    house: Annotated[str, typer.Option(help="full: everything that runs on the robot; core: policy and execution core "
                                       "alone, faster, nobody watches.")] = "full",
    baseline: Annotated[bool, typer.Option(help="Run the classical policy on the same episodes.")] = True,
    timeout: Annotated[float, typer.Option(min=1.0, max=600.0, help="Simulated seconds for a task.")] = 25.0,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core.")] = 0,
    ray: Annotated[bool | None, typer.Option(help="Use Ray; default: when it is installed.")] = None,
    server: Annotated[str, typer.Option(help="Address of the policy's server instead of the contract's.")] = "",
    robot: Annotated[str | None, typer.Option(help="Robot file: a name in config/robots, or a path.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for episodes and plots.")] = Path("out/eval"),
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write machine and figures to FILE.")]
    = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the episodes that are in the folder already.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Run nothing: table, figures and plots of the episodes that "
                                         "are in the folder.")] = False,
    at_least: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Share of successes below which the exit "
                                                   "code is 1; default 0, with --graph 0.85.")] = None,
    graph: Annotated[bool, typer.Option("--graph", help="The real graph in real time instead: --seeds x "
                                        "--instruction.")] = False,
    seeds: Annotated[str, typer.Option(help="With --graph: '1-5' or '1,4,9'.")] = "",
    instruction: Annotated[list[str] | None, typer.Option(help="With --graph; may be given many times; default: touch, "
                                                          "point at and wave, left and right in turn.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NODE.KEY=VALUE", help="With --graph: set a "
                                                       "node's parameter; may be given many times.")] = None,
) -> None:
    """Count how often a policy does what it is told, in simulated time, with the classical baseline beside it."""
    if graph:
        from humanoid_cli.eval_graph import evaluate as run_graph

        raise typer.Exit(run_graph(seeds or "1-5", instruction or [], timeout if timeout != 25.0 else 40.0, out, json,
                                   robot, tuple(settings or ()), 0.85 if at_least is None else at_least, policy))
    for name, given in (("--seeds", seeds), ("--instruction", instruction), ("--set", settings)):
        if given:
            raise BadInput(f"eval: {name} {given} is for the real graph; add --graph")
    if house not in ("full", "core"):
        raise BadInput(f"--house: '{house}' is unknown; valid: full, core")
    from humanoid_cli.eval import EvalOptions, evaluate

    count = workers or len(os.sched_getaffinity(0))
    options = EvalOptions(policy, episodes, seed, perturb, splits, robot or "g1", server, house, timeout, count, ray,
                          baseline, out, at_least or 0.0, resume, report)
    raise typer.Exit(evaluate(options, json))
