"""`humanoid-twin <verb>`: everything a person types. Each verb's room is imported when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from humanoid_cli.errors import BadInput
from humanoid_core.graph import GraphError
from humanoid_core.robot import RobotError
from humanoid_replay.errors import BagError

#: Verbs that live in a module of their own: verb -> (module, function, or typer app with verbs of its own).
ELSEWHERE = {
    "ingest": ("humanoid_cli.ingest", "ingest_command"),
    "inject": ("humanoid_cli.inject", "inject_command"),
    "estop": ("humanoid_cli.estop", "estop_command"),
    "jog": ("humanoid_cli.jog", "jog_command"),
    "log": ("humanoid_cli.log", "log"),
    "replay": ("humanoid_cli.replay", "replay_command"),
    "twin": ("humanoid_cli.twin", "twin_command"),
    "report": ("humanoid_cli.report_bag", "report_command"),
    "transfer": ("humanoid_cli.transfer", "transfer_command"),
    "play": ("humanoid_cli.play", "play_command"),
    "golden": ("humanoid_cli.golden", "golden_command"),
    "compare": ("humanoid_cli.compare", "compare_command"),
    "bag": ("humanoid_cli.bag", "bag_command"),
    "bench": ("humanoid_cli.bench", "bench"),
    "policy": ("humanoid_cli.policy", "policy_command"),
    "robot": ("humanoid_cli.robot", "robot_command"),
    "train": ("humanoid_cli.train", "train_command"),
    "dashboard": ("humanoid_cli.dashboard", "dashboard_command"),
    "eval": ("humanoid_cli.eval_command", "eval_command"),
}

app = typer.Typer(name="humanoid-twin", add_completion=False, no_args_is_help=True, rich_markup_mode=None,
                  pretty_exceptions_enable=False,
                  help="Put any vision-language-action policy on a humanoid without breaking it.")

Robot = Annotated[str | None, typer.Option(help="Robot file: a name in config/robots, or a path.")]
Seed = Annotated[int, typer.Option(min=0, help="Places the objects and seeds the noise.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write machine and figures to FILE.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="NODE.KEY=VALUE",
                                                    help="Set a node's parameter; may be given many times.")]


@app.command()
def up(
    graph: Annotated[str, typer.Argument(help="A name in config/graphs, or a path.")] = "sim",
    robot: Robot = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The graph's seed argument.")] = None,
    settings: Settings = None,
    namespace: Annotated[str, typer.Option(help="Puts every node and topic under this name.")] = "",
    record: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Record everything into a new bag.")] = None,
    bag: Annotated[Path | None, typer.Option(help="Recording to play, for the graph 'bag'.")] = None,
    metrics: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535,
                                        help="Port of the Prometheus endpoint, 0: none.")] = 0,
    environment: Annotated[str | None, typer.Option(help="What stands around: a name in config/environments or a "
                                                    "path, '' for nothing; not given: as the graph has it.")] = None,
    driver: Annotated[str, typer.Option(help="Way to a real robot, for the graph 'real'.")] = "",
    interface: Annotated[str, typer.Option(help="Network interface to a real robot.")] = "",
    no_actuate: Annotated[bool, typer.Option("--no-actuate", help="Dry run on a real robot: everything but the last "
                                             "publication.")] = False,
    dashboard: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535,
                                          help="Port of the live page, 0: none.")] = 0,
    markers: Annotated[bool, typer.Option("--markers", help="Drawings for rviz2.")] = False,
    policy: Annotated[str, typer.Option(help="classical, or a policy contract: a name in config/policies, or a path."
                                        )] = "classical",
) -> None:
    """Run a graph of nodes without `launch`; Ctrl-C ends all of them."""
    from humanoid_cli.demo import settings_of_policy
    from humanoid_cli.up import up as run_graph

    chosen = [*settings_of_policy(policy, robot or "g1"), *(settings or [])]
    way = {k: v for k, v in (("driver", driver), ("interface", interface)) if v}
    way |= {"environment": environment} if environment is not None else {}
    raise typer.Exit(run_graph(graph, robot, seed, chosen, namespace, record=record, bag=bag,
                              way={**way, **({"actuate": False} if no_actuate else {})},
                              view={"metrics": metrics, "dashboard": dashboard, "markers": markers}))


@app.command()
def demo(
    instruction: Annotated[str, typer.Option(help="What the robot is asked to do.")] =
    "touch the blue ball with your left hand",
    seed: Seed = 7,
    out: Annotated[Path, typer.Option(help="Folder for bag, pictures and report.")] = Path("out/demo"),
    json: Json = None,
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="Longest time for the task.")] = 40.0,
    graph: Annotated[str, typer.Option(help="The graph to run.")] = "sim",
    robot: Robot = None,
    policy: Annotated[str, typer.Option(help="classical, or a policy contract: a name in config/policies, such as "
                                        "g1_small, or a path.")] = "classical",
    settings: Settings = None,
    pictures: Annotated[bool, typer.Option(help="Write pictures, video and report.")] = True,
    record: Annotated[bool, typer.Option(help="Record a bag.")] = True,
) -> None:
    """Tell the simulated robot what to do, watch it, and judge it."""
    from humanoid_cli.demo import DemoOptions
    from humanoid_cli.demo import demo as run_demo

    options = DemoOptions(instruction=instruction, seed=seed, out=out, seconds=seconds, graph=graph, robot=robot,
                          settings=tuple(settings or ()), policy=policy, pictures=pictures, record=record)
    raise typer.Exit(run_demo(options, json))


@app.command()
def doctor(json: Json = None) -> None:
    """Say what is missing on this machine and how to get it."""
    from humanoid_cli.doctor import doctor as run_doctor

    raise typer.Exit(run_doctor(json))


@app.command()
def topics(
    write: Annotated[Path | None, typer.Option(metavar="FILE", help="Write to FILE instead of the terminal.")] = None,
) -> None:
    """Print the table of topics, services and actions as Markdown."""
    from humanoid_cli.topics import topics as run_topics

    raise typer.Exit(run_topics(write))


@app.command()
def watch(
    seconds: Annotated[float, typer.Option(min=0.5, help="How long to look.")] = 10.0,
    namespace: Annotated[str, typer.Option(help="The robot's namespace.")] = "",
    bag: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Also record what is seen.")] = None,
    json: Json = None,
) -> None:
    """Measure the rate of every topic of a running graph."""
    from humanoid_cli.watch import watch as run_watch

    raise typer.Exit(run_watch(seconds, namespace, bag, json))


@app.command()
def record(
    bag: Annotated[Path, typer.Argument(help="Folder of the new bag.")],
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this time; default: at Ctrl-C.")] = None,
    namespace: Annotated[str, typer.Option(help="The robot's namespace.")] = "",
    robot: Annotated[str, typer.Option(help="Robot file: a name in config/robots, or a path.")] = "g1",
    storage: Annotated[str, typer.Option(help="mcap or sqlite3.")] = "mcap",
    pictures: Annotated[bool, typer.Option(help="Record the camera too.")] = True,
    split_seconds: Annotated[float, typer.Option(min=0.0, help="Begin a new file after this time.")] = 0.0,
    split_mib: Annotated[int, typer.Option(min=0, help="Begin a new file after so much.")] = 0,
    ring: Annotated[float, typer.Option(min=0.0, help="Keep only the last seconds.")] = 0.0,
    save_on: Annotated[str, typer.Option(help="Safety level at which a ring is saved for good: WARNING, DANGER, "
                                         "EMERGENCY, or never.")] = "DANGER",
) -> None:
    """Record every topic of a running graph as a rosbag2."""
    from humanoid_cli.record import RecordOptions, level_of
    from humanoid_cli.record import record as run_record
    from humanoid_replay.recording import Limits

    limits = Limits(split_seconds, split_mib << 20, ring)
    raise typer.Exit(run_record(RecordOptions(bag, seconds, namespace, robot, storage, pictures, limits,
                                              level_of(save_on))))


def _add_elsewhere(arguments: list[str]) -> None:
    """Register the verbs of other modules; only the one that is called is imported, or all for the help text."""
    named = arguments[0] if arguments and not arguments[0].startswith("-") else None
    registered = {c.name for c in app.registered_commands} | {g.name for g in app.registered_groups}
    for verb, (module, function) in ELSEWHERE.items():
        if verb in registered or (named is not None and named != verb):
            continue
        try:
            command: Callable[..., Any] | typer.Typer = getattr(importlib.import_module(module), function)
        except ImportError as error:
            if named is None:
                continue
            raise BadInput(f"this install has no '{verb}' ({error}); run 'humanoid-twin doctor'") from None
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=verb)
        else:
            app.command(name=verb)(command)


_CLICK_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 failed with the reason printed, 2 bad input with one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] and arguments[0] not in ELSEWHERE and not arguments[0].startswith("-"):
        known = [*ELSEWHERE, *(c.name or c.callback.__name__ for c in app.registered_commands if c.callback)]
        if arguments[0] not in known:
            from humanoid_core.robot_schema import nearest

            return _refuse(f"no verb '{arguments[0]}'; {nearest(arguments[0], known).replace('valid key', 'verb')}")
    try:
        _add_elsewhere(arguments)
        result = app(arguments, prog_name="humanoid-twin", standalone_mode=False)
    except (BadInput, GraphError, RobotError, BagError) as error:
        return _refuse(str(error))
    except _CLICK_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())  # type: ignore[attr-defined]
            return 2
        return _refuse(" ".join(error.format_message().split()))  # type: ignore[attr-defined]
    except typer.Abort:
        return 130
    return result if isinstance(result, int) else 0


def _refuse(text: str) -> int:
    print(f"humanoid-twin: {text}", file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
